//! What the readers of every kind of capture do alike with frames: order, decompression, a bounded list of losses.

use heapray_wire::ChunkHeader;
use zstd::bulk::Decompressor;

use crate::tables::Loss;

/// Losses that are listed; the rest is counted.
const MAX_LOSSES: usize = 1_000;

/// What a file lost.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    listed: Vec<Loss>,
    more: u64,
}

impl Losses {
    pub(crate) fn push(&mut self, loss: Loss) {
        if self.listed.len() < MAX_LOSSES {
            self.listed.push(loss);
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// All of them, those that are not listed as one line; the file ends at `end`.
    pub(crate) fn finish(mut self, end: u64) -> Vec<Loss> {
        if self.more > 0 {
            self.listed.push(Loss { offset: end, what: format!("{} more losses", self.more) });
        }
        self.listed
    }
}

/// The numbers of frames, which show what is missing.
#[derive(Debug, Default)]
pub(crate) struct Sequence(u32);

impl Sequence {
    /// Passes a frame: how many are missing before it, or what is wrong with its place.
    pub(crate) fn pass(&mut self, header: &ChunkHeader) -> Result<u32, String> {
        let missing = header.sequence.wrapping_sub(self.0);
        self.0 = header.sequence.wrapping_add(1);
        match i32::try_from(missing) {
            Ok(_) => Ok(missing),
            Err(_) => Err(format!("frame {} stands in the wrong place", header.sequence)),
        }
    }
}

/// The payload of one frame at a time, decompressed.
pub(crate) struct Payload {
    decompressor: Decompressor<'static>,
    raw: Vec<u8>,
}

impl Payload {
    pub(crate) fn new() -> Self {
        Self { decompressor: Decompressor::new().expect("zstd allocates a context"), raw: Vec::new() }
    }

    /// The payload as it was before compression; an error says why it is left out.
    pub(crate) fn decompress(&mut self, header: &ChunkHeader, payload: &[u8]) -> Result<&[u8], String> {
        self.raw.clear();
        if header.flags & !ChunkHeader::ZSTD != 0 {
            return Err(format!("has flags {:#x} that this version does not know", header.flags));
        }
        if header.flags & ChunkHeader::ZSTD == 0 {
            self.raw.extend_from_slice(payload);
        } else {
            self.raw.reserve(header.raw_bytes as usize);
            self.decompressor
                .decompress_to_buffer(payload, &mut self.raw)
                .map_err(|error| format!("does not decompress: {error}"))?;
        }
        match self.raw.len() == header.raw_bytes as usize {
            true => Ok(&self.raw),
            false => Err(format!("holds {} bytes instead of {}", self.raw.len(), header.raw_bytes)),
        }
    }
}
