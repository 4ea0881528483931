//! Damaged, cut off and foreign files: data and a list of losses, or a clear error, and never a panic.

mod common;

use common::{Random, assert_sound, capture, frames, snapshot, text};
use heapray_capture::{CaptureError, HeapTables, read};
use heapray_wire::{Chunk, ChunkHeader, FORMAT_VERSION, FileHeader, NodeChunk, SYNC};

fn small() -> Vec<u8> {
    capture(&snapshot(2, 40, 16))
}

/// Whether the nodes of `part` are those of `whole`, as far as there are any that are not marked as lost.
fn assert_prefix(part: &HeapTables, whole: &HeapTables, n: u32) {
    for node in 0..n {
        assert_eq!(part.address(node), whole.address(node));
        assert_eq!(part.type_name(node), whole.type_name(node));
        for (edge, before) in part.targets(node).iter().zip(whole.targets(node)) {
            assert!(edge == before || part.type_name(*edge) == "<lost>");
        }
    }
}

#[test]
fn every_truncation_gives_what_was_whole() {
    let bytes = small();
    let whole = read("test", &bytes).expect("a capture").processes.remove(0);
    let frames = frames(&bytes);
    for end in 0..bytes.len() {
        let n_frames = frames.iter().filter(|at| **at <= end).count().saturating_sub(1);
        match read("test", &bytes[..end]) {
            Ok(file) => {
                assert_sound(&file);
                assert!(!file.losses.is_empty(), "cut at {end}");
                assert!(n_frames > 0, "cut at {end}");
                let n = (n_frames.saturating_sub(6) * 16).min(42) as u32;
                assert_prefix(&file.processes[0], &whole, n);
            }
            Err(CaptureError::Foreign { .. }) => assert!(end < FileHeader::BYTES, "cut at {end}"),
            Err(error) => assert!(n_frames == 0, "cut at {end}: {error}"),
        }
    }
}

#[test]
fn every_flipped_byte_is_noticed() {
    let bytes = small();
    let whole = text(&read("test", &bytes).expect("a capture").processes[0]);
    for at in 0..bytes.len() {
        for bits in [1, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= bits;
            match read("test", &bytes) {
                Ok(file) => {
                    assert_sound(&file);
                    assert!(!file.losses.is_empty(), "byte {at}");
                    assert!(at >= FileHeader::BYTES || text(&file.processes[0]) == whole, "byte {at}");
                }
                Err(CaptureError::Foreign { .. }) => assert!(at < 8, "byte {at}"),
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
    }
}

#[test]
fn a_damaged_frame_of_nodes_costs_its_nodes_only() {
    let bytes = small();
    let whole = read("test", &bytes).expect("a capture").processes.remove(0);
    let frames = frames(&bytes);
    let mut damaged = bytes.clone();
    damaged[frames[7] + ChunkHeader::BYTES] ^= 1;
    let file = read("test", &damaged).expect("a capture");
    assert_sound(&file);
    let tables = &file.processes[0];
    assert_eq!(tables.n_nodes(), whole.n_nodes());
    assert_eq!(tables.int("capture.whole"), Some(0));
    for node in 0..whole.n_nodes() {
        match node {
            16..32 => assert_eq!(tables.type_name(node), "<lost>"),
            _ => {
                assert_eq!(tables.address(node), whole.address(node));
                assert_eq!(tables.targets(node), whole.targets(node));
                assert_eq!(tables.name(node), whole.name(node));
            }
        }
    }
}

#[test]
fn every_missing_frame_is_noticed_and_costs_no_panic() {
    let bytes = capture(&[snapshot(2, 40, 16), snapshot(3, 10, 4)].concat());
    let frames = frames(&bytes);
    for frame in frames.windows(2) {
        let without = [&bytes[..frame[0]], &bytes[frame[1]..]].concat();
        let file = read("test", &without).expect("a capture");
        assert_sound(&file);
        assert!(!file.losses.is_empty());
        let twice = [&bytes[..frame[1]], &bytes[frame[0]..]].concat();
        let file = read("test", &twice).expect("a capture");
        assert_sound(&file);
        assert!(!file.losses.is_empty());
    }
}

#[test]
fn garbage_between_frames_is_skipped() {
    let bytes = small();
    let whole = text(&read("test", &bytes).expect("a capture").processes[0]).replace("whole Int(1)", "");
    let mut random = Random(9);
    for at in frames(&bytes) {
        let mut garbage: Vec<u8> = (0..200).map(|_| random.next() as u8).collect();
        garbage[100..104].copy_from_slice(&SYNC);
        let with = [&bytes[..at], &garbage, &bytes[at..]].concat();
        let file = read("test", &with).expect("a capture");
        let losses: Vec<u64> = file.losses.iter().map(|loss| loss.offset).collect();
        assert_eq!(losses, [at as u64]);
        let now = text(&file.processes[0]).replace("whole Int(1)", "").replace("whole Int(0)", "");
        assert_eq!(now, whole);
    }
}

#[test]
fn two_captures_in_a_row_are_noticed() {
    let bytes = small();
    let file = read("test", &[&bytes[..], &bytes[..]].concat()).expect("a capture");
    assert_sound(&file);
    assert!(!file.losses.is_empty());
}

#[test]
fn ids_out_of_range_are_replaced_and_counted() {
    let mut chunks = snapshot(4, 30, 100);
    for chunk in &mut chunks {
        match chunk {
            Chunk::Nodes(nodes) => {
                nodes.edges[0] = 1000;
                nodes.shape[3] = 77;
                nodes.address[5] = nodes.address[4];
            }
            Chunk::Shapes(rows) if rows.len() == 3 => rows[2].labels[0].name = 99,
            Chunk::Types(rows) => (rows[0].name, rows[1].node) = (99, 99),
            Chunk::Names(rows) => rows[0].name = 99,
            Chunk::Flags(rows) => rows[0].0 = 99,
            _ => {}
        }
    }
    let file = read("test", &capture(&chunks)).expect("a capture");
    assert_sound(&file);
    let lines: Vec<&str> = file.losses.iter().map(|loss| loss.what.as_str()).collect();
    assert_eq!(
        lines,
        [
            "process 4004: 1 addresses are out of order",
            "process 4004: 1 late flags belong to objects that are lost",
            "process 4004: 1 edges lead to objects that are lost",
            "process 4004: 2 names belong to objects that are lost, or are lost themselves",
            "process 4004: 1 objects have a shape or type that is lost",
            "process 4004: 2 names of types or edges are lost",
            "process 4004: 1 types lead to objects that are lost",
        ]
    );
}

#[test]
fn foreign_files_are_named() {
    let cases: [(&[u8], &str); 5] = [
        (b"", "it is empty; make"),
        (b"\x1f\x8b\x08\0\0\0", "it is gzip data; unpack it with gunzip first"),
        (
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0\x3e\0",
            "it is a core file; read it with heapray snapshot --core",
        ),
        (b"memray\0\x0b", "it is a memray capture"),
        (b"import objgraph\n", "it is text; give a file written by heapray snapshot"),
    ];
    for (bytes, what) in cases {
        let error = read("some/file", bytes).expect_err("no capture").to_string();
        assert!(error.starts_with("cannot read some/file as a capture: "), "{error}");
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn a_newer_format_is_refused_and_a_compatible_one_read() {
    let mut bytes = small();
    let newer = FileHeader { version: FORMAT_VERSION + 2, min_reader: FORMAT_VERSION + 1 };
    bytes[..FileHeader::BYTES].copy_from_slice(&newer.to_bytes(crc32fast::hash));
    let error = read("a.hr", &bytes).expect_err("too new").to_string();
    assert_eq!(
        error,
        "cannot read a.hr: it is a capture of format version 4 and needs a reader of version 3 or later, \
         this heapray reads up to version 2; update heapray"
    );
    let compatible = FileHeader { version: FORMAT_VERSION + 2, min_reader: FORMAT_VERSION };
    bytes[..FileHeader::BYTES].copy_from_slice(&compatible.to_bytes(crc32fast::hash));
    assert_eq!(read("a.hr", &bytes).expect("readable").losses, []);
}

#[test]
fn a_header_without_a_snapshot_is_an_error() {
    let bytes = small();
    let error = read("a.hr", &bytes[..FileHeader::BYTES]).expect_err("nothing there").to_string();
    assert!(error.contains("holds nothing readable"), "{error}");
}

#[test]
fn an_optional_chunk_of_a_later_version_is_skipped_without_a_loss() {
    let bytes = small();
    let at = frames(&bytes)[6];
    let head = bytes[at..at + ChunkHeader::BYTES].try_into().expect("a header");
    let next = ChunkHeader::from_bytes(head, crc32fast::hash).expect("a header");
    let payload = b"something new";
    let optional = ChunkHeader {
        kind: 200,
        flags: 0x80,
        first: 0,
        stored_bytes: payload.len() as u32,
        raw_bytes: payload.len() as u32,
        checksum: crc32fast::hash(payload),
        ..next
    };
    let mut with = [&bytes[..at], &optional.to_bytes(crc32fast::hash), payload].concat();
    for frame in frames(&bytes)[6..].windows(2) {
        let head = bytes[frame[0]..frame[0] + ChunkHeader::BYTES].try_into().expect("a header");
        let header = ChunkHeader::from_bytes(head, crc32fast::hash).expect("a header");
        let moved = ChunkHeader { sequence: header.sequence + 1, ..header };
        with.extend_from_slice(&moved.to_bytes(crc32fast::hash));
        with.extend_from_slice(&bytes[frame[0] + ChunkHeader::BYTES..frame[1]]);
    }
    assert_eq!(read("test", &with).expect("a capture").losses, []);
}

#[test]
fn a_frame_that_claims_too_many_nodes_is_left_out() {
    let mut chunks = snapshot(2, 40, 16);
    let far = NodeChunk { first: u32::MAX - 20, ..NodeChunk::default() };
    chunks.insert(7, Chunk::Nodes(far));
    let file = read("test", &capture(&chunks)).expect("a capture");
    assert_sound(&file);
    assert_eq!(file.processes[0].n_nodes(), 42);
    assert_eq!(file.losses.len(), 1);
}
