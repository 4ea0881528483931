//! The table of CPython layouts: one row per range of versions. Nothing outside this module compares versions.
//!
//! A row holds offsets in bytes *and* behaviours as enums. `cargo xtask layouts` checks every field of every row
//! against the headers of the interpreters it finds.

mod fields;
mod objects;
mod rows;
mod runtime;

pub use fields::Offset;
pub(crate) use fields::layout;
pub use objects::{
    Attributes, BufferSizes, Field, Finished, Headers, IntSize, IntSizeof, Keys, ObjectLayout, Record,
    StructSeq,
};
pub use rows::LAYOUTS;
pub use runtime::{
    CurrentThread, DebugOffset, Frames, GcLists, LineTable, Refcounts, Root, RuntimeLayout, Slots, StackTop,
};

/// What one range of CPython versions looks like in memory (x86-64, release build, with a GIL).
#[derive(Debug)]
pub struct Layout {
    /// First `sys.hexversion` that this row describes.
    pub first: u32,
    /// Last `sys.hexversion` that this row describes.
    pub last: u32,
    /// Interpreter, threads, frames, collector, code, strings.
    pub runtime: RuntimeLayout,
    /// Objects of builtin types.
    pub objects: ObjectLayout,
}

/// The versions that the table covers, for messages.
pub const SUPPORTED: &str = "CPython 3.10 to 3.15, release builds with a GIL, on x86-64";

/// The rows that may describe `version_hex`, most likely first; the caller checks them against the process.
pub fn for_version(version_hex: u32) -> impl Iterator<Item = &'static Layout> {
    LAYOUTS.iter().filter(move |layout| (layout.first..=layout.last).contains(&version_hex))
}
