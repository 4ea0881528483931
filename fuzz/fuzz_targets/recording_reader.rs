//! Whole recordings and chunks in right frames: whatever `capture` loads, nothing in the tables points outside them.
//! `cargo +nightly fuzz run recording_reader`, best with `fixtures/captures/v2` as a further corpus folder.
//!
//! An input that begins as a capture is read as it is. Any other is cut into chunks, see `framed`.

#![no_main]

mod framed;

use heapray_capture::{Recording, RecordingReader, Task};
use heapray_wire::{MAGIC, NO_NODE, kind};
use libfuzzer_sys::fuzz_target;

fn assert_sound(recording: &Recording) {
    for node in 0..recording.nodes.len() as u32 {
        let frame = recording.frame(node);
        recording.text(frame.function);
        recording.text(frame.file);
        assert!(recording.parent(node) == NO_NODE || recording.parent(node) < node);
    }
    recording.tasks.iter().for_each(|task| assert_task(recording, task));
}

fn assert_task(recording: &Recording, task: &Task) {
    let is_node = |node: u32| node == NO_NODE || (node as usize) < recording.nodes.len();
    let is_slice = |slice: u32| (slice as usize) < recording.slice_times.len();
    for slice in &task.slices {
        assert!(is_slice(slice.index));
        assert!(slice.allocs.iter().all(|row| is_node(row.node)));
        assert!(slice.frees.iter().all(|row| is_node(row.node) && row.birth <= slice.index));
    }
    let live = task.peak.iter().flat_map(|peak| &peak.rows);
    let live = live.chain(task.inherited.iter().flat_map(|inherited| &inherited.rows));
    live.for_each(|row| assert!(is_node(row.node) && is_slice(row.birth)));
    task.events.iter().for_each(|event| assert!(is_node(event.node)));
}

fuzz_target!(|bytes: &[u8]| {
    let file =
        if bytes.starts_with(&MAGIC) { bytes.to_vec() } else { framed::framed(bytes, kind::RECORDING) };
    let mut reader = RecordingReader::new("fuzz").keep_events();
    if file.chunks(777).all(|part| reader.push(part).is_ok())
        && let Ok(recording) = reader.finish()
    {
        assert_sound(&recording);
    }
});
