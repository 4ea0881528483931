//! Text of `info` of a recording.

use super::footer::n_of;
use super::recorded::{at, footer, size, what};
use super::recording_stats::{end, others, told_apart};
use crate::{Style, sanitize};
use heapray_query::answer::{FactRow, RecordedProcess, RecordingInfo, TaskInfo};

/// The recording, each process, all facts.
pub fn recording_info(answer: &RecordingInfo, style: &Style) -> String {
    let mut text = format!("{}\n", style.strong(&what(&answer.recording)));
    text.push_str(&format!(
        "{}, {}, {}\n",
        n_of(answer.n_slices, "slice"),
        n_of(answer.n_stack_nodes, "stack node"),
        n_of(answer.n_frames, "frame")
    ));
    text.push_str(&facts(&answer.facts));
    let (shown, n_others) = told_apart(&answer.recording.processes);
    for task in &answer.tasks {
        if let Some(process) = shown.iter().find(|process| process.number == task.number) {
            text.push_str(&about(task, process, style));
        }
    }
    text.push('\n');
    text.push_str(&others(n_others));
    text + &footer(&answer.recording, style)
}

fn about(task: &TaskInfo, process: &RecordedProcess, style: &Style) -> String {
    let pid = process.pid.map_or_else(|| format!("#{}", process.number), |pid| pid.to_string());
    let to = process.to_seconds.map_or_else(|| "…".to_owned(), at);
    let how = process.how.as_deref().map(|how| format!("{}, ", sanitize(how))).unwrap_or_default();
    let mut text = format!(
        "\n{}  {how}{} to {to}, {}\n",
        style.strong(&format!("process {pid}")),
        at(process.from_seconds),
        end(process.end.as_deref(), process.end_code)
    );
    let mut parts = vec![n_of(task.n_rows, "row"), n_of(task.n_readings, "reading")];
    if task.n_events > 0 {
        parts.push(n_of(task.n_events, "single event"));
    }
    parts.extend(process.peak_bytes.map(|bytes| format!("peak {}", size(bytes))));
    text.push_str(&format!("{}\n", parts.join(", ")));
    text + &facts(&task.facts) + &facts(&task.status)
}

fn facts(facts: &[FactRow]) -> String {
    let width = facts.iter().map(|fact| fact.name.chars().count()).max().unwrap_or(0);
    let line = |fact: &FactRow| {
        let value = match &fact.value {
            serde_json::Value::String(text) => sanitize(text),
            other => other.to_string(),
        };
        format!("  {:<width$}  {value}\n", sanitize(&fact.name))
    };
    facts.iter().map(line).collect()
}
