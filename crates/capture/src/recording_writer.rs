//! Chunks of a recording to the bytes of a capture.
//!
//! Does no I/O: bytes go to a closure, in order, whole frames at a time. Keeps one chunk in memory.

use heapray_wire::{MIN_RECORDING_READER, RecordingChunk};

use crate::framing::FrameWriter;
use crate::recording_split::parts;

/// Writes a recording to a closure.
///
/// ```
/// use heapray_capture::RecordingWriter;
/// use heapray_wire::{RecordingChunk, TaskEnd};
///
/// let mut bytes = Vec::new();
/// let mut writer = RecordingWriter::new(|part: &[u8]| bytes.extend_from_slice(part));
/// writer.chunk(&RecordingChunk::Recording(vec![]), 0);
/// writer.chunk(&RecordingChunk::Task(vec![]), 0);
/// writer.chunk(&RecordingChunk::End(TaskEnd::default()), 0);
/// writer.finish();
/// let recording = heapray_capture::read_recording("example", &bytes);
/// assert_eq!(recording.map(|recording| recording.tasks.len()), Ok(1));
/// ```
pub struct RecordingWriter<W: FnMut(&[u8])> {
    frames: FrameWriter<W>,
    next: NextIds,
}

/// Ids that the next rows of the file get.
#[derive(Default)]
struct NextIds {
    texts: u32,
    frames: u32,
    nodes: u32,
}

impl NextIds {
    /// What the header of `chunk`, which has `before` rows of its kind before it, says of its rows; counts them.
    fn pass(&mut self, chunk: &RecordingChunk, before: u32) -> u32 {
        let (next, n) = match chunk {
            RecordingChunk::Texts(rows) => (&mut self.texts, rows.len()),
            RecordingChunk::Frames(rows) => (&mut self.frames, rows.len()),
            RecordingChunk::Nodes(rows) => (&mut self.nodes, rows.len()),
            RecordingChunk::Events(rows) => return rows.len() as u32,
            RecordingChunk::Peak(_) | RecordingChunk::Inherited(_) => return before,
            _ => return 0,
        };
        let first = *next;
        *next = first.checked_add(n as u32).expect("ids fit into 32 bits");
        first
    }
}

impl<W: FnMut(&[u8])> RecordingWriter<W> {
    /// Starts a recording; its file header goes to `write` at once. Errors of `write` are its owner's to remember.
    pub fn new(write: W) -> Self {
        Self { frames: FrameWriter::new(write, MIN_RECORDING_READER), next: NextIds::default() }
    }

    /// Writes one chunk of a process, as several where it outgrows the format's bounds. The number of the process
    /// says nothing for chunks of the file. Costs about 50 CPU ns an event.
    ///
    /// # Panics
    /// Where there are more ids than 32 bits can tell apart.
    pub fn chunk(&mut self, chunk: &RecordingChunk, process: u16) {
        match parts(chunk) {
            None => self.part(chunk, 0, process),
            Some(parts) => parts.iter().for_each(|(before, part)| self.part(part, *before, process)),
        }
    }

    /// Marks the recording as whole; answers its bytes.
    pub fn finish(self) -> u64 {
        self.frames.finish(0)
    }

    /// Bytes written so far.
    pub fn n_bytes(&self) -> u64 {
        self.frames.n_bytes()
    }

    fn part(&mut self, chunk: &RecordingChunk, before: u32, process: u16) {
        let first = self.next.pass(chunk, before);
        let process = if is_of_file(chunk) { 0 } else { process };
        self.frames.frame((chunk.kind(), process), first, |raw| chunk.encode(raw));
    }
}

/// Whether a chunk belongs to all processes.
fn is_of_file(chunk: &RecordingChunk) -> bool {
    matches!(
        chunk,
        RecordingChunk::Recording(_)
            | RecordingChunk::Texts(_)
            | RecordingChunk::Frames(_)
            | RecordingChunk::Nodes(_)
    )
}
