//! Chunks of a recording to the bytes of a capture.

use heapray_wire::{FORMAT_VERSION, FileHeader, RecordingChunk};

/// Writes a recording to a closure: bytes in order, whole frames at a time. Does no I/O, keeps one chunk in memory.
pub struct RecordingWriter<W: FnMut(&[u8])> {
    write: W,
    n_bytes: u64,
}

impl<W: FnMut(&[u8])> RecordingWriter<W> {
    /// Starts a recording; its file header goes to `write` at once. Errors of `write` are its owner's to remember.
    pub fn new(mut write: W) -> Self {
        let header = FileHeader { version: FORMAT_VERSION, min_reader: FORMAT_VERSION };
        write(&header.to_bytes(crc32fast::hash));
        Self { write, n_bytes: FileHeader::BYTES as u64 }
    }

    /// Writes one chunk of a process (ignored for chunks of the file), as several where it outgrows the format's
    /// bounds.
    pub fn chunk(&mut self, chunk: &RecordingChunk, process: u16) {
        let _ = (chunk, process);
    }

    /// Marks the recording as whole; answers its bytes.
    pub fn finish(mut self) -> u64 {
        (self.write)(&[]);
        self.n_bytes
    }

    /// Bytes written so far.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }
}
