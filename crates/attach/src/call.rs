//! Calls a function in a stopped thread of the target, on a stack of its own. Runs in the guardian.
//!
//! All of the thread's state is saved and put back: general registers, vectors, signal mask. Signals that can wait are
//! blocked for the time of the call, so no handler runs on our stack; the function ends at a trap instruction of ours.
//! The thread then passes one more stop, as after an injected system call, so that the call it was in is restarted.
//!
//! What cannot be excluded: if the guardian itself is killed by SIGKILL during the call, the thread runs into our trap.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use heapray_linux::arch::{FunctionCall, Registers, TRAP_ADVANCE};
use heapray_linux::{RemoteMemory, Resume, Stop, Tracee};

use crate::fault::{Fault, Step};
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

/// Calls a function in a thread that is at a group stop, and leaves it at one with its own state. The answer is the
/// function's result.
pub(crate) fn function(tracee: Tracee, call: &FunctionCall, signals: &OwnedFd) -> Result<i64, Fault> {
    let fault = Fault::ptrace(tracee.0);
    let saved = Saved {
        tracee,
        registers: tracee.registers().map_err(&fault)?,
        extended: tracee.extended_state().map_err(&fault)?,
        mask: tracee.signal_mask().map_err(&fault)?,
    };
    let (registers, words) = saved.registers.calling(call);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    RemoteMemory::new(tracee.0)
        .write(registers.stack_pointer(), &bytes)
        .map_err(|error| Fault::new(Step::Write, tracee.0, error.raw_os_error().unwrap_or(0)))?;
    tracee.set_signal_mask(!accident_mask()).map_err(&fault)?;
    let outcome = tracee.set_registers(&registers).map_err(&fault).and_then(|()| run(tracee, call, signals));
    let restored = saved.put_back(&outcome);
    let (result, _) = outcome?;
    restored.map(|()| result)
}

fn accident_mask() -> u64 {
    ACCIDENTS.iter().fold(0, |mask, signal| mask | 1 << (signal - 1))
}

/// From the function's first instruction to our trap; what it answered, and the signals that came meanwhile.
fn run(tracee: Tracee, call: &FunctionCall, signals: &OwnedFd) -> Result<(i64, Vec<i32>), Fault> {
    let fault = Fault::ptrace(tracee.0);
    let begin = Instant::now();
    let mut held_back = Vec::new();
    tracee.resume(Resume::Continue, 0).map_err(&fault)?;
    loop {
        let stop = match tracee.try_wait().map_err(&fault)? {
            Some(stop) => stop,
            None if begin.elapsed() > PATIENCE => return Err(give_up(tracee)),
            None => {
                wait_for_news(signals, Duration::from_millis(5));
                continue;
            }
        };
        match stop {
            Stop::Gone(_) => return Err(Fault::new(Step::Gone, tracee.0, 0)),
            Stop::Signal(signal) if ACCIDENTS.contains(&signal) => {
                let registers = tracee.registers().map_err(&fault)?;
                if signal == SIGTRAP && registers.instruction_pointer() == call.return_to + TRAP_ADVANCE {
                    return Ok((registers.result(), held_back));
                }
                return Err(Fault::new(Step::Crashed, tracee.0, signal));
            }
            // SIGSTOP, which cannot be blocked: sent again when the thread is itself again.
            Stop::Signal(signal) => held_back.push(signal),
            _ => {}
        }
        tracee.resume(Resume::Continue, 0).map_err(&fault)?;
    }
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

/// All that a thread is, besides its memory.
struct Saved {
    tracee: Tracee,
    registers: Registers,
    extended: Vec<u8>,
    mask: u64,
}

impl Saved {
    fn put_back(&self, outcome: &Result<(i64, Vec<i32>), Fault>) -> Result<(), Fault> {
        let tracee = self.tracee;
        let fault = Fault::ptrace(tracee.0);
        tracee.set_registers(&self.registers).map_err(&fault)?;
        tracee.set_extended_state(&self.extended).map_err(&fault)?;
        tracee.set_signal_mask(self.mask).map_err(&fault)?;
        tracee.interrupt().map_err(&fault)?;
        tracee.resume(Resume::Continue, 0).map_err(&fault)?;
        settle(tracee)?;
        for signal in outcome.iter().flat_map(|(_, held_back)| held_back) {
            // A tracee that is gone needs no signal.
            let _gone = heapray_linux::kill(tracee.0, *signal);
        }
        Ok(())
    }
}
