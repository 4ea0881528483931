//! `info` of a recording.

use crate::answer::{FactRow, RecordingInfo, TaskInfo};
use crate::info::fact_row;
use heapray_capture::{Recording, Task};

use super::{AllocationOptions, Allocations};
use crate::QueryError;

/// What a recording holds, with all its facts.
///
/// # Errors
/// As [`Allocations::new`].
pub fn recording_info(recording: Recording, options: AllocationOptions) -> Result<RecordingInfo, QueryError> {
    let allocations = Allocations::new(recording, options)?;
    let recording = &allocations.recording;
    let mut about = allocations.recorded_with_peaks(&allocations.whole, 0);
    about.window.live = "over time".to_owned();
    Ok(RecordingInfo {
        recording: about,
        n_texts: recording.texts.len() as u64,
        n_frames: recording.frames.len() as u64,
        n_stack_nodes: recording.nodes.len() as u64,
        n_slices: recording.slice_times.len() as u64,
        facts: facts(&recording.facts),
        tasks: allocations.selection.tasks(recording).map(|(_, task)| task_info(task)).collect(),
    })
}

fn facts(facts: &[heapray_wire::Fact]) -> Vec<FactRow> {
    facts.iter().map(fact_row).collect()
}

fn task_info(task: &Task) -> TaskInfo {
    TaskInfo {
        number: task.number,
        n_slices: task.slices.len() as u64,
        n_rows: task.slices.iter().map(|slice| slice.allocs.len() + slice.frees.len()).sum::<usize>() as u64,
        n_readings: task.readings.len() as u64,
        n_events: task.n_events,
        facts: facts(&task.facts),
        status: facts(&task.status),
    }
}
