//! Chunks to the bytes of a capture: headers, compression, checksums.
//!
//! Does no I/O: bytes go to a closure, in order, whole frames at a time. Keeps one chunk in memory.

use heapray_wire::{
    Chunk, ChunkHeader, FORMAT_VERSION, FileHeader, MIN_READER_VERSION, encode, kind, kind_of,
};
use zstd::bulk::Compressor;

use crate::split;

/// Compression level: the fastest that codes literals, as files are well below the bar (benches/results/format.md).
const LEVEL: i32 = 1;

/// Payloads below this stay as they are.
const MIN_COMPRESSED_BYTES: usize = 64;

/// Writes a capture to a closure.
///
/// ```
/// use heapray_capture::SnapshotWriter;
/// use heapray_wire::Chunk;
///
/// let mut bytes = Vec::new();
/// let mut writer = SnapshotWriter::new(|part: &[u8]| bytes.extend_from_slice(part));
/// writer.chunk(&Chunk::Process(vec![]));
/// writer.chunk(&Chunk::End);
/// writer.finish();
/// assert_eq!(heapray_capture::read("example", &bytes).map(|file| file.processes.len()), Ok(1));
/// ```
pub struct SnapshotWriter<W: FnMut(&[u8])> {
    write: W,
    compressor: Compressor<'static>,
    raw: Vec<u8>,
    stored: Vec<u8>,
    sequence: u32,
    process: Option<u16>,
    next: NextIds,
    n_bytes: u64,
}

/// Ids that the next rows of a process get.
#[derive(Default)]
struct NextIds {
    strings: u32,
    types: u32,
    shapes: u32,
}

impl NextIds {
    /// The id of the first row of `chunk`, and counts its rows.
    fn pass(&mut self, chunk: &Chunk) -> u32 {
        let (next, n) = match chunk {
            Chunk::Strings(rows) => (&mut self.strings, rows.len()),
            Chunk::Types(rows) => (&mut self.types, rows.len()),
            Chunk::Shapes(rows) => (&mut self.shapes, rows.len()),
            Chunk::Nodes(nodes) => return nodes.first,
            _ => return 0,
        };
        let first = *next;
        *next += n as u32;
        first
    }
}

impl<W: FnMut(&[u8])> SnapshotWriter<W> {
    /// Starts a capture; its file header goes to `write` at once. Errors of `write` are its owner's to remember.
    pub fn new(mut write: W) -> Self {
        let header = FileHeader { version: FORMAT_VERSION, min_reader: MIN_READER_VERSION };
        write(&header.to_bytes(crc32fast::hash));
        Self {
            write,
            compressor: Compressor::new(LEVEL).expect("zstd allocates a context and knows the level"),
            raw: Vec::new(),
            stored: Vec::new(),
            sequence: 0,
            process: None,
            next: NextIds::default(),
            n_bytes: FileHeader::BYTES as u64,
        }
    }

    /// Writes one chunk, as several where it outgrows the format's bounds. Costs about 0.1 CPU µs a node.
    ///
    /// # Panics
    /// Where the columns of a `NodeChunk` differ in length, or a file has more than 65,536 processes.
    pub fn chunk(&mut self, chunk: &Chunk) {
        if let Chunk::Process(_) = chunk {
            let process =
                self.process.map_or(0, |last| last.checked_add(1).expect("at most 65,536 processes"));
            self.process = Some(process);
            self.next = NextIds::default();
        }
        split::parts(chunk, |part| self.part(part));
    }

    /// Marks the capture as whole; answers its bytes.
    pub fn finish(mut self) -> u64 {
        self.raw.clear();
        self.frame(kind::FILE_END, 0);
        self.n_bytes
    }

    /// Bytes written so far.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    fn part(&mut self, chunk: &Chunk) {
        let first = self.next.pass(chunk);
        self.raw.clear();
        encode(chunk, &mut self.raw);
        self.frame(kind_of(chunk), first);
    }

    /// Writes `self.raw` as the payload of one frame.
    fn frame(&mut self, kind: u8, first: u32) {
        let compressed = self.compress();
        let payload = if compressed { &self.stored } else { &self.raw };
        let header = ChunkHeader {
            kind,
            flags: if compressed { ChunkHeader::ZSTD } else { 0 },
            process: self.process.unwrap_or(0),
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
