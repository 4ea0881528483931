//! Readers of objects: their references, their memory, their sizes.
//!
//! Every reader is bounded by the sizes it reads *and* by what memory can hold, and gives up where they do not fit.

use alloc::string::String;

use crate::{Memory, Runtime, Sink, TypeInfo};

/// Whether an object could be read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// All of it.
    Complete,
    /// Sizes or pointers did not fit; what was reported is what could be read.
    Torn,
}

/// Reports every reference of `object` but that to its type, and its out-of-line memory.
pub fn references<M: Memory>(
    _mem: &M,
    _rt: &Runtime,
    _info: &TypeInfo,
    _object: u64,
    _sink: &mut impl Sink,
) -> Read {
    Read::Torn
}

/// `sys.getsizeof(object)` in bytes.
pub fn shallow_size<M: Memory>(_mem: &M, _rt: &Runtime, info: &TypeInfo, _object: u64) -> u64 {
    info.basic_size
}

/// Bytes from the object's address to its end.
pub fn own_bytes<M: Memory>(_mem: &M, _rt: &Runtime, info: &TypeInfo, _object: u64) -> u64 {
    info.basic_size
}

/// Whether what lies at `object` can be an instance of `info`: a cheap test for the census of blocks.
pub fn is_object<M: Memory>(_mem: &M, _rt: &Runtime, _info: &TypeInfo, _object: u64) -> bool {
    false
}

/// `__name__` of the module at `module`.
pub fn module_name<M: Memory>(_mem: &M, _rt: &Runtime, _module: u64) -> Option<String> {
    None
}

/// The qualified name of the function, code object, generator or builtin function at `object`.
pub fn function_name<M: Memory>(_mem: &M, _rt: &Runtime, _info: &TypeInfo, _object: u64) -> Option<String> {
    None
}

/// The value of the `str` key `key` in the dict at `dict`. Cost: linear in the entries.
pub fn dict_lookup_str<M: Memory>(_mem: &M, _rt: &Runtime, _dict: u64, _key: &str) -> Option<u64> {
    None
}
