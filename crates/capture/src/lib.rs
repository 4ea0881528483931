//! Bytes to validated columnar tables. No I/O: bytes are pushed in, tables come out; damage gives data plus a
//! list of what was lost.

mod tables;

pub use tables::{HeapTables, Loss, SnapshotFile};
