//! Runs one system call in a stopped thread, without writing to its memory. Runs in the guardian.
//!
//! The call is made by an existing `syscall` instruction; registers are saved before and put back after, and the thread
//! then passes one more stop so that the kernel's restart of the call it was in (poll, futex, …) still happens.
//! In a thread of the target signals are never held back: one that arrives before the call is delivered first.
//!
//! What cannot be excluded: if the guardian itself is killed by SIGKILL between setting the registers and putting them
//! back, the thread goes on behind our instruction. So only calls of some microseconds are made in the target.

use heapray_linux::arch::{Call, Registers};
use heapray_linux::{Mapping, RemoteMemory, Resume, Stop, Tracee};

use crate::fault::{Fault, Step, libc_errno};
use crate::stop::settle;

/// A signal storm can push a call back; after so many signals in a row we give up.
const MAX_ATTEMPTS: usize = 200;
/// Results from here to `-ERESTARTSYS` mean "interrupted before anything happened" (include/linux/errno.h).
const RESTARTS: std::ops::RangeInclusive<i64> = -516..=-512;
/// Largest text that is searched for the instruction; the vDSO has two pages.
const SEARCH_BYTES: usize = 4 << 20;

/// What an injected call answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The call's result, a negative error number where it failed.
    pub(crate) result: i64,
    /// The child that it made, in our pid namespace.
    pub(crate) child: Option<i32>,
}

/// Finds a system call instruction: in the vDSO, which every process has, else in any executable file mapping.
pub(crate) fn find_instruction(pid: i32, mappings: &[Mapping]) -> Option<u64> {
    let memory = RemoteMemory::new(pid);
    let vdso = mappings.iter().filter(|mapping| mapping.path == "[vdso]");
    let files = mappings.iter().filter(|mapping| mapping.is_file() && mapping.exec && mapping.read);
    vdso.chain(files).find_map(|mapping| {
        let len = usize::try_from(mapping.len_bytes()).unwrap_or(usize::MAX).min(SEARCH_BYTES);
        let mut text = vec![0; len];
        let n = memory.read(mapping.start, &mut text).ok()?;
        heapray_linux::arch::find_syscall_instruction(&text[..n], mapping.start)
    })
}

/// As [`find_instruction`]. A target that has been killed has no mappings any more: it is gone.
pub(crate) fn instruction_of(pid: i32, mappings: &[Mapping]) -> Result<u64, Fault> {
    let has_ended = || heapray_linux::stat(pid).map_or(true, |stat| matches!(stat.state, 'Z' | 'X'));
    find_instruction(pid, mappings).ok_or_else(|| match mappings.is_empty() || has_ended() {
        true => Fault::new(Step::Gone, pid, 0),
        false => Fault::new(Step::Instruction, pid, 0),
    })
}

/// Whether the instruction still stands at `at`: the target may have executed another program meanwhile.
pub(crate) fn is_instruction(pid: i32, at: u64) -> bool {
    let mut text = heapray_linux::arch::SYSCALL_INSTRUCTION;
    text.fill(0);
    RemoteMemory::new(pid).read(at, &mut text).is_ok() && text == heapray_linux::arch::SYSCALL_INSTRUCTION
}

/// Runs `call` in a thread of the target that is at a group stop, and leaves it at one with its own registers.
pub(crate) fn in_target(tracee: Tracee, call: &Call, at: u64) -> Result<Answer, Fault> {
    let fault = Fault::ptrace(tracee.0);
    for _ in 0..MAX_ATTEMPTS {
        let saved = tracee.registers().map_err(&fault)?;
        tracee.set_registers(&saved.prepared(call, at)).map_err(&fault)?;
        tracee.resume(Resume::ToSystemCall, 0).map_err(&fault)?;
        let stop = tracee.wait().map_err(&fault)?;
        if stop != Stop::SystemCall {
            put_back(tracee, &saved, stop)?;
            continue;
        }
        let (answer, stop) = finish_call(tracee)?;
        put_back(tracee, &saved, stop)?;
        if !RESTARTS.contains(&answer.result) {
            return Ok(answer);
        }
    }
    Err(Fault::new(Step::Ptrace, tracee.0, libc_errno::EAGAIN))
}

/// Puts the thread's own registers back. At a group stop that is all; from any other it must pass one, inside signal
/// handling, where the kernel decides on restarts.
fn put_back(tracee: Tracee, saved: &Registers, stop: Stop) -> Result<(), Fault> {
    let fault = Fault::ptrace(tracee.0);
    tracee.set_registers(saved).map_err(&fault)?;
    let signal = match stop {
        Stop::Group { .. } => return Ok(()),
        Stop::Gone(_) => return Err(Fault::new(Step::Gone, tracee.0, 0)),
        Stop::Signal(signal) => signal,
        _ => 0,
    };
    tracee.interrupt().map_err(&fault)?;
    tracee.resume(Resume::Continue, signal).map_err(&fault)?;
    settle(tracee)
}

/// From the entry of a system call to the first stop at which its result is known: its exit, or, where it made a child,
/// the group stop right behind it, which saves a stop and a wait.
fn finish_call(tracee: Tracee) -> Result<(Answer, Stop), Fault> {
    let fault = Fault::ptrace(tracee.0);
    let mut child = None;
    let mut resume = Resume::ToSystemCall;
    loop {
        tracee.resume(resume, 0).map_err(&fault)?;
        match tracee.wait().map_err(&fault)? {
            Stop::Cloned => {
                child = i32::try_from(tracee.event_message().map_err(&fault)?).ok();
                tracee.interrupt().map_err(&fault)?;
                resume = Resume::Continue;
            }
            Stop::Gone(_) => return Err(Fault::new(Step::Gone, tracee.0, 0)),
            stop @ (Stop::SystemCall | Stop::Group { .. }) => {
                let result = tracee.registers().map_err(&fault)?.result();
                return Ok((Answer { result, child }, stop));
            }
            _ => {}
        }
    }
}

/// Runs `call` in a disposable process of ours up to the moment at which its outcome is known: its exit, or the birth of
/// the child that it makes (then its result is 0). Whatever else the process is told is dropped; its registers stay changed.
pub(crate) fn in_copy(tracee: Tracee, call: &Call, at: u64) -> Result<Answer, Fault> {
    for _ in 0..MAX_ATTEMPTS {
        let registers = tracee.registers().map_err(Fault::ptrace(tracee.0))?;
        tracee.set_registers(&registers.prepared(call, at)).map_err(Fault::ptrace(tracee.0))?;
        to_system_call(tracee)?;
        let answer = match to_system_call(tracee)? {
            Stop::Cloned => {
                let child = tracee.event_message().map_err(Fault::ptrace(tracee.0))?;
                Answer { result: 0, child: i32::try_from(child).ok() }
            }
            _ => {
                Answer { result: tracee.registers().map_err(Fault::ptrace(tracee.0))?.result(), child: None }
            }
        };
        if !RESTARTS.contains(&answer.result) {
            return Ok(answer);
        }
    }
    Err(Fault::new(Step::Ptrace, tracee.0, libc_errno::EAGAIN))
}

/// Lets a disposable process on to its next entry, exit or child; signals to it are dropped.
fn to_system_call(tracee: Tracee) -> Result<Stop, Fault> {
    let fault = Fault::ptrace(tracee.0);
    loop {
        tracee.resume(Resume::ToSystemCall, 0).map_err(&fault)?;
        match tracee.wait().map_err(&fault)? {
            stop @ (Stop::SystemCall | Stop::Cloned) => return Ok(stop),
            Stop::Gone(_) => return Err(Fault::new(Step::Gone, tracee.0, 0)),
            _ => {}
        }
    }
}
