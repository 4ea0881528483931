//! Whole files and chunks in right frames: whatever `capture` loads, nothing in the tables points outside them.
//! `cargo +nightly fuzz run capture_reader`, best with `fixtures/captures/v1` as a further corpus folder.
//!
//! An input that begins as a capture is read as it is. Any other is cut into chunks, see `framed`.

#![no_main]

mod framed;

use heapray_capture::{HeapTables, SnapshotReader};
use heapray_wire::MAGIC;
use libfuzzer_sys::fuzz_target;

fn assert_sound(tables: &HeapTables) {
    for node in 0..tables.n_nodes() {
        tables.node_at(tables.address(node));
        tables.type_name(node);
        tables.name(node);
        tables.shallow(node);
        tables.block(node);
        for edge in tables.edges_of(node) {
            assert!(edge.target < tables.n_nodes());
            tables.string(edge.label.name);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let file = if bytes.starts_with(&MAGIC) { bytes.to_vec() } else { framed::framed(bytes, 0) };
    let mut reader = SnapshotReader::new("fuzz");
    if file.chunks(777).all(|part| reader.push(part).is_ok())
        && let Ok(file) = reader.finish()
    {
        file.processes.iter().for_each(assert_sound);
    }
});
