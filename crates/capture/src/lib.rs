//! Bytes to validated columnar tables, and chunks to bytes. No I/O: bytes are pushed in, tables come out; damage
//! gives data plus a list of what was lost.

mod build;
mod error;
mod foreign;
mod frames;
mod reader;
mod seal;
mod split;
mod tables;
mod writer;

pub use error::CaptureError;
pub use reader::{SnapshotReader, read};
pub use tables::{HeapTables, Loss, SnapshotFile};
pub use writer::SnapshotWriter;
