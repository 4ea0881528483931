//! Ids checked once all of a recording is known: nothing in sealed tables points outside them.

use heapray_wire::{AllocRow, Fact, FactValue, FrameRow, LiveRow, NO_NODE, NO_STRING, Slice, StackRow};

use crate::recording::{Recording, Task};
use crate::recording_build::{Builder, Growing, LOST_FRAME, keep_last};

/// The tables and what they lost, a line each. `damaged` is whether part of the file was lost before.
pub(crate) fn seal(builder: Builder, damaged: bool) -> (Recording, Vec<String>) {
    let Builder { mut recording, tasks, slice_times, begun, lost, .. } = builder;
    let mut lines = Vec::new();
    if !begun {
        lines.push("the facts of the recording are lost".to_owned());
    }
    let mut bad = Bad::default();
    recording.tasks = tasks.into_values().map(|growing| task(growing, &mut lines)).collect();
    recording.slice_times = times(slice_times, &mut bad);
    let bad_texts = texts(&mut recording);
    let (bad_parents, bad_frames) = stacks(&mut recording);
    if recording.slice_times.is_empty() {
        // Births of live sets lead somewhere even where no slice is left.
        recording.slice_times.push((0, 0));
    }
    let (n_nodes, n_slices) = (recording.nodes.len() as u32, recording.slice_times.len() as u32);
    recording.tasks.iter_mut().for_each(|task| rows(task, n_nodes, n_slices, &mut bad));
    let counts = [
        (lost.texts, "texts of frames are lost; each reads <lost>"),
        (lost.frames, "frames are lost"),
        (lost.nodes, "stacks are lost; each stands as <lost>"),
        (bad_texts, "texts of frames are not there"),
        (bad_frames, "frames of stacks are not there"),
        (bad_parents, "stacks lead to callers that are not there"),
        (bad.nodes + lost.event_nodes, "rows have a stack that is not there"),
        (bad.births, "rows have a birth that lies outside the recording"),
        (bad.times + lost.times, "slices disagree about their times"),
    ];
    lines.extend(counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    let is_whole = lines.is_empty() && !damaged;
    recording.tasks.iter_mut().for_each(|task| task.whole = is_whole && task.end.is_some());
    let whole = FactValue::Int(i64::from(is_whole));
    recording.facts.push(Fact { name: "capture.whole".into(), value: whole });
    (recording, lines)
}

#[derive(Default)]
struct Bad {
    nodes: u64,
    births: u64,
    times: u64,
}

fn task(growing: Growing, lines: &mut Vec<String>) -> Task {
    let Growing { mut task, begun } = growing;
    if !begun {
        lines.push(format!("the facts of process number {} are lost", task.number));
    }
    keep_last(&mut task.status);
    if !task.readings.is_sorted_by_key(|reading| reading.t_ns) {
        task.readings.sort_by_key(|reading| reading.t_ns);
    }
    task
}

/// Times of all slices: those that no process gave fill the time between their neighbours in equal parts; none
/// begins before the one before has ended.
fn times(given: Vec<Option<(u64, u64)>>, bad: &mut Bad) -> Vec<(u64, u64)> {
    let mut times = Vec::with_capacity(given.len());
    let mut before = 0;
    for run in given.chunk_by(|a, b| a.is_some() == b.is_some()) {
        let next = times.len() + run.len();
        let until = given.get(next).copied().flatten().map_or(before, |(start, _)| start.max(before));
        let step = (until - before) / run.len() as u64;
        for (i, time) in run.iter().enumerate() {
            let from = before + step * i as u64;
            let (start, end) = time.unwrap_or((from, from + step));
            let start_from = times.last().map_or(0, |(_, end)| *end);
            let (start, end) = match start >= start_from && end >= start {
                true => (start, end),
                false => {
                    bad.times += 1;
                    (start.max(start_from), end.max(start).max(start_from))
                }
            };
            times.push((start, end));
        }
        before = times.last().map_or(0, |(_, end)| *end);
    }
    times
}

/// Texts of frames that are not there become none.
fn texts(recording: &mut Recording) -> u64 {
    let n_texts = recording.texts.len() as u64;
    let ids = recording.frames.iter_mut().flat_map(|frame| [&mut frame.function, &mut frame.file]);
    let bad = ids.filter(|id| **id != NO_STRING && u64::from(**id) >= n_texts);
    bad.map(|id| *id = NO_STRING).count() as u64
}

/// Callers that are not smaller become none, frames that are not there become one that says so.
fn stacks(recording: &mut Recording) -> (u64, u64) {
    let n_frames = recording.frames.len() as u32;
    let (mut bad_parents, mut bad_frames) = (0, 0);
    for (node, row) in (0..).zip(&mut recording.nodes) {
        if row.parent != NO_NODE && row.parent >= node {
            row.parent = NO_NODE;
            bad_parents += 1;
        }
        if row.frame >= n_frames {
            bad_frames += u64::from(row.frame != LOST_FRAME);
            row.frame = n_frames;
        }
    }
    let uses_lost = |row: &StackRow| row.frame == n_frames;
    if recording.nodes.iter().any(uses_lost) {
        recording.texts.push("<lost>".into());
        let function = recording.texts.len() as u32 - 1;
        recording.frames.push(FrameRow { function, ..FrameRow::LOST });
    }
    (bad_parents, bad_frames)
}

/// Stacks of rows that are not there become none, births outside become the last slice that can be.
fn rows(task: &mut Task, n_nodes: u32, n_slices: u32, bad: &mut Bad) {
    task.slices.mend(n_nodes, |Slice { index, allocs, frees, .. }| {
        allocs.iter_mut().for_each(|AllocRow { node, .. }| bad.node(node, n_nodes));
        frees.iter_mut().for_each(|row| bad.row(row, n_nodes, *index));
    });
    let peak = task.peak.iter_mut().flat_map(|peak| &mut peak.rows);
    let inherited = task.inherited.iter_mut().flat_map(|inherited| &mut inherited.rows);
    peak.chain(inherited).for_each(|row| bad.live(row, n_nodes, n_slices));
}

impl Bad {
    fn node(&mut self, node: &mut u32, n_nodes: u32) {
        if *node != NO_NODE && *node >= n_nodes {
            *node = NO_NODE;
            self.nodes += 1;
        }
    }

    /// A live set may be written before the slice that its last blocks are born in: that is no loss.
    fn live(&mut self, row: &mut LiveRow, n_nodes: u32, n_slices: u32) {
        if row.birth == n_slices {
            row.birth -= 1;
        }
        self.row(row, n_nodes, n_slices - 1);
    }

    fn row(&mut self, row: &mut LiveRow, n_nodes: u32, last_birth: u32) {
        self.node(&mut row.node, n_nodes);
        if row.birth > last_birth {
            self.births += 1;
            row.birth = last_birth;
        }
    }
}
