//! Bytes of one chunk: `wire::decode` must refuse or understand them, and what it understood must come back from
//! its own bytes. `cargo +nightly fuzz run wire_decode`.

#![no_main]

use heapray_wire::RecordingChunk;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    if let Ok(chunk) = RecordingChunk::decode(*kind, bytes) {
        let mut again = Vec::new();
        chunk.encode(&mut again);
        let back = RecordingChunk::decode(*kind, &again).expect("what was encoded decodes");
        assert_eq!(format!("{back:?}"), format!("{chunk:?}"));
    }
    if let Ok(chunk) = heapray_wire::decode(*kind, bytes) {
        let mut again = Vec::new();
        heapray_wire::encode(&chunk, &mut again);
        let back = heapray_wire::decode(*kind, &again).expect("what was encoded decodes");
        // As text, because a float may be NaN.
        assert_eq!(format!("{back:?}"), format!("{chunk:?}"));
    }
});
