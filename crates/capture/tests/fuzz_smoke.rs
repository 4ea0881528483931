//! A deterministic share of what `fuzz/` does at length: changed files, and well-framed chunks with wrong contents.

mod common;

use common::{Random, assert_sound, capture, mutate, snapshot};
use heapray_capture::{SnapshotReader, read};
use heapray_wire::{Chunk, ChunkHeader, FORMAT_VERSION, FileHeader, kind};

/// A frame whose checksums are right, whatever its payload is.
fn frame(header: ChunkHeader, payload: &[u8]) -> Vec<u8> {
    let n = payload.len() as u32;
    let header = ChunkHeader { stored_bytes: n, raw_bytes: n, checksum: crc32fast::hash(payload), ..header };
    [&header.to_bytes(crc32fast::hash), payload].concat()
}

#[test]
fn changed_files_never_panic() {
    let mut random = Random(0xfeed);
    let base = capture(&[snapshot(1, 30, 10), snapshot(2, 12, 5)].concat());
    for _ in 0..6_000 {
        let mut bytes = base.clone();
        mutate(&mut bytes, &mut random);
        let mut reader = SnapshotReader::new("test");
        let piece = 1 + random.below(900);
        if bytes.chunks(piece).all(|part| reader.push(part).is_ok())
            && let Ok(file) = reader.finish()
        {
            assert_sound(&file);
        }
    }
}

#[test]
fn changed_chunks_in_right_frames_never_panic() {
    let mut random = Random(0xbeef);
    let base: Vec<(u8, Vec<u8>)> = snapshot(5, 60, 20).iter().map(raw).collect();
    for _ in 0..6_000 {
        let version = FileHeader { version: FORMAT_VERSION, min_reader: FORMAT_VERSION };
        let mut bytes = version.to_bytes(crc32fast::hash).to_vec();
        let mut ids = [0_u32; 16];
        for (sequence, (kind, raw)) in base.iter().enumerate() {
            let mut raw = raw.clone();
            if random.below(8) == 0 {
                mutate(&mut raw, &mut random);
            }
            let first = ids[usize::from(*kind)];
            let odd = random.below(50) == 0;
            let header = ChunkHeader {
                kind: *kind,
                flags: 0,
                process: u16::from(odd),
                sequence: sequence as u32,
                first: if odd { first + 3 } else { first },
                stored_bytes: 0,
                raw_bytes: 0,
                checksum: 0,
            };
            ids[usize::from(*kind)] += rows(*kind, &raw);
            bytes.extend(frame(header, &raw));
        }
        assert_sound(&read("test", &bytes).expect("its facts are whole or its losses are listed"));
    }
}

fn raw(chunk: &Chunk) -> (u8, Vec<u8>) {
    let mut raw = Vec::new();
    heapray_wire::encode(chunk, &mut raw);
    (heapray_wire::kind_of(chunk), raw)
}

/// How far ids move on past a chunk.
fn rows(kind: u8, raw: &[u8]) -> u32 {
    match heapray_wire::decode(kind, raw) {
        Ok(Chunk::Strings(rows)) => rows.len() as u32,
        Ok(Chunk::Types(rows)) => rows.len() as u32,
        Ok(Chunk::Shapes(rows)) => rows.len() as u32,
        Ok(Chunk::Nodes(nodes)) => nodes.shape.len() as u32,
        _ => 0,
    }
}

#[test]
fn random_payloads_of_every_kind_never_panic() {
    let mut random = Random(0xabcd);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..random.below(80)).map(|_| random.next() as u8 >> random.below(8)).collect();
        let _ = heapray_wire::decode((random.below(usize::from(kind::END)) + 1) as u8, &bytes);
    }
}
