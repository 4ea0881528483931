//! Memory over time: resident and live bytes, and what was allocated and freed in each step.

use crate::births::Births;
use crate::{Selection, Span};
use heapray_capture::{Recording, Task};
use heapray_wire::Reading;

/// One step in time; states are those at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Begin, ns since the recording's start.
    pub start_ns: u64,
    /// End, ns since the recording's start.
    pub end_ns: u64,
    /// Resident bytes of the processes together, `None` where none was read.
    pub rss_bytes: Option<u64>,
    /// The highest sum of resident bytes within the step.
    pub rss_max_bytes: Option<u64>,
    /// Bytes of live blocks that the recording knows of.
    pub live_bytes: f64,
    /// Bytes allocated within the step.
    pub allocated_bytes: f64,
    /// Blocks allocated within the step.
    pub allocated_count: f64,
    /// Bytes freed within the step.
    pub freed_bytes: f64,
    /// Bytes charged to the control group, if known.
    pub cgroup_bytes: Option<u64>,
    /// Its limit, if there is one.
    pub cgroup_limit_bytes: Option<u64>,
    /// Processes alive at the end.
    pub n_processes: u32,
}

/// At most `n_max` steps of equal numbers of slices over a span. Live bytes are the selection's, resident ones are the
/// processes'.
pub fn series(recording: &Recording, selection: &Selection, span: &Span, n_max: usize) -> Vec<Point> {
    let n_slices = (span.to - span.from) as usize;
    let step = n_slices.div_ceil(n_max.max(1)).max(1);
    let times = &recording.slice_times[span.from as usize..span.to as usize];
    let mut points: Vec<Point> = times
        .chunks(step)
        .map(|slices| Point { start_ns: slices[0].0, end_ns: slices[slices.len() - 1].1, ..Point::default() })
        .collect();
    if points.is_empty() {
        return points;
    }
    let mut live_before = 0.0;
    for (_, task) in selection.tasks(recording) {
        let births = Births::new(recording, task);
        live_before += rows((task, &births), selection, (span, step), &mut points);
        readings(task, &mut points);
    }
    let mut live = live_before;
    for point in &mut points {
        live += point.live_bytes;
        point.live_bytes = if live < 0.5 { 0.0 } else { live };
    }
    points
}

/// Adds the changes of a process's live bytes, of its own blocks unless inherited ones count; gives those before the span.
fn rows(
    (task, births): (&Task, &Births),
    selection: &Selection,
    (span, step): (&Span, usize),
    points: &mut [Point],
) -> f64 {
    let mut before = 0.0;
    let mut live = 0.0;
    let counts = |node, allocator| selection.has(node, allocator);
    if selection.counts_inherited() {
        let inherited = task.inherited.iter().flat_map(|inherited| &inherited.rows);
        before += inherited.filter(|row| counts(row.node, row.allocator)).map(|row| row.bytes).sum::<f64>();
    }
    for slice in task.slices.iter().take_while(|slice| slice.index < span.to) {
        let allocs = slice.allocs.iter().filter(|row| counts(row.node, row.allocator));
        let (count, bytes) =
            allocs.fold((0.0, 0.0), |(count, bytes), row| (count + row.count, bytes + row.bytes));
        let frees =
            slice.frees.iter().filter(|row| counts(row.node, row.allocator)).map(|row| births.split(row));
        let inherited_too = selection.counts_inherited();
        let freed: f64 = frees
            .flat_map(|parts| parts.own.into_iter().chain(parts.inherited.filter(|_| inherited_too)))
            .map(|amount| amount.bytes)
            .sum();
        let Some(at) = slice.index.checked_sub(span.from) else {
            before += bytes - freed;
            continue;
        };
        let point = &mut points[at as usize / step];
        point.allocated_bytes += bytes;
        point.allocated_count += count;
        point.freed_bytes += freed;
        point.live_bytes += bytes - freed;
        live += bytes - freed;
    }
    // What a process still held when it ended is gone then.
    if let Some(end) = &task.end
        && let Some(point) =
            points.iter_mut().find(|point| point.end_ns >= end.t_ns && point.start_ns <= end.t_ns)
    {
        point.live_bytes -= before + live;
    }
    before
}

/// Adds a process's readings: the last of each step counts, an earlier one stands in while the process lives.
fn readings(task: &Task, points: &mut [Point]) {
    let mut at = 0;
    let mut last: Option<Reading> = None;
    let end_ns = task.end.as_ref().map_or(u64::MAX, |end| end.t_ns);
    for point in points {
        let mut most = last.filter(|_| end_ns > point.start_ns).map(|reading| reading.rss_bytes);
        while let Some(reading) = task.readings.get(at).filter(|reading| reading.t_ns <= point.end_ns) {
            most = most.max(Some(reading.rss_bytes));
            last = Some(*reading);
            at += 1;
        }
        point.rss_max_bytes = sum(point.rss_max_bytes, most);
        if end_ns < point.end_ns {
            continue;
        }
        let Some(reading) = last else { continue };
        point.n_processes += 1;
        point.rss_bytes = sum(point.rss_bytes, Some(reading.rss_bytes));
        let known = |bytes: u64| (bytes > 0).then_some(bytes);
        point.cgroup_bytes = point.cgroup_bytes.max(known(reading.cgroup_bytes));
        point.cgroup_limit_bytes = point.cgroup_limit_bytes.max(known(reading.cgroup_limit_bytes));
    }
}

fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (one, None) | (None, one) => one,
    }
}
