//! Memory over time: resident and live bytes, and what was allocated and freed in each step.

use crate::births::Births;
use crate::heirs::Heirs;
use crate::moment::{end_ns, has_ended};
use crate::{Selection, Span};
use heapray_capture::{Recording, Task};
use heapray_wire::{AllocRow, LiveRow, Reading};
use std::collections::BTreeMap;

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
    /// The most within the step: at its begin, at the ends of its slices, at the high-water marks in it.
    pub live_max_bytes: f64,
    /// When that was, ns since the recording's start.
    pub live_max_ns: u64,
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
    let mut levels = Levels { times, step, changes: vec![0.0; n_slices], ..Levels::default() };
    let gone_ns = |_, task: &Task| has_ended(task).then(|| end_ns(recording, task));
    let heirs = Heirs::new(recording, selection, &gone_ns);
    for (at, task) in selection.tasks(recording) {
        let life = Life { task, births: Births::new(recording, task, heirs.turns(at)), selection };
        life.flows((span.from, step), &mut points);
        levels.add(&life, span.from);
        readings(task, &mut points);
    }
    levels.show(&mut points);
    points
}

/// A process, and which blocks of it count.
struct Life<'a> {
    task: &'a Task,
    births: Births,
    selection: &'a Selection,
}

impl Life<'_> {
    fn counts(&self, row: &AllocRow) -> bool {
        self.selection.has(row.node, row.allocator)
    }

    /// Bytes of rows of a slice, of blocks that count: its own, and inherited ones where these do.
    fn bytes<'r>(&self, slice: u32, rows: impl IntoIterator<Item = &'r LiveRow>) -> f64 {
        let rows = rows.into_iter().filter(|row| self.selection.has(row.node, row.allocator));
        rows.flat_map(|row| self.births.split(row, slice).each()).map(|amount| amount.bytes).sum()
    }

    /// What it inherited: the first boundary at which it counts, rising, and how much more bytes that makes.
    fn inherited(&self) -> BTreeMap<u32, f64> {
        let mut bytes = BTreeMap::new();
        for entry in self.births.entries(self.task) {
            if self.selection.has(entry.node, entry.allocator) {
                *bytes.entry(entry.since).or_default() += entry.amount.bytes;
            }
        }
        bytes
    }

    /// How much more bytes it held at the end of a slice than at its begin, by slice.
    fn changes(&self, inherited: &BTreeMap<u32, f64>) -> BTreeMap<u32, f64> {
        let entered = inherited.iter().filter_map(|(since, bytes)| Some((since.checked_sub(1)?, *bytes)));
        let mut changes: BTreeMap<u32, f64> = entered.collect();
        for slice in &self.task.slices {
            let allocated: f64 =
                slice.allocs.iter().filter(|row| self.counts(row)).map(|row| row.bytes).sum();
            *changes.entry(slice.index).or_default() += allocated - self.bytes(slice.index, &slice.frees);
        }
        changes
    }

    /// Adds what it allocated and freed in each step.
    fn flows(&self, (from, step): (u32, usize), points: &mut [Point]) {
        for slice in &self.task.slices {
            let Some(at) = slice.index.checked_sub(from) else { continue };
            let Some(point) = points.get_mut(at as usize / step) else { return };
            for row in slice.allocs.iter().filter(|row| self.counts(row)) {
                point.allocated_bytes += row.bytes;
                point.allocated_count += row.count;
            }
            point.freed_bytes += self.bytes(slice.index, &slice.frees);
        }
    }
}

/// Live bytes at the borders of slices, and at marks between them.
#[derive(Default)]
struct Levels<'a> {
    /// The slices of the span.
    times: &'a [(u64, u64)],
    /// Slices of a point.
    step: usize,
    /// At its begin.
    before: f64,
    /// By slice, how much more at its end than at its begin.
    changes: Vec<f64>,
    /// High-water marks: the slice, when, and how much more than at the begin of the slice.
    marks: Vec<(usize, u64, f64)>,
    /// Ends of processes: the slice, when, and how much the process held at the begin of the slice.
    ends: Vec<(usize, u64, f64)>,
}

impl Levels<'_> {
    /// Adds a process.
    fn add(&mut self, life: &Life<'_>, from: u32) {
        let task = life.task;
        let inherited = life.inherited();
        let mut live = inherited.get(&0).copied().unwrap_or(0.0);
        self.before += live;
        let at_mark = task.peak.as_ref().and_then(|peak| Some((self.slice_of(peak.t_ns)?, peak)));
        let end = self.end(task);
        let (mut at_begin, mut at_last_begin) = (live, live);
        for (index, change) in life.changes(&inherited) {
            let at = index.checked_sub(from).map(|at| at as usize);
            match at {
                None => self.before += change,
                Some(at) if at < self.changes.len() => self.changes[at] += change,
                Some(_) => break,
            }
            live += change;
            let is_before = |slice: usize| at.is_none_or(|at| at < slice);
            if at_mark.is_some_and(|(mark, _)| is_before(mark)) {
                at_begin = live;
            }
            if end.is_some_and(|(end, _)| is_before(end)) {
                at_last_begin = live;
            }
        }
        if let Some((at, peak)) = at_mark {
            let slice = from + at as u32;
            self.marks.push((at, peak.t_ns, life.bytes(slice, &peak.rows) - at_begin));
        }
        // What a process still held when it ended is gone then.
        if let Some((at, t_ns)) = end {
            self.changes[at] -= live;
            self.ends.push((at, t_ns, at_last_begin));
        }
    }

    /// When a process holds nothing any more, or when nothing more is known of it: the slice and the time.
    fn end(&self, task: &Task) -> Option<(usize, u64)> {
        let t_ns = task.end.as_ref()?.t_ns;
        let at = self.slice_of(t_ns)?;
        if has_ended(task) {
            return Some((at, t_ns));
        }
        // It lives on, and so does what it held, to the end of the step.
        let next = (at / self.step + 1) * self.step;
        self.times.get(next).map(|(start, _)| (next, *start))
    }

    /// The slice of the span in which a time lies, the earlier one of two.
    fn slice_of(&self, t_ns: u64) -> Option<usize> {
        let at = self.times.partition_point(|(_, end)| *end < t_ns);
        self.times.get(at).filter(|(start, _)| *start <= t_ns).map(|_| at)
    }

    /// Writes the levels into steps.
    fn show(&self, points: &mut [Point]) {
        let settled = |bytes: f64| if bytes < 0.5 { 0.0 } else { bytes };
        let mut live = self.before;
        for (at, point) in points.iter_mut().enumerate() {
            let slices = at * self.step..self.changes.len().min((at + 1) * self.step);
            let mut most = (live, point.start_ns);
            let mut look = |bytes: f64, t_ns: u64| most = if bytes > most.0 { (bytes, t_ns) } else { most };
            for slice in slices {
                let marks = self.marks.iter().filter(|(at, _, _)| *at == slice);
                let gone = |t_ns: u64| -> f64 {
                    let ends = self.ends.iter().filter(|(at, end, _)| *at == slice && *end < t_ns);
                    ends.map(|(_, _, held)| held).sum()
                };
                marks.for_each(|(_, t_ns, more)| look(live + more - gone(*t_ns), *t_ns));
                live += self.changes[slice];
                look(live, self.times[slice].1);
            }
            point.live_bytes = settled(live);
            (point.live_max_bytes, point.live_max_ns) = (settled(most.0), most.1);
        }
    }
}

/// Adds a process's readings: the last of each step counts, an earlier one stands in while the process lives.
fn readings(task: &Task, points: &mut [Point]) {
    let mut at = 0;
    let mut last: Option<Reading> = None;
    let end_ns = task.end.as_ref().map_or(u64::MAX, |end| end.t_ns);
    let lives_on = !has_ended(task);
    for point in points {
        let mut most = last.filter(|_| end_ns > point.start_ns).map(|reading| reading.rss_bytes);
        while let Some(reading) = task.readings.get(at).filter(|reading| reading.t_ns <= point.end_ns) {
            most = most.max(Some(reading.rss_bytes));
            last = Some(*reading);
            at += 1;
        }
        point.rss_max_bytes = sum(point.rss_max_bytes, most);
        // Where only its recording ended, the step of that still tells what it was.
        if end_ns < point.end_ns && !(lives_on && end_ns > point.start_ns) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Filter, Paths, span};
    use heapray_capture::synthetic::RecordingBuilder;
    use heapray_wire::{Peak, TaskEnd};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn who_ended_before_a_mark_is_not_in_it() {
        let mut b = RecordingBuilder::exact();
        let first = b.task(7, None);
        let site = (b.stack(&["work /srv/x.py:1"]), 8);
        b.alloc(first, site, 5_000_000);
        b.advance(SECOND);
        let second = b.task(8, None);
        let block = b.alloc(second, site, 4_000_000);
        b.free(block);
        b.advance(SECOND);
        let mut recording = b.recording();
        let at = |tenths: u64| SECOND / 10 * tenths;
        let end = |tenths| TaskEnd { t_ns: at(tenths), reason: "killed".into(), code: 9 };
        (recording.tasks[0].end, recording.tasks[1].end) = (Some(end(14)), Some(end(20)));
        for (mark, most) in [(13, 9_000_000.0), (15, 5_000_000.0)] {
            let row = LiveRow {
                node: site.0,
                allocator: 8,
                birth: 1,
                n_records: 1,
                count: 1.0,
                bytes: 4e6,
                ..LiveRow::default()
            };
            recording.tasks[1].peak = Some(Peak { t_ns: at(mark), bytes: 4e6, rows: vec![row] });
            let selection = Selection::new(&recording, &Filter::default(), &Paths::default());
            let span = span(&recording, &selection, Some(crate::Time::Ns(0)), None);
            let points = series(&recording, &selection, &span, 2);
            assert_eq!(points[1].live_max_bytes, most, "mark at {mark}");
        }
    }

    /// Six seconds with a block of 5 MB from the third to the fourth, and one of 9 MB within the sixth.
    fn spikes() -> Recording {
        let mut b = RecordingBuilder::exact();
        let task = b.task(7, None);
        let site = (b.stack(&["spike /srv/x.py:1"]), 8);
        let _base = b.alloc(task, site, 1_000_000);
        let mut held = None;
        for second in 0..6 {
            match second {
                2 => held = Some(b.alloc(task, site, 5_000_000)),
                3 => held.take().into_iter().for_each(|block| b.free(block)),
                5 => {
                    let short = b.alloc(task, site, 9_000_000);
                    b.free(short);
                }
                _ => {}
            }
            b.advance(SECOND);
        }
        b.recording()
    }

    #[test]
    fn few_steps_keep_the_most_of_their_slices_and_the_high_water_mark() {
        let recording = spikes();
        let selection = Selection::new(&recording, &Filter::default(), &Paths::default());
        let whole = Span { from: 0, to: 6, ..span(&recording, &selection, None, None) };
        let points = series(&recording, &selection, &whole, 2);
        let live: Vec<_> = points.iter().map(|point| (point.live_bytes, point.live_max_bytes)).collect();
        assert_eq!(live, [(6e6, 6e6), (0.0, 10e6)]);
        assert_eq!(points[0].live_max_ns, 3 * SECOND);
        assert_eq!(points[1].live_max_ns, 5 * SECOND);
        let points = series(&recording, &selection, &whole, 3);
        assert_eq!(points[1].live_max_bytes, 6e6, "a spike within a step is its most");
    }

    #[test]
    fn what_lives_on_after_its_recording_is_told_to_the_end() {
        for (reason, last) in [("detached", 6e6), ("killed", 0.0)] {
            let mut b = RecordingBuilder::exact();
            let task = b.task(7, None);
            let site = (b.stack(&["work /srv/x.py:1"]), 8);
            b.alloc(task, site, 6_000_000);
            b.advance(SECOND);
            b.reading(task, 9_000_000);
            b.end(task, reason, 9);
            b.advance(SECOND);
            let mut recording = b.recording();
            recording.tasks[0].end.as_mut().expect("it ended").t_ns = SECOND / 2 * 3;
            let selection = Selection::new(&recording, &Filter::default(), &Paths::default());
            let whole = Span { from: 0, to: 2, ..span(&recording, &selection, None, None) };
            let points = series(&recording, &selection, &whole, 2);
            assert_eq!((points[0].live_bytes, points[1].live_bytes), (6e6, last), "{reason}");
            assert_eq!(points[1].n_processes, u32::from(reason == "detached"), "{reason}");
        }
    }
}
