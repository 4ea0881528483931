//! Payloads to frames: compression, checksums, headers. One writer for captures of every kind.

use heapray_wire::{ChunkHeader, FORMAT_VERSION, FileHeader, kind};
use zstd::bulk::Compressor;

/// Compression level: the fastest that codes literals, as files are well below the bar (benches/results/format.md).
const LEVEL: i32 = 1;

/// Payloads below this stay as they are.
const MIN_COMPRESSED_BYTES: usize = 64;

/// Writes frames to a closure, in order, whole frames at a time. Keeps one payload in memory.
pub(crate) struct FrameWriter<W: FnMut(&[u8])> {
    write: W,
    compressor: Compressor<'static>,
    raw: Vec<u8>,
    stored: Vec<u8>,
    sequence: u32,
    n_bytes: u64,
}

impl<W: FnMut(&[u8])> FrameWriter<W> {
    /// Starts a file that readers from version `min_reader` on understand.
    pub(crate) fn new(mut write: W, min_reader: u16) -> Self {
        let header = FileHeader { version: FORMAT_VERSION, min_reader };
        write(&header.to_bytes(crc32fast::hash));
        Self {
            write,
            compressor: Compressor::new(LEVEL).expect("zstd allocates a context and knows the level"),
            raw: Vec::new(),
            stored: Vec::new(),
            sequence: 0,
            n_bytes: FileHeader::BYTES as u64,
        }
    }

    /// Bytes written so far.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Marks the file as whole; answers its bytes.
    pub(crate) fn finish(mut self, process: u16) -> u64 {
        self.frame((kind::FILE_END, process), 0, |_| ());
        self.n_bytes
    }

    /// Writes one frame whose payload `encode` appends to an empty buffer.
    pub(crate) fn frame(
        &mut self,
        (kind, process): (u8, u16),
        first: u32,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        self.raw.clear();
        encode(&mut self.raw);
        let compressed = self.compress();
        let payload = if compressed { &self.stored } else { &self.raw };
        let header = ChunkHeader {
            kind,
            flags: if compressed { ChunkHeader::ZSTD } else { 0 },
            process,
            sequence: self.sequence,
            first,
            stored_bytes: payload.len() as u32,
            raw_bytes: self.raw.len() as u32,
            checksum: crc32fast::hash(payload),
        };
        (self.write)(&header.to_bytes(crc32fast::hash));
        (self.write)(payload);
        self.n_bytes += (ChunkHeader::BYTES + payload.len()) as u64;
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Fills `self.stored`; `false` where that saves nothing.
    fn compress(&mut self) -> bool {
        if self.raw.len() < MIN_COMPRESSED_BYTES {
            return false;
        }
        self.stored.resize(self.raw.len(), 0);
        match self.compressor.compress_to_buffer(&self.raw[..], &mut self.stored[..]) {
            Ok(n) => {
                self.stored.truncate(n);
                true
            }
            Err(_) => false,
        }
    }
}
