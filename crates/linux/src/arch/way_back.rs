//! How a thread that runs for us becomes itself again when we are gone by then.
//!
//! Our code in it ends as a signal's handler does: by `rt_sigreturn` of a frame on the stack from which the kernel takes registers,
//! vectors and signal mask. We write that frame from what the thread is when we come. While we live it is never used.
//! Where the thread was stopped inside a system call, the call starts anew, as after a signal.

use super::{
    CALL_AND_RETURN, Call, EXIT_GROUP, FunctionCall, RED_ZONE, Registers, SIGNAL_RETURN, SYSCALL_INSTRUCTION,
    frame_below,
};

/// The code in a process by which a thread makes system calls for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// A system call instruction; a return follows where there is a `signal_return`.
    pub call: u64,
    /// `rt_sigreturn`, as the C library has it.
    pub signal_return: Option<u64>,
}

impl Gate {
    /// What stands there, to be found and to be looked at again: for a way back a call with its return and a signal's return, else
    /// the call alone.
    pub const WITH_WAY_BACK: [&[u8]; 2] = [&CALL_AND_RETURN, &SIGNAL_RETURN];
    /// The call alone.
    pub const PLAIN: &[u8] = &SYSCALL_INSTRUCTION;
}

/// All that a thread is, besides its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadState {
    /// General registers.
    pub registers: Registers,
    /// The others, as the kernel gives them.
    pub extended: Vec<u8>,
    /// Signals that it blocks, a bit each.
    pub signal_mask: u64,
}

/// The frame of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Stack pointer of who takes it.
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
}

/// For a thread that makes a system call on its own stack, and for the child that the call may make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayBack {
    /// What is to be written, and where: below the thread's stack, where a signal's frame would be.
    pub start: u64,
    /// See `start`.
    pub bytes: Vec<u8>,
    /// The registers that make the call.
    pub registers: Registers,
}

impl WayBack {
    /// The way back of a thread of this state that makes `call` by `gate`. A `clone` gets a stack on which its child, should it ever run,
    /// goes to its end at once, with exit status `child_status`. `None` where the gate has no way back.
    pub fn new(state: &ThreadState, call: &Call, gate: Gate, child_status: u8) -> Option<Self> {
        let signal_return = gate.signal_return?;
        let top = state.registers.stack_pointer().checked_sub(RED_ZONE)?;
        let own = frame_below(top, signal_return, state)?;
        let end = Call::new(EXIT_GROUP, &[child_status.into()]);
        let registers = state.registers.prepared(&end, gate.call);
        let end = ThreadState { registers, extended: Vec::new(), signal_mask: state.signal_mask };
        let child = frame_below(own.at, signal_return, &end)?;
        let mut bytes = child.bytes;
        bytes.resize(usize::try_from(own.at - child.at).ok()?, 0);
        bytes.extend(own.bytes);
        let registers = state.registers.prepared(&call.with_child_stack(child.at), gate.call);
        Some(Self { start: child.at, bytes, registers: registers.returning(own.at, signal_return) })
    }
}

/// Where a called function comes back to: two words on its stack that the code there writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landing {
    /// 0; 1 when the function has returned.
    pub done: u64,
    /// What it has answered.
    pub result: u64,
}

/// Bytes of a landing's two words.
const LANDING_BYTES: u64 = 16;

/// For a thread that calls a function, on a stack of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is to be written, and where: the top of the function's stack.
    pub start: u64,
    /// See `start`.
    pub bytes: Vec<u8>,
    /// The registers with which the function starts.
    pub registers: Registers,
    /// Where it comes back to.
    pub landing: Landing,
}

impl Entry {
    /// How a thread of this state calls a function. `None` where the kernel did not give the state in a form that it takes back.
    pub fn new(state: &ThreadState, call: &FunctionCall) -> Option<Self> {
        let frame = frame_below(call.stack_top, 0, state)?;
        let landing = frame.at.checked_sub(LANDING_BYTES)?;
        let (registers, words) = state.registers.calling(call, landing);
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend([0; LANDING_BYTES as usize]);
        bytes.extend(frame.bytes);
        let start = registers.stack_pointer();
        Some(Self { start, bytes, registers, landing: Landing { done: landing, result: landing + 8 } })
    }
}

/// Bytes that are written one field after the other.
#[derive(Debug, Default)]
pub(super) struct Fields(pub(super) Vec<u8>);

impl Fields {
    pub(super) fn words(&mut self, words: &[u64]) {
        self.0.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    pub(super) fn zeros_to(&mut self, len: usize) {
        self.0.resize(len, 0);
    }
}
