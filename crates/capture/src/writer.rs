//! Chunks of a snapshot to the bytes of a capture.
//!
//! Does no I/O: bytes go to a closure, in order, whole frames at a time. Keeps one chunk in memory.

use heapray_wire::{Chunk, MIN_SNAPSHOT_READER, encode, kind_of};

use crate::framing::FrameWriter;
use crate::split;

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
    frames: FrameWriter<W>,
    process: Option<u16>,
    next: NextIds,
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
    pub fn new(write: W) -> Self {
        Self { frames: FrameWriter::new(write, MIN_SNAPSHOT_READER), process: None, next: NextIds::default() }
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
    pub fn finish(self) -> u64 {
        self.frames.finish(self.process.unwrap_or(0))
    }

    /// Bytes written so far.
    pub fn n_bytes(&self) -> u64 {
        self.frames.n_bytes()
    }

    fn part(&mut self, chunk: &Chunk) {
        let first = self.next.pass(chunk);
        self.frames.frame((kind_of(chunk), self.process.unwrap_or(0)), first, |raw| encode(chunk, raw));
    }
}
