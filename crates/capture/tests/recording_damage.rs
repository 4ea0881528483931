//! Damaged and cut off recordings: data and a list of losses, or a clear error, and never a panic.

mod common;

use common::recordings::{assert_sound_recording, read_all, recording_bytes, recording_text, service};
use common::{Random, frames, mutate};
use heapray_capture::{CaptureError, Recording, RecordingReader, read_recording};
use heapray_wire::{ChunkHeader, FORMAT_VERSION, FileHeader, RecordingChunk, SYNC, kind};

fn small() -> Vec<u8> {
    recording_bytes(&service(2, 60))
}

fn read(bytes: &[u8]) -> Result<Recording, CaptureError> {
    let mut reader = RecordingReader::new("test").keep_events();
    reader.push(bytes)?;
    reader.finish()
}

/// Whether all slices of `part` are those of `whole`.
fn assert_part(part: &Recording, whole: &Recording) {
    for task in &part.tasks {
        let of_whole = whole.task(task.number).expect("it is in the whole");
        assert!(task.slices.iter().all(|slice| of_whole.slices.get(slice.index) == Some(slice)));
        assert_eq!(task.events[..], of_whole.events[..task.events.len()]);
    }
}

#[test]
fn every_truncation_gives_what_was_whole() {
    let bytes = small();
    let whole = read_all(&bytes);
    let frames = frames(&bytes);
    for end in 0..bytes.len() {
        let n_frames = frames.iter().filter(|at| **at <= end).count().saturating_sub(1);
        match read(&bytes[..end]) {
            Ok(recording) => {
                assert_sound_recording(&recording);
                assert!(!recording.losses.is_empty() && n_frames > 0, "cut at {end}");
                assert_eq!(recording.int("capture.whole"), Some(0));
                assert_part(&recording, &whole);
            }
            Err(CaptureError::Foreign { .. }) => assert!(end < FileHeader::BYTES, "cut at {end}"),
            Err(error) => assert!(n_frames == 0, "cut at {end}: {error}"),
        }
    }
}

#[test]
fn every_flipped_byte_is_noticed() {
    let bytes = small();
    let whole = recording_text(&read_all(&bytes));
    for at in 0..bytes.len() {
        for bits in [1, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= bits;
            match read(&bytes) {
                Ok(recording) => {
                    assert_sound_recording(&recording);
                    assert!(!recording.losses.is_empty(), "byte {at}");
                    let same = at >= FileHeader::BYTES
                        || recording_text(&recording)
                            .replace("Int(0)", "Int(1)")
                            .replace("whole false", "whole true")
                            == whole.replace("Int(0)", "Int(1)");
                    assert!(same, "byte {at}");
                }
                Err(CaptureError::Foreign { .. }) => assert!(at < 8, "byte {at}"),
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
    }
}

#[test]
fn a_damaged_frame_of_stacks_costs_its_stacks_only() {
    // Stacks come in two frames; the first is damaged.
    let mut chunks = service(2, 200);
    let RecordingChunk::Nodes(rows) = chunks[3].0.clone() else { panic!("stacks come fourth") };
    chunks[3].0 = RecordingChunk::Nodes(rows[..4].to_vec());
    chunks.insert(5, (RecordingChunk::Nodes(rows[4..].to_vec()), 0));
    let bytes = recording_bytes(&chunks);
    let whole = read_all(&bytes);
    assert_eq!(whole.losses, []);
    let mut damaged = bytes.clone();
    damaged[frames(&bytes)[3] + ChunkHeader::BYTES] ^= 1;
    let recording = read_all(&damaged);
    assert_sound_recording(&recording);
    assert_eq!(recording.nodes.len(), whole.nodes.len());
    for node in 0..whole.nodes.len() as u32 {
        match node {
            0..4 => assert_eq!(recording.text(recording.frame(node).function), "<lost>"),
            _ => assert_eq!(recording.frame(node), whole.frame(node)),
        }
    }
    let slices = |recording: &Recording| -> Vec<_> {
        recording.tasks.iter().map(|task| task.slices.clone()).collect()
    };
    assert_eq!(slices(&recording), slices(&whole));
}

#[test]
fn every_missing_frame_is_noticed_and_costs_no_panic() {
    let bytes = small();
    let frames = frames(&bytes);
    for frame in frames.windows(2) {
        let without = [&bytes[..frame[0]], &bytes[frame[1]..]].concat();
        let recording = read(&without).expect("a recording");
        assert_sound_recording(&recording);
        assert!(!recording.losses.is_empty());
        let twice = [&bytes[..frame[1]], &bytes[frame[0]..]].concat();
        let recording = read(&twice).expect("a recording");
        assert_sound_recording(&recording);
        assert!(!recording.losses.is_empty());
    }
}

#[test]
fn garbage_between_frames_is_skipped() {
    let bytes = small();
    let whole = read_all(&bytes);
    let mut random = Random(9);
    for at in frames(&bytes) {
        let mut garbage: Vec<u8> = (0..200).map(|_| random.next() as u8).collect();
        garbage[100..104].copy_from_slice(&SYNC);
        let with = [&bytes[..at], &garbage, &bytes[at..]].concat();
        let recording = read(&with).expect("a recording");
        let losses: Vec<u64> = recording.losses.iter().map(|loss| loss.offset).collect();
        assert_eq!(losses, [at as u64]);
        assert_part(&recording, &whole);
        assert_eq!(recording.tasks.len(), whole.tasks.len());
    }
}

#[test]
fn of_two_recordings_in_a_row_the_first_is_read() {
    let bytes = small();
    let whole = read_all(&bytes);
    let both = read(&[&bytes[..], &recording_bytes(&service(4, 80))].concat()).expect("a recording");
    assert_sound_recording(&both);
    assert!(both.losses.iter().any(|loss| loss.what.contains("begins another recording")));
    assert_part(&both, &whole);
    assert_eq!(both.tasks.len(), whole.tasks.len());
}

#[test]
fn an_optional_chunk_of_a_later_version_is_skipped_without_a_loss() {
    let bytes = small();
    let frames = frames(&bytes);
    let last = *frames.get(frames.len() - 2).expect("there are frames");
    let header_at = |at: usize| {
        let head = bytes[at..at + ChunkHeader::BYTES].try_into().expect("a header");
        ChunkHeader::from_bytes(head, crc32fast::hash).expect("a header")
    };
    let payload = b"what a later version adds";
    let end = header_at(last);
    let optional = ChunkHeader {
        kind: kind::OPTIONAL + 9,
        stored_bytes: payload.len() as u32,
        raw_bytes: payload.len() as u32,
        checksum: crc32fast::hash(payload),
        ..end
    };
    let end = ChunkHeader { sequence: end.sequence + 1, ..end };
    let with = [&bytes[..last], &optional.to_bytes(crc32fast::hash), payload, &end.to_bytes(crc32fast::hash)]
        .concat();
    assert_eq!(read(&with).expect("a recording").losses, []);
}

#[test]
fn a_frame_that_claims_too_many_ids_is_left_out() {
    let chunks = service(2, 60);
    let bytes = recording_bytes(&chunks);
    let frames = frames(&bytes);
    let at = frames[3];
    let head = bytes[at..at + ChunkHeader::BYTES].try_into().expect("a header");
    let header = ChunkHeader::from_bytes(head, crc32fast::hash).expect("a header");
    assert_eq!(header.kind, kind::STACK_NODES);
    let far = ChunkHeader { first: u32::MAX - 20, ..header };
    let changed = [&bytes[..at], &far.to_bytes(crc32fast::hash), &bytes[at + ChunkHeader::BYTES..]].concat();
    let recording = read(&changed).expect("a recording");
    assert_sound_recording(&recording);
    assert_eq!(recording.nodes.len(), 0);
    assert!(recording.losses[0].what.contains("leaves out more ids than were lost"));
}

#[test]
fn changed_files_never_panic() {
    let mut random = Random(0xfeed);
    let base = recording_bytes(&service(3, 60));
    for round in 0..3_000 {
        let mut bytes = base.clone();
        mutate(&mut bytes, &mut random);
        let mut reader = RecordingReader::new("test");
        if round % 2 == 0 {
            reader = reader.keep_events();
        }
        let piece = 1 + random.below(900);
        if bytes.chunks(piece).all(|part| reader.push(part).is_ok())
            && let Ok(recording) = reader.finish()
        {
            assert_sound_recording(&recording);
        }
    }
}

#[test]
fn changed_chunks_in_right_frames_never_panic() {
    let mut random = Random(0xbeef);
    let bytes = recording_bytes(&service(2, 120));
    let frames = frames(&bytes);
    for _ in 0..3_000 {
        let version = FileHeader { version: FORMAT_VERSION, min_reader: FORMAT_VERSION };
        let mut changed = version.to_bytes(crc32fast::hash).to_vec();
        for frame in frames.windows(2) {
            changed.extend(reframed(&bytes[frame[0]..frame[1]], &mut random));
        }
        if let Ok(recording) = read(&changed) {
            assert_sound_recording(&recording);
        }
    }
}

/// A frame, its payload plain and now and then changed, with right checksums.
fn reframed(frame: &[u8], random: &mut Random) -> Vec<u8> {
    let (head, payload) = frame.split_at(ChunkHeader::BYTES);
    let head = head.try_into().expect("a header");
    let header = ChunkHeader::from_bytes(head, crc32fast::hash).expect("a header");
    let mut raw = match header.flags & ChunkHeader::ZSTD {
        0 => payload.to_vec(),
        _ => zstd::bulk::decompress(payload, header.raw_bytes as usize).expect("it was compressed"),
    };
    if random.below(10) == 0 {
        mutate(&mut raw, random);
    }
    let odd = random.below(60) == 0;
    let header = ChunkHeader {
        flags: 0,
        process: header.process ^ u16::from(odd),
        first: header.first + if odd { 3 } else { 0 },
        stored_bytes: raw.len() as u32,
        raw_bytes: raw.len() as u32,
        checksum: crc32fast::hash(&raw),
        ..header
    };
    [&header.to_bytes(crc32fast::hash), &raw[..]].concat()
}

#[test]
fn random_payloads_of_every_kind_never_panic() {
    let mut random = Random(0xabcd);
    for _ in 0..40_000 {
        let bytes: Vec<u8> = (0..random.below(80)).map(|_| random.next() as u8 >> random.below(8)).collect();
        let kind = kind::RECORDING + random.below(usize::from(kind::INHERITED - kind::RECORDING) + 1) as u8;
        let _ = RecordingChunk::decode(kind, &bytes);
    }
}

#[test]
fn a_recording_that_is_still_being_written_can_be_read() {
    let bytes = small();
    let frames = frames(&bytes);
    let recording = read_recording("test", &bytes[..frames[frames.len() - 4]]).expect("a recording");
    let lines: Vec<&str> = recording.losses.iter().map(|loss| loss.what.as_str()).collect();
    assert_eq!(lines, ["the file ends without its end mark: it is cut off, or still being written"]);
}
