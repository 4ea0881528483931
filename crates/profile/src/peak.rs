//! When a process held most within a span, and what it held then.
//!
//! A recording keeps one high-water mark a process, of its whole life. Where that lies outside of the span, the border
//! between two of its slices at which most bytes were alive stands in: what happened within a slice is not known.

use crate::figures::Sites;
use crate::moment::start_ns;
use crate::span::{slice_at, time_of};
use crate::{Amount, Selection, Site, Span};
use heapray_capture::{Recording, Task};

/// The most that a process held within a span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Highest {
    /// The process, by its position among the recording's tasks.
    pub task: usize,
    /// When, ns since the recording's start.
    pub t_ns: u64,
    /// Its live bytes then, whatever else the selection asks for.
    pub bytes: f64,
    /// The border between slices; `None`: its high-water mark.
    border: Option<u32>,
}

impl Highest {
    /// Whether this is the high-water mark, not the fullest border between slices.
    pub fn is_mark(&self) -> bool {
        self.border.is_none()
    }
}

/// The process of a selection that held most within a span, the first of equals. O(rows of the recording) where a mark lies
/// outside of the span.
pub fn highest(recording: &Recording, selection: &Selection, span: &Span) -> Option<Highest> {
    let is_part = span.from_asked || span.to_asked;
    let all = selection.tasks(recording).filter_map(|(at, task)| {
        let stand_in = || fullest(recording, selection, (at, task), span);
        mark(recording, (at, task), span).or_else(|| if is_part { stand_in() } else { None })
    });
    all.reduce(|best, next| if next.bytes > best.bytes { next } else { best })
}

/// What a process held when it held most, as the `live` of each site.
pub fn peak_figures(recording: &Recording, selection: &Selection, peak: Highest) -> Vec<Site> {
    let task = &recording.tasks[peak.task];
    let mut sites = Sites::default();
    let mut add = |node, allocator, amount: Amount| {
        if selection.has(node, allocator) {
            sites.at(node, allocator).live += amount;
        }
    };
    match peak.border {
        None => {
            let rows = task.peak.iter().flat_map(|peak| &peak.rows);
            rows.for_each(|row| add(row.node, row.allocator, row.into()));
        }
        Some(border) => each_before(task, border, &mut add),
    }
    sites.settled()
}

/// The high-water mark, where it lies in the span.
fn mark(recording: &Recording, (at, task): (usize, &Task), span: &Span) -> Option<Highest> {
    let peak = task.peak.as_ref()?;
    let is_late = !span.from_asked || peak.t_ns >= time_of(recording, span.from);
    let is_early = !span.to_asked || peak.t_ns <= time_of(recording, span.to);
    (is_late && is_early).then_some(Highest { task: at, t_ns: peak.t_ns, bytes: peak.bytes, border: None })
}

/// The first border of the span at which most bytes were alive, of those in the life of the process.
fn fullest(
    recording: &Recording,
    selection: &Selection,
    (at, task): (usize, &Task),
    span: &Span,
) -> Option<Highest> {
    let born = start_ns(task);
    let first = if born == 0 { span.from } else { span.from.max(slice_at(recording, born) + 1) };
    let ended = task.end.as_ref().map_or(u64::MAX, |end| end.t_ns);
    let last = (first..=span.to).take_while(|border| time_of(recording, *border) <= ended).last()?;
    let counts = |allocator| selection.counts_allocator(allocator);
    let inherited = task.inherited.iter().flat_map(|inherited| &inherited.rows);
    let mut live: f64 = inherited.filter(|row| counts(row.allocator)).map(|row| row.bytes).sum();
    // The border since which so much lives: slices in which nothing happened may be absent.
    let mut since = first;
    let mut best = (first, f64::NEG_INFINITY);
    for slice in task.slices.iter().take_while(|slice| slice.index < last) {
        if slice.index >= first && live > best.1 {
            best = (since, live);
        }
        live += slice.allocs.iter().filter(|row| counts(row.allocator)).map(|row| row.bytes).sum::<f64>();
        live -= slice.frees.iter().filter(|row| counts(row.allocator)).map(|row| row.bytes).sum::<f64>();
        since = first.max(slice.index + 1);
    }
    let (border, bytes) = if live > best.1 { (since, live) } else { best };
    Some(Highest { task: at, t_ns: time_of(recording, border), bytes, border: Some(border) })
}

/// All that came and went in a process before a border.
fn each_before(task: &Task, border: u32, each: &mut dyn FnMut(u32, u8, Amount)) {
    for row in task.inherited.iter().flat_map(|inherited| &inherited.rows) {
        each(row.node, row.allocator, row.into());
    }
    for slice in task.slices.iter().take_while(|slice| slice.index < border) {
        slice.allocs.iter().for_each(|row| each(row.node, row.allocator, row.into()));
        slice.frees.iter().for_each(|row| each(row.node, row.allocator, -Amount::from(row)));
    }
}
