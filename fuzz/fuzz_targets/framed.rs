//! Chunks in right frames, so that a fuzzer gets past the checksums.

use heapray_wire::{ChunkHeader, FORMAT_VERSION, FileHeader};

/// CRC-32 bit by bit: nothing here is worth a dependency.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Cuts `bytes` into chunks (a byte for the kind and the process, one for the first id, one for the length, the
/// payload) whose kinds count from `base`, and frames them with right checksums.
pub(crate) fn framed(mut bytes: &[u8], base: u8) -> Vec<u8> {
    let header = FileHeader { version: FORMAT_VERSION, min_reader: FORMAT_VERSION };
    let mut file = header.to_bytes(crc32).to_vec();
    let mut sequence = 0;
    while let [kind, first, n, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*n)));
        let header = ChunkHeader {
            kind: base + (kind & 0x0f),
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
