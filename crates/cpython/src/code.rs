//! What a code object says of itself.

use alloc::string::String;

use crate::{Memory, Runtime, linetable, strings};

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

/// Longest name or path read, in characters (`PATH_MAX`).
const NAME_LIMIT: usize = 4096;

/// Longest line table read, in bytes.
const TABLE_LIMIT: usize = 64 << 20;

/// Reads the code object at `code`; `None` where it is none or unreadable.
pub fn info<M: Memory>(mem: &M, rt: &Runtime, code: u64) -> Option<CodeInfo> {
    let layout = &rt.layout.runtime;
    let text = |offset: u32| strings::read(mem, rt, mem.u64(at(code, offset)?)?, NAME_LIMIT);
    let name = text(layout.code_name)?;
    let qualname = match layout.code_qualname {
        Some(offset) => text(offset)?,
        None => name.clone(),
    };
    Some(CodeInfo {
        name,
        qualname,
        filename: text(layout.code_filename)?,
        first_line: mem.u32(at(code, layout.code_first_line)?)?,
        flags: mem.u32(at(code, layout.code_flags)?)?,
    })
}

/// The source line of the instruction at byte offset `lasti` of the code object, as [`linetable::line`].
pub fn line<M: Memory>(mem: &M, rt: &Runtime, code: u64, lasti: i32) -> Option<u32> {
    let layout = &rt.layout.runtime;
    let first_line = mem.u32(at(code, layout.code_first_line)?)?;
    let table = mem.u64(at(code, layout.code_line_table)?)?;
    let len = mem.u64(at(table, layout.var_size)?)?;
    let bytes = mem.bytes(at(table, layout.bytes_data)?, len, TABLE_LIMIT)?;
    linetable::line(&bytes, first_line, lasti, layout.line_table)
}

/// `base + offset`, where that is an address at all.
#[inline]
pub(crate) fn at(base: u64, offset: u32) -> Option<u64> {
    base.checked_add(offset.into())
}
