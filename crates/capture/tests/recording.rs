//! Recordings come back as they were written; interleaved, split, of other kinds.

mod common;

use std::cell::RefCell;

use common::recordings::{assert_sound_recording, read_all, recording_bytes, recording_text, service};
use common::{capture, frames, snapshot};
use heapray_capture::synthetic::RecordingBuilder;
use heapray_capture::{FileKind, RecordingReader, Slices, read, read_recording, sniff};
use heapray_wire::{
    AllocRow, EventRow, Fact, FactValue, LiveRow, NO_NODE, Peak, RecordingChunk, Slice, StackRow, TaskEnd,
    allocator,
};

/// The sum of allocated bytes, of freed bytes, and of live bytes, by slices of one process.
fn sums(recording: &heapray_capture::Recording, number: u32) -> (f64, f64) {
    let task = recording.task(number).expect("the process is there");
    let allocated = task.slices.iter().flat_map(|slice| slice.allocs).map(|row| row.bytes).sum();
    (allocated, task.slices.iter().flat_map(|slice| slice.frees).map(|row| row.bytes).sum())
}

#[test]
fn a_recording_comes_back_in_pieces_of_any_size() {
    for seed in [2, 3] {
        let bytes = recording_bytes(&service(seed, 400));
        let whole = read_all(&bytes);
        assert_sound_recording(&whole);
        assert_eq!(whole.losses, []);
        assert_eq!(whole.int("capture.whole"), Some(1));
        for piece in [1, 7, 100, 5_000] {
            let mut reader = RecordingReader::new("test").keep_events();
            bytes.chunks(piece).for_each(|part| reader.push(part).expect("a recording"));
            assert_eq!(reader.finish().expect("a recording"), whole);
        }
    }
}

#[test]
fn what_the_program_did_is_what_is_read() {
    let mut builder = RecordingBuilder::exact();
    let site = (builder.stack(&["thread:MainThread", "handle app.py:12"]), allocator::PYTHON_OBJECT);
    let other = (builder.stack(&["thread:MainThread", "load app.py:20"]), allocator::MALLOC);
    let parent = builder.task(100, None);
    let first = builder.alloc(parent, site, 100);
    let second = builder.alloc(parent, site, 200);
    builder.temporary(parent, other, (10, 50));
    builder.advance(1_000_000_000);
    let child = builder.task(101, Some(parent));
    builder.free(first);
    builder.free_in(child, second);
    let recording = builder.recording();
    assert_sound_recording(&recording);
    assert_eq!(recording.losses, []);
    let lines: Vec<String> = recording
        .stack(site.0)
        .map(|node| recording.text(recording.frame(node).function).to_owned())
        .collect();
    assert_eq!(lines, ["handle", "MainThread"]);
    assert_eq!((sums(&recording, 0), sums(&recording, 1)), ((800.0, 600.0), (0.0, 200.0)));
    let child = recording.task(1).expect("the child is there");
    let inherited = child.inherited.as_ref().expect("it was forked");
    let expected = LiveRow {
        node: site.0,
        allocator: site.1,
        n_records: 2,
        count: 2.0,
        bytes: 300.0,
        ..LiveRow::default()
    };
    assert_eq!(inherited.rows, [expected]);
    assert_eq!(child.parent(), Some(0));
    let peak = recording.tasks[0].peak.as_ref().expect("it allocated");
    assert_eq!((peak.bytes, peak.rows.len()), (300.0, 1));
    assert_eq!(recording.slice_times, [(0, 1_000_000_000), (1_000_000_000, 2_000_000_000)]);
    assert_eq!(recording.tasks[0].sizes.iter().map(|row| row.count).sum::<f64>(), 12.0);
    assert_eq!(recording.tasks[0].n_events, 3);
}

#[test]
fn chunks_of_processes_may_be_mixed() {
    let chunks = service(2, 400);
    let whole = recording_text(&read_all(&recording_bytes(&chunks)));
    let (file, mut rest) = (chunks[..4].to_vec(), chunks[4..].to_vec());
    let mixed: Vec<(RecordingChunk, u16)> = {
        // Those of the other process, each before one of the first.
        let (mut ones, mut others): (Vec<_>, Vec<_>) = rest.drain(..).partition(|(_, number)| *number == 0);
        let mut mixed = file;
        while !ones.is_empty() || !others.is_empty() {
            mixed.extend(others.drain(..1.min(others.len())));
            mixed.extend(ones.drain(..1.min(ones.len())));
        }
        mixed
    };
    assert_eq!(recording_text(&read_all(&recording_bytes(&mixed))), whole);
}

#[test]
fn events_are_read_only_if_somebody_wants_them() {
    let bytes = recording_bytes(&service(2, 400));
    let all = read_all(&bytes);
    let without = read_recording("test", &bytes).expect("a recording");
    let n = |recording: &heapray_capture::Recording| {
        recording.tasks.iter().map(|task| (task.n_events, task.events.len())).collect::<Vec<_>>()
    };
    assert!(n(&all).iter().all(|(n, kept)| *n == *kept as u64 && *n > 0));
    assert!(n(&without).iter().zip(n(&all)).all(|(without, all)| without.0 == all.0 && without.1 == 0));
    let seen = RefCell::new(vec![Vec::new(); 2]);
    let mut reader = RecordingReader::new("test")
        .on_events(|process, events| seen.borrow_mut()[process as usize].extend_from_slice(events));
    reader.push(&bytes).expect("a recording");
    reader.finish().expect("a recording");
    assert_eq!(seen.into_inner(), all.tasks.iter().map(|task| task.events.clone()).collect::<Vec<_>>());
}

#[test]
fn chunks_that_outgrow_a_frame_come_back_whole() {
    let n = 150_000;
    let live = |node| LiveRow { node: node % 9, birth: 1, n_records: 1, count: 1.0, ..LiveRow::default() };
    let nodes: Vec<StackRow> =
        (0..n).map(|node: u32| StackRow { parent: node.wrapping_sub(1), frame: node }).collect();
    let frames = vec![heapray_wire::FrameRow::LOST; n as usize];
    let texts: Vec<String> = (0..6).map(|i| i.to_string().repeat(1 << 20)).collect();
    let slice = Slice {
        index: 1,
        start_ns: 5,
        end_ns: 9,
        allocs: (0..n).map(|node| AllocRow { node, count: 0.5, ..AllocRow::default() }).collect(),
        frees: (0..n).map(live).collect(),
    };
    let peak = Peak { t_ns: 7, bytes: 1.5, rows: (0..n).map(live).collect() };
    let events: Vec<EventRow> =
        (0..600_000).map(|i| EventRow { t_ns: i, node: 3, ..EventRow::default() }).collect();
    let chunks = [
        RecordingChunk::Recording(vec![]),
        RecordingChunk::Task(vec![]),
        RecordingChunk::Texts(texts.clone()),
        RecordingChunk::Frames(frames.clone()),
        RecordingChunk::Nodes(nodes.clone()),
        RecordingChunk::Slice(slice.clone()),
        RecordingChunk::Peak(peak.clone()),
        RecordingChunk::Events(events.clone()),
        RecordingChunk::End(TaskEnd::default()),
    ];
    let recording = read_all(&recording_bytes(&chunks.map(|chunk| (chunk, 7))));
    assert_eq!(recording.losses, []);
    let task = recording.task(7).expect("the process is there");
    assert_eq!(recording.texts.iter().map(|text| text.len()).sum::<usize>(), 6 << 20);
    assert_eq!((&recording.frames, &recording.nodes), (&frames, &nodes));
    assert_eq!((&task.slices, &task.peak), (&Slices::from_iter([slice]), &Some(peak)));
    assert_eq!(task.events, events);
    assert!(task.whole);
}

#[test]
fn each_kind_of_file_is_known_and_read_by_its_reader_only() {
    let recording = recording_bytes(&service(2, 40));
    let snapshot = capture(&snapshot(2, 40, 16));
    assert_eq!(sniff(&recording[..64]), FileKind::Recording);
    assert_eq!(sniff(&snapshot[..64]), FileKind::Snapshot);
    assert_eq!(sniff(b"\x7fELF"), FileKind::Foreign);
    assert_eq!(sniff(b""), FileKind::Foreign);
    let error = read("a.hr", &recording).expect_err("a recording").to_string();
    assert_eq!(
        error,
        "cannot read a.hr as a snapshot: it holds a recording of allocations; \
         heapray top, tree, flamegraph, timeline, stats, peak, temporary, diff, watch, export and leaks read it"
    );
    let error = read_recording("a.hr", &snapshot).expect_err("a snapshot").to_string();
    assert_eq!(
        error,
        "cannot read a.hr as a recording of allocations: it holds a snapshot of objects; \
         heapray why, refs, chain, cycles, find and types read it"
    );
    let foreign = read_recording("a.hr", b"import gc").expect_err("text").to_string();
    assert!(
        foreign.contains("it is text; give a file written by heapray snapshot, run or attach"),
        "{foreign}"
    );
    let empty = read_recording("a.hr", &recording[..16]).expect_err("nothing there").to_string();
    assert!(empty.contains("holds nothing readable"), "{empty}");
}

#[test]
fn a_damaged_first_frame_hides_no_kind() {
    for (bytes, kind) in [
        (recording_bytes(&service(2, 40)), FileKind::Recording),
        (capture(&snapshot(2, 40, 16)), FileKind::Snapshot),
    ] {
        let mut bytes = bytes;
        bytes[20] ^= 1;
        assert_eq!(sniff(&bytes), kind);
        let second = frames(&bytes)[1];
        bytes[second + 4] ^= 1;
        assert_eq!(sniff(&bytes), kind);
    }
}

#[test]
fn a_version_1_reader_is_told_to_update() {
    let recording = recording_bytes(&service(2, 40));
    assert_eq!(recording[8..12], [2, 0, 2, 0]);
    assert_eq!(capture(&snapshot(2, 40, 16))[8..12], [2, 0, 1, 0]);
}

#[test]
fn ids_out_of_range_are_replaced_and_counted() {
    let mut chunks = service(2, 200);
    for (chunk, _) in &mut chunks {
        match chunk {
            RecordingChunk::Frames(rows) => (rows[0].function, rows[1].file) = (99, 99),
            RecordingChunk::Nodes(rows) => (rows[1].parent, rows[2].frame) = (1, 99),
            RecordingChunk::Slice(slice) if slice.index == 1 && !slice.frees.is_empty() => {
                slice.allocs[0].node = 99;
                (slice.frees[0].node, slice.frees[1].birth) = (99, 2);
                slice.start_ns = 0;
            }
            RecordingChunk::Events(rows) if !rows.is_empty() => rows[0].node = 99,
            _ => {}
        }
    }
    let recording = read_all(&recording_bytes(&chunks));
    assert_sound_recording(&recording);
    let lines: Vec<&str> = recording.losses.iter().map(|loss| loss.what.as_str()).collect();
    assert_eq!(
        lines,
        [
            "2 texts of frames are not there",
            "1 frames of stacks are not there",
            "1 stacks lead to callers that are not there",
            "6 rows have a stack that is not there",
            "1 rows have a birth that lies outside the recording",
            "1 slices disagree about their times",
        ]
    );
    assert_eq!(recording.text(recording.frame(2).function), "<lost>");
    assert_eq!(recording.int("capture.whole"), Some(0));
    assert!(recording.tasks.iter().all(|task| !task.whole));
}

#[test]
fn a_slice_that_no_process_had_takes_the_time_between_its_neighbours() {
    let slice = |index, start_ns| {
        (RecordingChunk::Slice(Slice { index, start_ns, end_ns: start_ns + 10, ..Slice::default() }), 0)
    };
    let chunks = [
        (RecordingChunk::Recording(vec![]), 0),
        (RecordingChunk::Task(vec![]), 0),
        slice(1, 10),
        slice(4, 60),
    ];
    let recording = read_all(&recording_bytes(&chunks));
    assert_sound_recording(&recording);
    assert_eq!(recording.slice_times, [(0, 10), (10, 20), (20, 40), (40, 60), (60, 70)]);
    assert_eq!(recording.losses, []);
}

#[test]
fn of_status_facts_the_last_of_each_name_holds() {
    let status = |events| {
        let fact = Fact { name: "events".into(), value: FactValue::Int(events) };
        let other = Fact { name: format!("odd{}", events % 2), value: FactValue::Int(events) };
        (RecordingChunk::Status(vec![fact, other]), 0)
    };
    let chunks: Vec<_> = (0..1_000).map(status).collect();
    let recording = read_all(&recording_bytes(&chunks));
    let task = &recording.tasks[0];
    assert_eq!((task.int("events"), task.int("odd0"), task.int("odd1")), (Some(999), Some(998), Some(999)));
    assert_eq!(task.status.len(), 3);
    let lines: Vec<&str> = recording.losses.iter().map(|loss| loss.what.as_str()).collect();
    assert_eq!(lines, ["the facts of the recording are lost", "the facts of process number 0 are lost"]);
}

#[test]
fn rows_without_a_stack_are_no_loss() {
    let allocs = vec![AllocRow { node: NO_NODE, ..AllocRow::default() }];
    let slice = Slice { allocs, ..Slice::default() };
    let chunks =
        [RecordingChunk::Recording(vec![]), RecordingChunk::Task(vec![]), RecordingChunk::Slice(slice)];
    let recording = read_all(&recording_bytes(&chunks.map(|chunk| (chunk, 0))));
    assert_eq!(recording.losses, []);
    assert_eq!(recording.tasks[0].slices.get(0).map(|slice| slice.allocs[0].node), Some(NO_NODE));
}
