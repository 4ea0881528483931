//! Finds CPython in a process: which version, where its state lies, which interpreters it runs.

use alloc::string::String;
use alloc::vec::Vec;

use crate::Memory;
use crate::layouts::Layout;

/// A CPython runtime that we can read.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// Where everything lies in this version.
    pub layout: &'static Layout,
    /// `sys.hexversion`.
    pub version_hex: u32,
    /// Address of `_PyRuntime`.
    pub address: u64,
    /// Addresses of the interpreter states, main interpreter last as CPython links them.
    pub interpreters: Vec<u64>,
}

/// Why a process cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {found}; supported is {supported}")]
pub struct Unsupported {
    /// What the process is, as far as could be seen.
    pub found: String,
    /// What heapray reads.
    pub supported: &'static str,
}

impl Runtime {
    /// Recognises the runtime. `symbol` answers the address of a global symbol of the process
    /// (from `.dynsym` at least; asked for `_PyRuntime`, `Py_Version` and the marks of other builds).
    ///
    /// Errors: anything but a CPython 3.10 to 3.15 release build with a GIL on x86-64.
    pub fn find<M: Memory>(_mem: &M, _symbol: &dyn Fn(&str) -> Option<u64>) -> Result<Runtime, Unsupported> {
        todo!()
    }
}
