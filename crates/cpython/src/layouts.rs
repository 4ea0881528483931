//! The table of CPython layouts: one row per range of versions. Nothing outside this module compares versions.
//!
//! A row holds offsets in bytes *and* behaviours as enums. `cargo xtask layouts` checks every field of every row
//! against the headers of the interpreters it finds.

mod fields;
mod objects;
mod runtime;

pub use fields::Offset;
pub(crate) use fields::layout;
pub use objects::ObjectLayout;
pub use runtime::RuntimeLayout;

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

/// All rows, oldest first, without overlap.
pub static LAYOUTS: &[Layout] = &[];

/// The row for `version_hex`.
pub fn for_version(version_hex: u32) -> Option<&'static Layout> {
    LAYOUTS.iter().find(|layout| (layout.first..=layout.last).contains(&version_hex))
}
