//! Runs one system call in a stopped thread. Runs in the guardian.
//!
//! The call is made by an existing `syscall` instruction; registers are saved before and put back after, and the thread
//! then passes one more stop so that the kernel's restart of the call it was in (poll, futex, …) still happens.
//! In a thread of the target signals are never held back: one that arrives before the call is delivered first.
//!
//! If the guardian is killed meanwhile the thread comes back by itself: a return follows the instruction, and for the time of the
//! call a frame lies below the thread's stack that leads to what it was ([`WayBack`]).

use heapray_linux::arch::{CODE_ALIGN, Call, Gate, RESTARTS, Registers, WayBack};
use heapray_linux::{Mapping, RemoteMemory, Resume, Stop, Tracee};

use crate::fault::{Fault, Step, libc_errno};
use crate::stop::settle;

/// A signal storm can push a call back; after so many signals in a row we give up.
const MAX_ATTEMPTS: usize = 200;
/// So much of a target's code is searched, and in pieces of so much.
const SEARCH_BYTES: u64 = 256 << 20;
const PIECE_BYTES: usize = 64 << 10;
/// With this status a child ends that was made by a call whose guardian was killed before it had the child.
pub(crate) const LOST_CHILD: u8 = 0x68;

/// What an injected call answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The call's result, a negative error number where it failed.
    pub(crate) result: i64,
    /// The child that it made, in our pid namespace.
    pub(crate) child: Option<i32>,
}

/// Finds a system call instruction: best one with a way back, in the C library; else any, first in the vDSO.
pub(crate) fn find_gate(pid: i32, mappings: &[Mapping]) -> Option<Gate> {
    let of_kernel = |mapping: &&Mapping| mapping.path == "[vdso]";
    let mut code: Vec<&Mapping> = mappings
        .iter()
        .filter(|mapping| mapping.exec && mapping.read && (mapping.is_file() || of_kernel(mapping)))
        .collect();
    let is_c_library =
        |mapping: &Mapping| ["libc.", "libc-", "musl"].iter().any(|part| mapping.path.contains(part));
    code.sort_by_key(|mapping| !is_c_library(mapping));
    let [call, signal_return] = Gate::WITH_WAY_BACK.map(|wanted| find_code(pid, &code, wanted));
    if let (Some(call), Some(signal_return)) = (call, signal_return) {
        return Some(Gate { call, signal_return: Some(signal_return) });
    }
    code.sort_by_key(|mapping| !of_kernel(mapping));
    find_code(pid, &code, Gate::PLAIN).map(|call| Gate { call, signal_return: None })
}

/// Where these bytes stand first, as instructions.
fn find_code(pid: i32, mappings: &[&Mapping], wanted: &[u8]) -> Option<u64> {
    let memory = RemoteMemory::new(pid);
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = SEARCH_BYTES;
    for mapping in mappings {
        let mut at = mapping.start;
        while at < mapping.end && left > 0 {
            let len = usize::try_from(mapping.end - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let Ok(n) = memory.read(at, &mut piece[..len]) else { break };
            let found = memchr::memmem::find_iter(&piece[..n], wanted).map(|offset| at + offset as u64);
            if let Some(found) = found.into_iter().find(|found| found.is_multiple_of(CODE_ALIGN as u64)) {
                return Some(found);
            }
            // What begins at the end of this piece is whole in the next.
            let step = if n == PIECE_BYTES { n - (wanted.len() - 1) } else { n.max(1) };
            at += step as u64;
            left = left.saturating_sub(step as u64);
        }
    }
    None
}

/// As [`find_gate`]. A target that has been killed has no mappings any more: it is gone.
pub(crate) fn gate_of(pid: i32, mappings: &[Mapping]) -> Result<Gate, Fault> {
    let has_ended = || heapray_linux::stat(pid).map_or(true, |stat| matches!(stat.state, 'Z' | 'X'));
    find_gate(pid, mappings).ok_or_else(|| match mappings.is_empty() || has_ended() {
        true => Fault::new(Step::Gone, pid, 0),
        false => Fault::new(Step::Instruction, pid, 0),
    })
}

/// Whether the gate still stands: the target may have executed another program meanwhile.
pub(crate) fn is_gate(pid: i32, gate: Gate) -> bool {
    let memory = RemoteMemory::new(pid);
    let stands = |at: u64, wanted: &[u8]| {
        let mut text = vec![0; wanted.len()];
        memory.read(at, &mut text).is_ok() && text == wanted
    };
    match gate.signal_return {
        Some(signal_return) => {
            let [call, back] = Gate::WITH_WAY_BACK;
            stands(gate.call, call) && stands(signal_return, back)
        }
        None => stands(gate.call, Gate::PLAIN),
    }
}

/// Runs `call` in a thread of the target that is at a group stop, and leaves it at one with its own registers.
pub(crate) fn in_target(tracee: Tracee, call: &Call, gate: Gate) -> Result<Answer, Fault> {
    in_target_with(tracee, call, gate, |_| Ok(()))
}

/// As [`in_target`]; `born` is told the answer while the way to its end still lies before a child that the call has made.
pub(crate) fn in_target_with(
    tracee: Tracee,
    call: &Call,
    gate: Gate,
    mut born: impl FnMut(&Answer) -> Result<(), Fault>,
) -> Result<Answer, Fault> {
    let fault = Fault::ptrace(tracee.0);
    for _ in 0..MAX_ATTEMPTS {
        let saved = tracee.registers().map_err(&fault)?;
        let laid = Laid::for_call(tracee, call, gate);
        let registers =
            laid.as_ref().map_or_else(|| saved.prepared(call, gate.call), |laid| laid.registers.clone());
        tracee.set_registers(&registers).map_err(&fault)?;
        tracee.resume(Resume::ToSystemCall, 0).map_err(&fault)?;
        let stop = tracee.wait().map_err(&fault)?;
        if stop != Stop::SystemCall {
            put_back(tracee, &saved, stop, laid)?;
            continue;
        }
        let (answer, stop) = finish_call(tracee)?;
        let outcome = if RESTARTS.contains(&answer.result) { Ok(()) } else { born(&answer) };
        put_back(tracee, &saved, stop, laid)?;
        outcome?;
        if !RESTARTS.contains(&answer.result) {
            return Ok(answer);
        }
    }
    Err(Fault::new(Step::Ptrace, tracee.0, libc_errno::EAGAIN))
}

/// A way back that lies below the stack of a stopped thread.
struct Laid {
    memory: RemoteMemory,
    start: u64,
    /// What was there.
    before: Vec<u8>,
    registers: Registers,
}

impl Laid {
    /// Writes the way back from a call. `None` where there is none: no gate for it, vectors that the kernel does not tell, no room on
    /// the stack.
    fn for_call(tracee: Tracee, call: &Call, gate: Gate) -> Option<Self> {
        gate.signal_return?;
        let way = WayBack::new(&tracee.state().ok()?, call, gate, LOST_CHILD)?;
        let memory = RemoteMemory::new(tracee.0);
        let mut before = vec![0; way.bytes.len()];
        memory.read(way.start, &mut before).ok().filter(|n| *n == before.len())?;
        memory.write(way.start, &way.bytes).ok()?;
        Some(Self { memory, start: way.start, before, registers: way.registers })
    }

    /// Puts back what was there. The thread must have its own registers, and must not have run since.
    fn take_away(self) {
        // Where it is gone, so is its memory.
        let _gone = self.memory.write(self.start, &self.before);
    }
}

/// Puts the thread's own registers back. At a group stop that is all; from any other it must pass one, inside signal
/// handling, where the kernel decides on restarts.
fn put_back(tracee: Tracee, saved: &Registers, stop: Stop, laid: Option<Laid>) -> Result<(), Fault> {
    let fault = Fault::ptrace(tracee.0);
    tracee.set_registers(saved).map_err(&fault)?;
    if let Some(laid) = laid {
        laid.take_away();
    }
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
pub(crate) fn in_copy(tracee: Tracee, call: &Call, gate: Gate) -> Result<Answer, Fault> {
    for _ in 0..MAX_ATTEMPTS {
        let registers = tracee.registers().map_err(Fault::ptrace(tracee.0))?;
        tracee.set_registers(&registers.prepared(call, gate.call)).map_err(Fault::ptrace(tracee.0))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    #[test]
    fn a_thread_that_is_let_on_inside_a_call_comes_back_by_itself() {
        let mut child =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat starts");
        let tracee = Tracee(child.id().cast_signed());
        let (mut input, mut output) =
            (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut echo = || {
            let mut byte = [0];
            input.write_all(b"x").expect("it reads");
            output.read_exact(&mut byte).expect("it writes");
        };
        echo();
        tracee.seize(heapray_linux::options::SYSCALL_GOOD).expect("a child may be traced");
        tracee.interrupt().expect("it lives");
        settle(tracee).expect("it stops");
        let mappings = heapray_linux::mappings(tracee.0).expect("it lives");
        let gate = find_gate(tracee.0, &mappings).expect("it has a C library");
        assert!(gate.signal_return.is_some() && is_gate(tracee.0, gate));
        let call = Call::new(heapray_linux::arch::CLOSE, &[u64::MAX]);
        let laid = Laid::for_call(tracee, &call, gate).expect("there is room");
        tracee.set_registers(&laid.registers).expect("it is stopped");
        tracee.detach().expect("it is stopped");
        echo();
        drop(input);
        assert!(child.wait().expect("cat ends").success());
    }
}
