//! A recording, pushed in pieces, to its tables. One path for files and live bytes.
//!
//! Damage gives what is left plus a list of losses; only a file that is no recording, or asks for a newer reader, is
//! an error. Memory: the tables and one chunk; events only if asked for.

use heapray_wire::{ChunkHeader, EventRow, RecordingChunk, decode_events_into, kind};

use crate::error::CaptureError;
use crate::frames::{Frames, Splitter};
use crate::payload::{Losses, Payload, Sequence};
use crate::recording::Recording;
use crate::recording_build::Builder;
use crate::recording_seal::seal;
use crate::sniff::{self, FileKind};
use crate::tables::Loss;

/// Takes the events of a recording as they are read: process number, and events in order.
pub type EventVisitor<'a> = Box<dyn FnMut(u32, &[EventRow]) + 'a>;

/// Reads a recording that is pushed in pieces. Events are left unread unless asked for.
pub struct RecordingReader<'a> {
    file: String,
    splitter: Splitter,
    loader: Loader<'a>,
}

/// The recording in `bytes`, called `file` in errors, without its events.
///
/// # Errors
/// As [`RecordingReader::push`] and [`RecordingReader::finish`].
pub fn read_recording(file: &str, bytes: &[u8]) -> Result<Recording, CaptureError> {
    let mut reader = RecordingReader::new(file);
    reader.push(bytes)?;
    reader.finish()
}

impl<'a> RecordingReader<'a> {
    /// Starts to read what errors call `file`: a path, or `the recording of 4242`.
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), splitter: Splitter::new(file.to_owned()), loader: Loader::new() }
    }

    /// Keeps all events in the tables: 40 bytes each.
    pub fn keep_events(mut self) -> Self {
        self.loader.keep_events = true;
        self
    }

    /// Calls `visitor` with the events of each frame, in file order; events of one process are in order of time.
    pub fn on_events(mut self, visitor: impl FnMut(u32, &[EventRow]) + 'a) -> Self {
        self.loader.visitor = Some(Box::new(visitor));
        self
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`CaptureError::Foreign`], [`CaptureError::Newer`] and [`CaptureError::OtherKind`], once enough of the file is
    /// known; push no more then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), CaptureError> {
        self.splitter.push(bytes, &mut self.loader)?;
        self.loader.right_kind(&self.file)
    }

    /// The file is over: checks all ids and gives the tables.
    ///
    /// # Errors
    /// As [`Self::push`], and [`CaptureError::NothingLeft`] where neither the recording's facts nor a process is
    /// there.
    pub fn finish(mut self) -> Result<Recording, CaptureError> {
        let end = self.splitter.finish(&mut self.loader)?;
        self.loader.right_kind(&self.file)?;
        let is_empty = self.loader.builder.is_empty();
        let recording = self.loader.finish(end);
        if is_empty {
            let why =
                recording.losses.first().map_or("it ends after its header", |loss| &loss.what).to_owned();
            return Err(CaptureError::NothingLeft { file: self.file, why });
        }
        Ok(recording)
    }
}

/// Frames to tables.
struct Loader<'a> {
    payload: Payload,
    events: Vec<EventRow>,
    keep_events: bool,
    visitor: Option<EventVisitor<'a>>,
    builder: Builder,
    losses: Losses,
    sequence: Sequence,
    /// The first frame that was taken belongs to a snapshot.
    is_snapshot: bool,
    whole: bool,
}

impl Frames for Loader<'_> {
    fn frame(&mut self, at: u64, header: &ChunkHeader, payload: &[u8]) {
        self.count(at, header);
        if let Err(why) = self.take(at, header, payload) {
            let what = heapray_wire::name(header.kind);
            let what = format!("frame {} ({what}) {why}; left out", header.sequence);
            self.losses.push(Loss { offset: at, what });
        }
    }

    fn loss(&mut self, loss: Loss) {
        self.losses.push(loss);
    }
}

impl Loader<'_> {
    fn new() -> Self {
        Self {
            payload: Payload::new(),
            events: Vec::new(),
            keep_events: false,
            visitor: None,
            builder: Builder::default(),
            losses: Losses::default(),
            sequence: Sequence::default(),
            is_snapshot: false,
            whole: false,
        }
    }

    fn right_kind(&self, file: &str) -> Result<(), CaptureError> {
        if self.is_snapshot { Err(CaptureError::snapshot(file)) } else { Ok(()) }
    }

    /// Notices frames that are missing.
    fn count(&mut self, at: u64, header: &ChunkHeader) {
        let what = match self.sequence.pass(header) {
            Ok(0) => return,
            Ok(n) => {
                self.builder.missing_frames += u64::from(n);
                format!("{n} frames are missing here")
            }
            Err(what) => what,
        };
        self.losses.push(Loss { offset: at, what });
    }

    fn take(&mut self, at: u64, header: &ChunkHeader, payload: &[u8]) -> Result<(), String> {
        if header.kind == kind::FILE_END {
            self.whole = true;
            return Ok(());
        }
        if header.kind >= kind::OPTIONAL {
            return Ok(());
        }
        if sniff::of(header.kind) == Some(FileKind::Snapshot) {
            self.is_snapshot |= self.builder.is_empty();
            return Err("belongs to a snapshot".into());
        }
        self.builder.takes().map_err(str::to_owned)?;
        if header.kind == kind::EVENTS {
            return self.events(header, payload);
        }
        let raw = self.payload.decompress(header, payload)?;
        let chunk =
            RecordingChunk::decode(header.kind, raw).map_err(|error| format!("is malformed: {error}"))?;
        self.builder.chunk((chunk, raw), header, at).map_err(str::to_owned)
    }

    /// Reads events, if anybody wants them.
    fn events(&mut self, header: &ChunkHeader, payload: &[u8]) -> Result<(), String> {
        if !self.keep_events && self.visitor.is_none() {
            self.builder.events_unread(header);
            return Ok(());
        }
        let raw = self.payload.decompress(header, payload)?;
        decode_events_into(raw, &mut self.events).map_err(|error| format!("is malformed: {error}"))?;
        self.builder.events(&mut self.events, header.process);
        if self.keep_events {
            self.builder.keep(&self.events, header.process);
        }
        if let Some(visitor) = &mut self.visitor {
            visitor(header.process.into(), &self.events);
        }
        Ok(())
    }

    fn finish(mut self, end: u64) -> Recording {
        let (mut recording, lines) = seal(self.builder, !(self.whole && self.losses.is_empty()));
        lines.into_iter().for_each(|what| self.losses.push(Loss { offset: end, what }));
        if !self.whole {
            let what = "the file ends without its end mark: it is cut off, or still being written".into();
            self.losses.push(Loss { offset: end, what });
        }
        recording.losses = self.losses.finish(end);
        recording
    }
}
