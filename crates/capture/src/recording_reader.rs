//! A recording, pushed in pieces, to its tables.

use heapray_wire::EventRow;

use crate::error::CaptureError;
use crate::recording::Recording;

/// Takes the events of a recording as they are read: process number, and events in order.
pub type EventVisitor<'a> = Box<dyn FnMut(u32, &[EventRow]) + 'a>;

/// Reads a recording that is pushed in pieces. Events are left unread unless asked for.
pub struct RecordingReader<'a> {
    file: String,
    keep_events: bool,
    visitor: Option<EventVisitor<'a>>,
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
    /// Starts to read what errors call `file`.
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), keep_events: false, visitor: None }
    }

    /// Keeps all events in the tables: 40 bytes each.
    pub fn keep_events(mut self) -> Self {
        self.keep_events = true;
        self
    }

    /// Calls `visitor` with the events of each frame, in file order.
    pub fn on_events(mut self, visitor: impl FnMut(u32, &[EventRow]) + 'a) -> Self {
        self.visitor = Some(Box::new(visitor));
        self
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`CaptureError::Foreign`], [`CaptureError::Newer`] and [`CaptureError::OtherKind`], once enough of the file is
    /// known; push no more then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), CaptureError> {
        let _ = bytes;
        Ok(())
    }

    /// The file is over: checks all ids and gives the tables.
    ///
    /// # Errors
    /// As [`Self::push`], and [`CaptureError::NothingLeft`].
    pub fn finish(self) -> Result<Recording, CaptureError> {
        Err(CaptureError::NothingLeft { file: self.file, why: "it ends after its header".into() })
    }
}
