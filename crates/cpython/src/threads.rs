//! The threads of an interpreter and what their states hold.

use alloc::vec::Vec;

use crate::{Memory, Runtime, Sink};

/// A thread state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Address of the `PyThreadState`.
    pub address: u64,
    /// The kernel's thread id, where this version records it (3.11 and later).
    pub native_tid: Option<u32>,
    /// `threading.get_ident()`.
    pub python_id: u64,
    /// Innermost frame, where the thread runs Python.
    pub frame: Option<u64>,
}

/// The threads of `interp`, newest first as CPython links them. Bounded; a torn list ends early.
pub fn threads<M: Memory>(_mem: &M, _rt: &Runtime, _interp: u64) -> Vec<Thread> {
    Vec::new()
}

/// Reports every reference that the thread state holds (not those of its frames).
pub fn roots<M: Memory>(_mem: &M, _rt: &Runtime, _thread: &Thread, _sink: &mut impl Sink) {}
