//! From the times that a user names to slices, for each process.

use crate::moment::{end_ns, last_moments};
use crate::{Moment, Selection};
use heapray_capture::{Recording, Task};

/// A time that a user names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Time {
    /// Since the recording's start.
    Ns(u64),
    /// Before its end.
    BeforeEnd(u64),
    /// Part of the recording's length, 0 to 1.
    Part(f64),
}

impl Time {
    /// As ns since the recording's start.
    pub fn ns(self, recording: &Recording) -> u64 {
        match self {
            Self::Ns(ns) => ns,
            Self::BeforeEnd(ns) => recording.end_ns().saturating_sub(ns),
            Self::Part(part) => (recording.end_ns() as f64 * part.clamp(0.0, 1.0)) as u64,
        }
    }
}

/// The span of a question: from a boundary between slices to a moment of each process.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The first slice of the span.
    pub from: u32,
    /// The first slice behind it.
    pub to: u32,
    /// Begin and end, ns since the recording's start: without a named end that of the processes, to which allocations are counted.
    pub ns: (u64, u64),
    /// Whether the user named its begin.
    pub from_asked: bool,
    /// Whether the user named its end.
    pub to_asked: bool,
    /// Per task of the recording: the moment that its live memory is of.
    pub moments: Vec<Moment>,
}

impl Span {
    /// Length, seconds.
    pub fn seconds(&self) -> f64 {
        self.ns.1.saturating_sub(self.ns.0) as f64 / 1e9
    }
}

/// Works a span out: times go to the nearest boundary. Without a begin it starts in the middle of what lies before its
/// end, behind the warm-up; without an end it ends at the last moment of each process.
pub fn span(recording: &Recording, selection: &Selection, from: Option<Time>, to: Option<Time>) -> Span {
    let n = recording.slice_times.len() as u32;
    let to_boundary = to.map_or(n, |time| boundary(recording, time.ns(recording)));
    let to = to.filter(|_| to_boundary < n);
    let moments = if to.is_some() {
        recording.tasks.iter().map(|task| at(recording, task, to_boundary)).collect()
    } else {
        last_moments(recording, selection)
    };
    let last = selection.tasks(recording).map(|(at, _)| reach(recording, at, moments[at])).max();
    let to_boundary = if to.is_some() { to_boundary } else { last.unwrap_or(n).min(n) };
    let end = time_of(recording, to_boundary);
    let middle = begin(recording) + end.saturating_sub(begin(recording)) / 2;
    let from_boundary = boundary(recording, from.map_or(middle, |time| time.ns(recording))).min(to_boundary);
    // Half of one slice is none of it: what is too short for a begin is looked at whole.
    let is_whole = from.is_none() && from_boundary == to_boundary;
    let from_boundary = if is_whole { 0 } else { from_boundary };
    let all = || selection.tasks(recording).map(|(_, task)| end_ns(recording, task)).max().unwrap_or(0);
    let from_ns = time_of(recording, from_boundary);
    Span {
        from: from_boundary,
        to: to_boundary,
        ns: (from_ns, if to.is_some() { end } else { all().max(from_ns) }),
        from_asked: from.is_some(),
        to_asked: to.is_some(),
        moments,
    }
}

/// The boundary behind which nothing of a task counts.
fn reach(recording: &Recording, task: usize, moment: Moment) -> u32 {
    match moment {
        Moment::Boundary(boundary) => boundary,
        Moment::Gone => 0,
        Moment::Peak => peak_slice(recording, task) + 1,
    }
}

/// The slice in which a task's high-water mark lies.
pub(crate) fn peak_slice(recording: &Recording, task: usize) -> u32 {
    let t_ns = recording.tasks[task].peak.as_ref().map_or(0, |peak| peak.t_ns);
    slice_at(recording, t_ns)
}

/// The slice that holds a time, the last one behind the end.
pub(crate) fn slice_at(recording: &Recording, t_ns: u64) -> u32 {
    let behind = recording.slice_times.partition_point(|(_, end)| *end <= t_ns);
    behind.min(recording.slice_times.len().saturating_sub(1)) as u32
}

/// What a named end means for a task: that boundary, or nothing where it ended before.
fn at(recording: &Recording, task: &Task, boundary: u32) -> Moment {
    match &task.end {
        Some(end) if end.t_ns < time_of(recording, boundary) => Moment::Gone,
        _ => Moment::Boundary(boundary),
    }
}

fn begin(recording: &Recording) -> u64 {
    recording.slice_times.first().map_or(0, |(start, _)| *start)
}

/// Time of a boundary, ns.
pub(crate) fn time_of(recording: &Recording, boundary: u32) -> u64 {
    match boundary.checked_sub(1) {
        None => begin(recording),
        Some(before) => {
            recording.slice_times.get(before as usize).map_or(recording.end_ns(), |(_, end)| *end)
        }
    }
}

/// The boundary nearest to a time.
fn boundary(recording: &Recording, t_ns: u64) -> u32 {
    let at = recording.slice_times.partition_point(|(_, end)| *end <= t_ns) as u32;
    match recording.slice_times.get(at as usize) {
        Some((start, end)) if t_ns > start + (end - start) / 2 => at + 1,
        _ => at,
    }
}
