//! Interpreter frames: the stack of a thread, and what a frame holds.

use crate::threads::Thread;
use crate::{Memory, Runtime, Sink};

/// Who owns a frame's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameOwner {
    /// The thread's own stack of frames.
    Thread,
    /// A generator, coroutine or asynchronous generator: the frame lies inside that object.
    Generator,
    /// A frame object that outlived its call, or any frame of 3.10.
    FrameObject,
    /// The interpreter itself: an entry frame that runs no Python code.
    Interpreter,
}

/// One frame of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRef {
    /// Address of the `_PyInterpreterFrame` (3.10: of the `PyFrameObject`).
    pub address: u64,
    /// Address of the code object.
    pub code: u64,
    /// The `PyFrameObject`, where one exists.
    pub object: Option<u64>,
    /// Who owns it.
    pub owner: FrameOwner,
    /// Current line, where the line table gives one.
    pub line: Option<u32>,
    /// Byte offset of the current instruction; negative before the first.
    pub lasti: i32,
}

/// Calls `f` with each Python frame of the thread, innermost first; answers how many. Bounded; a torn chain ends early.
pub fn stack<M: Memory>(_mem: &M, _rt: &Runtime, _thread: &Thread, _f: impl FnMut(FrameRef)) -> u64 {
    0
}

/// Reports every reference that the frame at `frame` holds. Works for frames of any owner; the caller sees to it that
/// a frame which a generator or frame object owns is reported once.
pub fn references<M: Memory>(_mem: &M, _rt: &Runtime, _frame: u64, _sink: &mut impl Sink) {}
