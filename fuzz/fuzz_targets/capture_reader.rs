//! Whole files and chunks in right frames: whatever `capture` loads, nothing in the tables points outside them.
//! `cargo +nightly fuzz run capture_reader`, best with `fixtures/captures/v1` as a further corpus folder.
//!
//! An input that begins as a capture is read as it is. Any other is cut into chunks (a byte for the kind, one for the
//! length, the payload) that are framed with right checksums, so that the fuzzer gets past them.

#![no_main]

use heapray_capture::{HeapTables, SnapshotReader};
use heapray_wire::{ChunkHeader, FORMAT_VERSION, FileHeader, MAGIC};
use libfuzzer_sys::fuzz_target;

/// CRC-32 bit by bit: nothing here is worth a dependency.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

fn framed(mut bytes: &[u8]) -> Vec<u8> {
    let header = FileHeader { version: FORMAT_VERSION, min_reader: FORMAT_VERSION };
    let mut file = header.to_bytes(crc32).to_vec();
    let mut sequence = 0;
    while let [kind, first, n, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*n)));
        let header = ChunkHeader {
            kind: kind & 0x0f,
            flags: 0,
            process: u16::from(kind >> 6),
            sequence,
            first: u32::from(*first),
            stored_bytes: payload.len() as u32,
            raw_bytes: payload.len() as u32,
            checksum: crc32(payload),
        };
        file.extend(header.to_bytes(crc32));
        file.extend(payload);
        sequence += 1;
        bytes = rest;
    }
    file
}

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
    let file = if bytes.starts_with(&MAGIC) { bytes.to_vec() } else { framed(bytes) };
    let mut reader = SnapshotReader::new("fuzz");
    if file.chunks(777).all(|part| reader.push(part).is_ok())
        && let Ok(file) = reader.finish()
    {
        file.processes.iter().for_each(assert_sound);
    }
});
