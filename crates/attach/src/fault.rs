//! Failures on the guardian's side, small enough to send through a pipe; [`crate::AttachError`] explains them.

use std::io;

/// Where the guardian failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    /// Seizing a thread.
    Seize = 1,
    /// A thread did not stop; `number` is its state letter.
    Stop = 2,
    /// The target ended.
    Gone = 3,
    /// No system call instruction.
    Instruction = 4,
    /// clone in the target; `number` is its error.
    Clone = 5,
    /// A thread waits for all kinds of children.
    WaitsForAll = 6,
    /// 32-bit code.
    Native = 7,
    /// seccomp cannot be suspended; `number` is the mode.
    Seccomp = 8,
    /// Any other ptrace request; `number` is its error.
    Ptrace = 9,
    /// All threads are inside restartable sequences.
    Sequence = 10,
    /// Memory or a memory file could not be had in the target; `number` is the error.
    Map = 11,
    /// The target's memory could not be written; `number` is the error.
    Write = 12,
    /// The memory file could not be opened here; `number` is the error.
    Shared = 13,
    /// The agent would not start; `number` is its answer.
    Refused = 14,
    /// The agent had an accident; `number` is the signal.
    Crashed = 15,
    /// The agent did not end.
    Hung = 16,
}

impl Step {
    const ALL: [Self; 16] = [
        Self::Seize,
        Self::Stop,
        Self::Gone,
        Self::Instruction,
        Self::Clone,
        Self::WaitsForAll,
        Self::Native,
        Self::Seccomp,
        Self::Ptrace,
        Self::Sequence,
        Self::Map,
        Self::Write,
        Self::Shared,
        Self::Refused,
        Self::Crashed,
        Self::Hung,
    ];

    /// The step with this number.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step as u64 == number)
    }
}

/// What failed, on which thread, with which number (an error number unless the step says otherwise).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) step: Step,
    pub(crate) tid: i32,
    pub(crate) number: i32,
}

impl Fault {
    /// A fault at `step`.
    pub(crate) fn new(step: Step, tid: i32, number: i32) -> Self {
        Self { step, tid, number }
    }

    /// The fault that a failed ptrace request on `tid` stands for: a thread that is not there has been killed.
    pub(crate) fn ptrace(tid: i32) -> impl Fn(io::Error) -> Self {
        move |error| match error.raw_os_error() {
            Some(libc_errno::ESRCH | libc_errno::ECHILD) => Self::new(Step::Gone, tid, 0),
            number => Self::new(Step::Ptrace, tid, number.unwrap_or(0)),
        }
    }
}

/// Error numbers that are the same on every Linux architecture we build for.
pub(crate) mod libc_errno {
    pub(crate) const EPERM: i32 = 1;
    pub(crate) const ENOENT: i32 = 2;
    pub(crate) const ESRCH: i32 = 3;
    pub(crate) const ECHILD: i32 = 10;
    pub(crate) const EAGAIN: i32 = 11;
    pub(crate) const ENOMEM: i32 = 12;
    pub(crate) const EINVAL: i32 = 22;
}
