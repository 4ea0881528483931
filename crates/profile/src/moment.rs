//! At which moment a process's memory is looked at where the user names none.
//!
//! A Python that exits tears its objects down first, so its last live set is empty and says nothing. What counts is what it held
//! when it began to: a slice ends there, or the one before where very many exit at once. Where that was not seen (a program in C), it
//! is the fullest of the last boundaries between slices, or the high-water mark if that lies there.
//!
//! A process that ended before the others holds nothing, unless it ended with them: while the whole tree was shut down.

use crate::Selection;
use crate::heirs::{Heirs, Turns};
use crate::span::slice_at;
use heapray_capture::{Recording, Task};
use heapray_wire::TaskEnd;

/// Part of a life that counts as its end.
const TAIL_PART: f64 = 0.1;
/// Shortest and longest such end.
const TAIL_NS_MIN: u64 = 2_000_000_000;
const TAIL_NS_MAX: u64 = 30_000_000_000;
/// Shortest time in which a tree of processes may be shut down.
const SHUTDOWN_NS_MIN: u64 = 5_000_000_000;

/// A moment in the life of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the slice of this number; the number of slices is the end.
    Boundary(u32),
    /// Its high-water mark.
    Peak,
    /// It is no more.
    Gone,
}

/// The moment of each task of a recording, for the end of it all.
pub(crate) fn last_moments(recording: &Recording, selection: &Selection) -> Vec<Moment> {
    let shutdown = shutdown_ns(recording);
    let alone = selection.is_one_process() || recording.tasks.len() == 1;
    let is_gone = |task: &Task| {
        // What it held went with its old program; the new one is a task of its own.
        let is_replaced = task.end.as_ref().is_some_and(|end| end.reason == TaskEnd::EXEC);
        !alone && (is_replaced || has_ended(task) && end_ns(recording, task) <= shutdown)
    };
    let heirs = Heirs::new(recording, selection, &|_, task| is_gone(task).then(|| end_ns(recording, task)));
    let moment = |(at, task): (usize, &Task)| {
        if is_gone(task) { Moment::Gone } else { last_moment(recording, task, (selection, &heirs.turns(at))) }
    };
    recording.tasks.iter().enumerate().map(moment).collect()
}

/// Behind which moment processes end because all do: at most a tail before the end, and no sooner than the last start of a process. The
/// end itself where some process runs on.
fn shutdown_ns(recording: &Recording) -> u64 {
    let end = recording.tasks.iter().map(|task| end_ns(recording, task)).max().unwrap_or(0);
    if !recording.tasks.iter().all(has_ended) {
        return end;
    }
    let last_start = recording.tasks.iter().map(start_ns).max().unwrap_or(0);
    end.saturating_sub(tail(end).max(SHUTDOWN_NS_MIN)).max(last_start)
}

/// Whether a process ended, and not only its recording.
pub(crate) fn has_ended(task: &Task) -> bool {
    task.end.as_ref().is_some_and(|end| end.reason != "detached" && end.reason != "stopped")
}

/// When the recording of a task began; 0 where that is not told.
pub(crate) fn start_ns(task: &Task) -> u64 {
    task.int("start_ns").and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0)
}

/// When the recording of a task ended, or where it is now.
pub(crate) fn end_ns(recording: &Recording, task: &Task) -> u64 {
    task.end.as_ref().map_or(recording.end_ns(), |end| end.t_ns)
}

fn tail(life_ns: u64) -> u64 {
    ((life_ns as f64 * TAIL_PART) as u64).clamp(TAIL_NS_MIN, TAIL_NS_MAX)
}

fn last_moment(recording: &Recording, task: &Task, (selection, turns): (&Selection, &Turns)) -> Moment {
    let last = task.slices.last_index().map_or(0, |last| last + 1);
    let end_boundary = last.max(slice_at(recording, end_ns(recording, task)) + 1);
    let Some(end) = &task.end else { return Moment::Boundary(recording.slice_times.len() as u32) };
    // A number below -1 says within which slice it began.
    let within = |told: i64| (-2_i64).saturating_sub(told);
    match task.int("teardown_slice") {
        // It was killed, or ended without its interpreter.
        _ if !tears_down(&end.reason) => return Moment::Boundary(end_boundary),
        Some(-1) => return Moment::Boundary(end_boundary),
        Some(slice) if slice >= 0 => {
            let begin = u32::try_from(slice).map_or(last, |slice| slice.min(last));
            // A program may live on without its interpreter.
            let has_grown = grown_since(task, begin) > 0.0;
            return Moment::Boundary(if has_grown { last } else { begin });
        }
        // It is looked at before that, if it was there.
        Some(told) if within(told) > i64::from(slice_at(recording, start_ns(task))) => {
            return Moment::Boundary(u32::try_from(within(told)).map_or(last, |slice| slice.min(last)));
        }
        _ => {}
    }
    let from = end.t_ns.saturating_sub(tail(end.t_ns.saturating_sub(start_ns(task))));
    if task.peak.as_ref().is_some_and(|peak| peak.t_ns >= from) {
        return Moment::Peak;
    }
    // What it answers for by the end is part of it.
    let turn = turns.last().filter(|turn| *turn <= end_boundary).unwrap_or(0);
    Moment::Boundary(fullest(recording, task, selection, from).max(turn))
}

/// Live bytes of a task at its end more than before slice `begin`.
fn grown_since(task: &Task, begin: u32) -> f64 {
    let late = task.slices.iter().filter(|slice| slice.index >= begin);
    late.map(|slice| {
        let allocated: f64 = slice.allocs.iter().map(|row| row.bytes).sum();
        allocated - slice.frees.iter().map(|row| row.bytes).sum::<f64>()
    })
    .sum()
}

/// Whether a process that ended so frees its memory before, or may have done: a parent that waits for its child often takes the
/// exit status before anybody sees it.
fn tears_down(reason: &str) -> bool {
    reason == "exited" || reason == TaskEnd::UNSEEN
}

/// The boundary from `from_ns` on (or one of the last two) at which most bytes were alive.
fn fullest(recording: &Recording, task: &Task, selection: &Selection, from_ns: u64) -> u32 {
    let last = task.slices.last_index().map_or(0, |last| last + 1);
    let inherited = task.inherited.iter().flat_map(|inherited| &inherited.rows);
    let counts = |node, allocator| selection.is_everything() || selection.has(node, allocator);
    let mut live: f64 = inherited.map(|row| row.bytes).sum();
    let mut best: (u32, f64) = (last, f64::NEG_INFINITY);
    for slice in &task.slices {
        // Slices in which nothing happened may be absent, so what lived before this one is looked at too.
        let is_late = recording.slice_times[slice.index as usize].1 >= from_ns || slice.index + 2 >= last;
        if is_late && live >= best.1 {
            best = (slice.index, live);
        }
        for row in &slice.allocs {
            live += if counts(row.node, row.allocator) { row.bytes } else { 0.0 };
        }
        for row in &slice.frees {
            live -= if counts(row.node, row.allocator) { row.bytes } else { 0.0 };
        }
        if is_late && live >= best.1 {
            best = (slice.index + 1, live);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use heapray_wire::{AllocRow, Fact, FactValue, LiveRow, Slice};

    use super::*;
    use crate::{Filter, Paths};

    const SECOND: u64 = 1_000_000_000;

    /// A process of six seconds that frees all that it holds in the last one, and ends so.
    fn recording(reason: &str) -> Recording {
        let slice = |index| Slice {
            index,
            allocs: vec![AllocRow { n_records: 1, count: 1.0, bytes: 1000.0, ..AllocRow::default() }],
            ..Slice::default()
        };
        let freed = |birth| LiveRow { birth, n_records: 1, count: 1.0, bytes: 1000.0, ..LiveRow::default() };
        let slices = (0..6).map(|index| match index {
            5 => Slice { frees: (0..6).map(freed).collect(), ..slice(5) },
            _ => slice(index),
        });
        let end = TaskEnd { t_ns: 5 * SECOND + SECOND / 2, reason: reason.into(), code: 0 };
        Recording {
            slice_times: (0..6).map(|index| (index * SECOND, (index + 1) * SECOND)).collect(),
            tasks: vec![Task { slices: slices.collect(), end: Some(end), ..Task::default() }],
            ..Recording::default()
        }
    }

    fn int(name: &str, value: i64) -> Fact {
        Fact { name: name.to_owned(), value: FactValue::Int(value) }
    }

    fn moments(recording: &Recording) -> Vec<Moment> {
        last_moments(recording, &Selection::new(recording, &Filter::default(), &Paths::default()))
    }

    #[test]
    fn a_process_that_may_have_freed_all_is_looked_at_before() {
        for (reason, boundary) in [("exited", 5), (TaskEnd::UNSEEN, 5), ("killed", 6), ("detached", 6)] {
            assert_eq!(moments(&recording(reason)), [Moment::Boundary(boundary)], "{reason}");
        }
    }

    #[test]
    fn a_process_whose_interpreter_ended_is_looked_at_there() {
        for (slice, boundary) in [(3, 3), (6, 6), (-1, 6), (-2, 5), (-6, 4), (i64::MIN, 6), (i64::MAX, 6)] {
            let mut recording = recording("exited");
            recording.tasks[0].status.push(int("teardown_slice", slice));
            assert_eq!(moments(&recording), [Moment::Boundary(boundary)], "slice {slice}");
        }
    }

    #[test]
    fn a_program_that_lives_on_or_is_killed_is_looked_at_later() {
        let mut lives_on = recording("exited");
        let mut slices: Vec<Slice> = lives_on.tasks[0].slices.iter().collect();
        slices[4].allocs[0].bytes = 50_000.0;
        lives_on.tasks[0].slices = slices.into_iter().collect();
        for mut recording in [lives_on, recording("killed")] {
            recording.tasks[0].status.push(int("teardown_slice", 3));
            assert_eq!(moments(&recording), [Moment::Boundary(6)]);
        }
    }

    /// Processes by begin and end, the latter in s and with its reason.
    fn family(members: &[(u64, Option<(u64, &str)>)]) -> Vec<bool> {
        let mut family = recording("killed");
        let first = family.tasks.remove(0);
        for (start, end) in members {
            let end = end.map(|(end, reason)| TaskEnd { t_ns: end * SECOND, reason: reason.into(), code: 0 });
            let facts = vec![int("start_ns", (start * SECOND) as i64)];
            family.tasks.push(Task { facts, end, ..first.clone() });
        }
        family.slice_times = (0..20).map(|index| (index * SECOND, (index + 1) * SECOND)).collect();
        moments(&family).into_iter().map(|moment| moment == Moment::Gone).collect()
    }

    #[test]
    fn who_ended_before_the_others_holds_nothing() {
        let (exited, killed) = (|at| Some((at, "exited")), |at| Some((at, "killed")));
        // All end together, one long before.
        assert_eq!(family(&[(0, exited(20)), (1, killed(19)), (1, exited(8))]), [false, false, true]);
        // One after the other: only the last is part of the end.
        assert_eq!(
            family(&[(0, exited(20)), (17, exited(18)), (18, exited(19)), (19, exited(20))]),
            [false, true, true, false]
        );
        // Who runs on has not ended, and the others are gone.
        assert_eq!(family(&[(0, None), (1, exited(19))]), [false, true]);
        assert_eq!(family(&[(0, Some((20, "detached"))), (1, exited(19))]), [false, true]);
    }
}
