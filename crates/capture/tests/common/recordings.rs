//! Small synthetic recordings, the same at every run, and what any loaded recording must keep.

use std::fmt::Write;

use heapray_capture::synthetic::{Block, RecordingBuilder};
use heapray_capture::{Recording, RecordingReader, RecordingWriter, Task};
use heapray_wire::{Fact, FactValue, FrameKind, FrameRow, LiveRow, NO_NODE, RecordingChunk, allocator};

use super::Random;

/// Two workers of a service, one forked from the other after `n` events, `n` events more; four slices.
pub(crate) fn service(seed: u64, n: usize) -> Vec<(RecordingChunk, u16)> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut builder =
        if seed.is_multiple_of(2) { RecordingBuilder::exact() } else { RecordingBuilder::sampled(65_536) };
    builder.fact("heapray_version", FactValue::Text("0.1.0".into()));
    let sites = sites(&mut builder);
    let mut blocks: Vec<Block> = Vec::new();
    let arbiter = builder.task(100, None);
    for slice in 1..=4 {
        let task = if slice > 2 { 1 } else { arbiter };
        for _ in 0..n / 4 {
            step(&mut builder, task, (&sites, seed), (&mut blocks, &mut random));
        }
        builder.reading(arbiter, 1 << (20 + slice));
        builder.advance(1_000_000_000);
        if slice == 2 {
            builder.task(101, Some(arbiter));
        }
    }
    builder.end(1, "killed", 9);
    builder.chunks()
}

fn sites(builder: &mut RecordingBuilder) -> Vec<(u32, u8)> {
    let stacks: [&[&str]; 4] = [
        &["thread:MainThread", "handle app.py:12", "normalize_vectors app.py:40"],
        &["thread:MainThread", "tag:/search", "handle app.py:13"],
        &["thread:pool-1", "cut:no Python state", "native:rayon::join pool.rs:7"],
        &["thread:MainThread", "handle app.py:12", "<lambda> héros.py:1"],
    ];
    let allocators = [allocator::PYTHON_OBJECT, allocator::PYTHON_MEM, allocator::MALLOC, allocator::MMAP];
    stacks.iter().map(|stack| builder.stack(stack)).zip(allocators).collect()
}

fn step(
    builder: &mut RecordingBuilder,
    task: u16,
    (sites, seed): (&[(u32, u8)], u64),
    (blocks, random): (&mut Vec<Block>, &mut Random),
) {
    let site = sites[random.below(sites.len())];
    let size = [16, 56, 56, 1000, 40_000][random.below(5)];
    match random.below(5) {
        0 | 1 if !blocks.is_empty() => {
            let block = blocks.swap_remove(random.below(blocks.len()));
            builder.free_in(task, block);
        }
        4 => builder.temporary(task, site, (1 + random.below(9) as u64, size)),
        _ if seed.is_multiple_of(2) => blocks.push(builder.alloc(task, site, size)),
        _ => blocks.push(builder.sample(task, site, (size, 65_536))),
    }
}

/// The capture of these chunks.
pub(crate) fn recording_bytes(chunks: &[(RecordingChunk, u16)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = RecordingWriter::new(|part: &[u8]| bytes.extend_from_slice(part));
    chunks.iter().for_each(|(chunk, process)| writer.chunk(chunk, *process));
    let n_bytes = writer.finish();
    assert_eq!(n_bytes, bytes.len() as u64);
    bytes
}

/// With all events.
pub(crate) fn read_all(bytes: &[u8]) -> Recording {
    let mut reader = RecordingReader::new("test").keep_events();
    reader.push(bytes).expect("a recording");
    reader.finish().expect("a recording")
}

/// All that a reader of tables may rely on: none of it may fail, whatever the file was.
pub(crate) fn assert_sound_recording(recording: &Recording) {
    let n_nodes = recording.nodes.len() as u32;
    for frame in &recording.frames {
        recording.text(frame.function);
        recording.text(frame.file);
    }
    for node in 0..n_nodes {
        recording.frame(node);
        assert!(recording.parent(node) == NO_NODE || recording.parent(node) < node);
        assert!(recording.stack(node).count() <= node as usize + 1);
    }
    assert_eq!(recording.stack(NO_NODE).count(), 0);
    let mut before = 0;
    for (start, end) in &recording.slice_times {
        assert!(before <= *start && start <= end);
        before = *end;
    }
    assert!(recording.tasks.is_sorted_by(|a, b| a.number < b.number));
    recording.tasks.iter().for_each(|task| assert_task(recording, task));
}

fn assert_task(recording: &Recording, task: &Task) {
    let (n_nodes, n_slices) = (recording.nodes.len() as u32, recording.slice_times.len() as u32);
    let is_node = |node: u32| node == NO_NODE || node < n_nodes;
    let is_live = |row: &LiveRow| {
        is_node(row.node) && row.birth < n_slices && row.count.is_finite() && row.bytes_variance.is_finite()
    };
    assert!(task.slices.iter().is_sorted_by(|a, b| a.index < b.index));
    for slice in &task.slices {
        assert!(slice.index < n_slices);
        assert!(slice.allocs.iter().all(|row| is_node(row.node)));
        assert!(slice.frees.iter().all(|row| is_live(row) && row.birth <= slice.index));
        assert_eq!(task.slices.get(slice.index), Some(slice));
    }
    assert!(task.readings.is_sorted_by_key(|reading| reading.t_ns));
    assert!(task.peak.iter().flat_map(|peak| &peak.rows).all(is_live));
    assert!(task.inherited.iter().flat_map(|inherited| &inherited.rows).all(is_live));
    assert!(task.events.iter().all(|event| is_node(event.node)));
    assert!(task.sizes.iter().all(|row| row.buckets.len() == 64));
    assert!(!task.whole || task.end.is_some());
    task.pid();
    task.parent();
    task.fact_text("how");
    assert_eq!(recording.task(task.number), Some(task));
}

/// A recording as text, for comparison: everything that a reader can see.
pub(crate) fn recording_text(recording: &Recording) -> String {
    let mut out = String::new();
    let mut line =
        |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("a string takes everything");
    let facts = |facts: &[Fact]| {
        facts.iter().map(|fact| format!("{}={:?}", fact.name, fact.value)).collect::<Vec<_>>().join(" ")
    };
    line(format_args!("{}", facts(&recording.facts)));
    for node in 0..recording.nodes.len() as u32 {
        let frame = recording.frame(node);
        let FrameRow { kind, function, file, line: at, .. } = *frame;
        let (function, file) = (recording.text(function), recording.text(file));
        let parent = recording.parent(node) as i32;
        line(format_args!("node {node} under {parent}: {kind:?} {function:?} {file:?} {at}"));
        assert!(kind != FrameKind::Python || frame.column == 0);
    }
    line(format_args!("slices {:?}", recording.slice_times));
    for task in &recording.tasks {
        line(format_args!("task {} whole {} {}", task.number, task.whole, facts(&task.facts)));
        line(format_args!("status {}", facts(&task.status)));
        for slice in &task.slices {
            line(format_args!("slice {}", slice.index));
            slice.allocs.iter().for_each(|row| line(format_args!("  {row:?}")));
            slice.frees.iter().for_each(|row| line(format_args!("  freed {row:?}")));
        }
        task.readings.iter().for_each(|row| line(format_args!("{row:?}")));
        if let Some(peak) = &task.peak {
            line(format_args!("peak {} at {}", peak.bytes, peak.t_ns));
            peak.rows.iter().for_each(|row| line(format_args!("  {row:?}")));
        }
        if let Some(inherited) = &task.inherited {
            line(format_args!("inherited from {}", inherited.parent));
            inherited.rows.iter().for_each(|row| line(format_args!("  {row:?}")));
        }
        task.sizes.iter().for_each(|row| line(format_args!("{row:?}")));
        task.events.iter().for_each(|row| line(format_args!("{row:?}")));
        line(format_args!("end {:?}", task.end));
    }
    out
}
