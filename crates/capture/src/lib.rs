//! Bytes to validated columnar tables, and chunks to bytes. No I/O: bytes are pushed in, tables come out; damage
//! gives data plus a list of what was lost.

mod build;
mod error;
mod facts;
mod foreign;
mod frames;
mod framing;
mod payload;
mod reader;
mod recording;
mod recording_build;
mod recording_reader;
mod recording_seal;
mod recording_split;
mod recording_writer;
mod seal;
mod slices;
mod sniff;
mod split;
mod tables;
mod writer;

pub mod synthetic;

pub use error::CaptureError;
pub use reader::{SnapshotReader, read};
pub use recording::{Recording, Task};
pub use recording_reader::{EventVisitor, RecordingReader, read_recording};
pub use recording_writer::RecordingWriter;
pub use slices::{SliceIter, Slices};
pub use sniff::{FileKind, sniff};
pub use tables::{HeapTables, Loss, SnapshotFile};
pub use writer::SnapshotWriter;
