//! Captures of released format versions stay readable: `fixtures/captures/v<N>/*.hr` against their text beside them.
//!
//! With `HEAPRAY_BLESS` set, `golden_of_this_version_is_complete` writes the files of a version that has none.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::recordings::{assert_sound_recording, read_all, recording_bytes, recording_text, service};
use common::{assert_sound, capture, snapshot, text};
use heapray_capture::{FileKind, read, sniff};
use heapray_wire::{Chunk, FORMAT_VERSION, MIN_RECORDING_READER, MoreEdges};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/captures")
}

/// Every text that a reader gets from the file, losses first.
fn loaded(bytes: &[u8]) -> String {
    if sniff(bytes) == FileKind::Recording {
        return loaded_recording(bytes);
    }
    let file = read("golden", bytes).expect("a capture");
    assert_sound(&file);
    let losses: String =
        file.losses.iter().map(|loss| format!("lost at {}: {}\n", loss.offset, loss.what)).collect();
    losses + &file.processes.iter().map(text).collect::<Vec<_>>().join("\n")
}

fn loaded_recording(bytes: &[u8]) -> String {
    let recording = read_all(bytes);
    assert_sound_recording(&recording);
    let losses: String =
        recording.losses.iter().map(|loss| format!("lost at {}: {}\n", loss.offset, loss.what)).collect();
    losses + &recording_text(&recording)
}

/// An exact recording of two processes, one of samples, and one cut off.
fn recordings() -> [(&'static str, Vec<u8>); 3] {
    let exact = recording_bytes(&service(2, 120));
    let cut = recording_bytes(&service(4, 120));
    let sampled = recording_bytes(&service(3, 120));
    [("exact", exact), ("sampled", sampled), ("cut_recording", cut[..cut.len() * 2 / 3].to_vec())]
}

/// The snapshots of this version: one process, a tree of processes, and one cut off.
fn goldens() -> [(&'static str, Vec<u8>); 3] {
    let mut one = snapshot(1, 60, 25);
    let at = one.iter().rposition(|chunk| matches!(chunk, Chunk::Nodes(_))).expect("there are nodes");
    one.insert(at + 1, Chunk::MoreEdges(MoreEdges { node: 61, edges: vec![1, 2, 3] }));
    let cut = capture(&snapshot(4, 60, 25));
    let tree = capture(&[snapshot(2, 20, 25), snapshot(3, 20, 9)].concat());
    [("one", capture(&one)), ("tree", tree), ("cut", cut[..cut.len() * 2 / 3].to_vec())]
}

#[test]
fn every_golden_capture_reads_as_it_did() {
    let mut n = 0;
    for version in 1..=FORMAT_VERSION {
        let recordings = recordings().into_iter().filter(|_| version >= MIN_RECORDING_READER);
        for (name, _) in goldens().into_iter().chain(recordings) {
            let path = folder().join(format!("v{version}")).join(name);
            let bytes = fs::read(path.with_extension("hr")).expect("the golden capture is committed");
            let expected = fs::read_to_string(path.with_extension("txt")).expect("its text is committed");
            assert_eq!(loaded(&bytes), expected, "{}", path.display());
            n += 1;
        }
    }
    assert!(n >= 3);
}

#[test]
fn golden_of_this_version_is_complete() {
    let folder = folder().join(format!("v{FORMAT_VERSION}"));
    if std::env::var_os("HEAPRAY_BLESS").is_some() {
        fs::create_dir_all(&folder).expect("fixtures are writable");
        for (name, bytes) in goldens().into_iter().chain(recordings()) {
            let path = folder.join(name).with_extension("hr");
            if !path.exists() {
                fs::write(&path, &bytes).expect("fixtures are writable");
                fs::write(path.with_extension("txt"), loaded(&bytes)).expect("fixtures are writable");
            }
        }
    }
    // Where a cut falls depends on the compressor, and weights of samples on the last bit of `expm1`, so only the
    // others are held against today's.
    let all = goldens().into_iter().chain(recordings());
    for (name, bytes) in all.filter(|(name, _)| !name.starts_with("cut") && *name != "sampled") {
        let golden =
            fs::read(folder.join(name).with_extension("hr")).expect("the golden capture is committed");
        assert_eq!(loaded(&bytes), loaded(&golden), "{name}: today's writer says something else");
    }
}
