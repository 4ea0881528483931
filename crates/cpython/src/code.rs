//! What a code object says of itself.

use alloc::string::String;

use crate::{Memory, Runtime};

/// The names of a code object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeInfo {
    /// `co_name`.
    pub name: String,
    /// `co_qualname`; 3.10 has none, there it is the name.
    pub qualname: String,
    /// `co_filename`.
    pub filename: String,
    /// `co_firstlineno`.
    pub first_line: u32,
    /// `co_flags`.
    pub flags: u32,
}

/// Reads the code object at `code`; `None` where it is none or unreadable.
pub fn info<M: Memory>(_mem: &M, _rt: &Runtime, _code: u64) -> Option<CodeInfo> {
    None
}
