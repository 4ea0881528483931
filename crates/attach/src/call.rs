//! Calls a function in a stopped thread of the target, on a stack of its own. Runs in the guardian.
//!
//! All of the thread's state is saved and put back: general registers, vectors, signal mask. Signals that can wait are
//! blocked for the time of the call, so no handler runs on our stack. The function returns to code of ours that tells so in two
//! words of memory, and then gives way for a while. If nobody comes, because the guardian has been killed, that code makes
//! the thread what it was ([`heapray_linux::arch::WayBack`]).

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use heapray_linux::arch::{Entry, FunctionCall, LANDING_CODE, Landing, ThreadState};
use heapray_linux::{RemoteMemory, Resume, Stop, Tracee};

use crate::fault::{Fault, Step, libc_errno};
use crate::stop::{settle, wait_for_news};

const SIGILL: i32 = 4;
const SIGTRAP: i32 = 5;
const SIGBUS: i32 = 7;
const SIGFPE: i32 = 8;
const SIGSEGV: i32 = 11;
/// Signals that stand for an accident of the function itself: blocking them would make the kernel kill the process.
const ACCIDENTS: [i32; 5] = [SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV];
/// Longest that a call may take, the target standing still; some ms are usual.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often to look whether the function has returned.
const LOOKS: Duration = Duration::from_micros(40);

/// Calls a function in a thread that is at a group stop, and leaves it at one with its own state. The answer is the
/// function's result.
pub(crate) fn function(tracee: Tracee, call: &FunctionCall, signals: &OwnedFd) -> Result<i64, Fault> {
    let fault = Fault::ptrace(tracee.0);
    let state = tracee.state().map_err(&fault)?;
    let entry = Entry::new(&state, call).ok_or(Fault::new(Step::Ptrace, tracee.0, libc_errno::EINVAL))?;
    RemoteMemory::new(tracee.0)
        .write(entry.start, &entry.bytes)
        .map_err(|error| Fault::new(Step::Write, tracee.0, error.raw_os_error().unwrap_or(0)))?;
    // From here on the thread finds back by itself, so the registers come first, and when it is over last.
    tracee.set_registers(&entry.registers).map_err(&fault)?;
    let outcome = tracee
        .set_signal_mask(!accident_mask())
        .map_err(&fault)
        .and_then(|()| run(tracee, entry.landing, signals));
    let is_back = outcome.is_ok() && !is_landed(tracee, call).map_err(&fault)?;
    let restored = if is_back { Ok(()) } else { put_back(tracee, &state) };
    let (result, held_back) = outcome?;
    for signal in held_back {
        // A tracee that is gone needs no signal.
        let _gone = heapray_linux::kill(tracee.0, signal);
    }
    restored.map(|()| result)
}

fn accident_mask() -> u64 {
    ACCIDENTS.iter().fold(0, |mask, signal| mask | 1 << (signal - 1))
}

/// From the function's first instruction to a group stop after its return; what it answered, and the signals that came meanwhile.
fn run(tracee: Tracee, landing: Landing, signals: &OwnedFd) -> Result<(i64, Vec<i32>), Fault> {
    let fault = Fault::ptrace(tracee.0);
    let memory = RemoteMemory::new(tracee.0);
    let begin = Instant::now();
    let mut held_back = Vec::new();
    tracee.resume(Resume::Continue, 0).map_err(&fault)?;
    loop {
        let is_done = word(&memory, landing.done) == Some(1);
        let Some(stop) = tracee.try_wait().map_err(&fault)? else {
            if is_done {
                tracee.interrupt().map_err(&fault)?;
                wait_for_news(signals, Duration::from_millis(5));
            } else if begin.elapsed() > PATIENCE {
                return Err(give_up(tracee));
            } else {
                std::thread::sleep(LOOKS);
            }
            continue;
        };
        match stop {
            Stop::Gone(_) => return Err(Fault::new(Step::Gone, tracee.0, 0)),
            Stop::Signal(signal) if ACCIDENTS.contains(&signal) => {
                return Err(Fault::new(Step::Crashed, tracee.0, signal));
            }
            Stop::Group { .. } if is_done => {
                let result = word(&memory, landing.result).ok_or(Fault::new(Step::Gone, tracee.0, 0))?;
                return Ok((result.cast_signed(), held_back));
            }
            // SIGSTOP, which cannot be blocked: sent again when the thread is itself again.
            Stop::Signal(signal) => held_back.push(signal),
            _ => {}
        }
        tracee.resume(Resume::Continue, 0).map_err(&fault)?;
    }
}

fn word(memory: &RemoteMemory, at: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    memory.read(at, &mut bytes).is_ok_and(|n| n == bytes.len()).then(|| u64::from_le_bytes(bytes))
}

/// Stops a call that does not end.
fn give_up(tracee: Tracee) -> Fault {
    let hung = Fault::new(Step::Hung, tracee.0, 0);
    if tracee.interrupt().is_ok() {
        // Whatever it stops at, its registers can be put back then.
        let _gone = tracee.wait();
    }
    hung
}

/// Whether the thread is where the function has returned to. If not, we came so late that it is itself again already.
fn is_landed(tracee: Tracee, call: &FunctionCall) -> std::io::Result<bool> {
    let code = call.return_to..=call.return_to + LANDING_CODE.len() as u64;
    Ok(code.contains(&tracee.registers()?.instruction_pointer()))
}

fn put_back(tracee: Tracee, state: &ThreadState) -> Result<(), Fault> {
    let fault = Fault::ptrace(tracee.0);
    tracee.set_signal_mask(state.signal_mask).map_err(&fault)?;
    tracee.set_extended_state(&state.extended).map_err(&fault)?;
    tracee.set_registers(&state.registers).map_err(&fault)?;
    tracee.interrupt().map_err(&fault)?;
    tracee.resume(Resume::Continue, 0).map_err(&fault)?;
    settle(tracee)
}
