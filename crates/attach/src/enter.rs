//! Puts the agent into a stopped target and starts it. Runs in the guardian.
//!
//! Between any two steps every thread has its own registers and the target could run on: whatever ends the guardian
//! there leaves at most memory and a descriptor behind, which the next run finds and takes away.

use std::fs::File;
use std::mem::{offset_of, size_of};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use heapray_linux::arch::{self, Call, FunctionCall, Gate};
use heapray_linux::{LoadImage, Loader, RemoteMemory, Tracee, options};
use heapray_wire::ring::{self, PythonSymbols, RING_MAGIC, RING_VERSION, SLOT_CLAIMING, SLOT_LIVE, Start};

use crate::arena::{Arena, Stage};
use crate::fault::{Fault, Step, libc_errno};
use crate::hook::Hook;
use crate::shared::{SharedFile, SharedPlan};
use crate::stop::{StopPlan, Stopped};
use crate::{call, copy, inject};

const PROT_READ: u64 = 1;
const PROT_WRITE: u64 = 2;
const PROT_EXEC: u64 = 4;
const MAP_SHARED: u64 = 1;
const MAP_PRIVATE_ANONYMOUS: u64 = 0x22;
const MFD_CLOEXEC_ALLOW_SEALING: u64 = 3;
/// Words of `ring::PythonSymbols`.
const PYTHON_WORDS: usize = size_of::<PythonSymbols>() / 8;
/// The slot of the first process.
const FIRST_SLOT: usize = 0;

/// What the guardian is to put where.
#[derive(Clone, Debug)]
pub(crate) struct EnterPlan {
    pub(crate) stop: StopPlan,
    /// The target's seccomp mode.
    pub(crate) seccomp: u8,
    /// Go ahead although seccomp cannot be suspended.
    pub(crate) trust_seccomp: bool,
    pub(crate) image: LoadImage,
    pub(crate) shared: SharedPlan,
    pub(crate) collector: u32,
    pub(crate) loader: Loader,
    /// Where the agent is mapped, if there is room when the target stands still.
    pub(crate) place: u64,
    /// Memory and descriptors that an earlier run has left in the target.
    pub(crate) leftovers: Leftovers,
}

/// What an earlier run has left in a target because it was killed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leftovers {
    pub(crate) ranges: Vec<Range<u64>>,
    pub(crate) descriptors: Vec<i32>,
}

/// An agent that records.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) arena: Arena,
    pub(crate) shared: SharedFile,
    /// How long the target was stopped.
    pub(crate) pause: Duration,
    pub(crate) laggards: Vec<Tracee>,
}

/// A stopped thread that makes our calls, and the code by which.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) pid: i32,
    pub(crate) thread: Tracee,
    pub(crate) gate: Gate,
}

impl Seat {
    /// Runs a call; its result, or the error that it failed with.
    pub(crate) fn call(self, call: &Call) -> Result<u64, Fault> {
        self.call_then(call, |_| Ok(()))
    }

    /// As `call`; `then` is told the result before anything else is done, so that less can come in between.
    fn call_then(self, call: &Call, mut then: impl FnMut(u64) -> Result<(), Fault>) -> Result<u64, Fault> {
        let checked = |result: i64| match result {
            -4095..0 => {
                let error = i32::try_from(-result).unwrap_or(libc_errno::ENOMEM);
                Err(Fault::new(Step::Map, self.thread.0, error))
            }
            _ => Ok(result.cast_unsigned()),
        };
        let answer = inject::in_target_with(self.thread, call, self.gate, |answer| {
            checked(answer.result).map_or(Ok(()), &mut then)
        })?;
        checked(answer.result)
    }

    /// Unmaps ranges. That one is gone already is fine.
    pub(crate) fn unmap(self, ranges: &[Range<u64>]) -> Result<(), Fault> {
        ranges.iter().filter(|range| !range.is_empty()).try_for_each(|range| {
            self.call(&Call::new(arch::MUNMAP, &[range.start, range.end - range.start])).map(drop)
        })
    }

    fn protect(self, range: &Range<u64>, protection: u64) -> Result<(), Fault> {
        let call = Call::new(arch::MPROTECT, &[range.start, range.end - range.start, protection]);
        self.call(&call).map(drop)
    }

    /// Writes to the target's memory.
    pub(crate) fn write(self, addr: u64, bytes: &[u8]) -> Result<(), Fault> {
        let fault =
            |error: std::io::Error| Fault::new(Step::Write, self.thread.0, error.raw_os_error().unwrap_or(0));
        RemoteMemory::new(self.pid).write(addr, bytes).map_err(fault)
    }
}

/// Stops the target and finds a seat in it, ready for calls.
pub(crate) fn sit(
    stop: StopPlan,
    seccomp: (u8, bool),
    signals: &OwnedFd,
) -> Result<(Instant, Stopped, Seat), Fault> {
    let pid = stop.pid;
    let mappings = heapray_linux::mappings(pid).map_err(|error| copy::unreadable(pid, &error))?;
    let gate = inject::gate_of(pid, &mappings)?;
    let (begin, stopped, thread) = copy::stop(stop, signals)?;
    if let Some(held) = stopped.held.iter().find(|held| !held.registers.is_native()) {
        return Err(Fault::new(Step::Native, held.tracee.0, 0));
    }
    if !inject::is_gate(pid, gate) {
        return Err(Fault::new(Step::Instruction, pid, 0));
    }
    let extra = copy::seccomp_options(seccomp, thread)?;
    thread.set_options(options::SYSCALL_GOOD | extra).map_err(Fault::ptrace(thread.0))?;
    Ok((begin, stopped, Seat { pid, thread, gate }))
}

/// Stops the target, puts the agent in, starts it, lets the target on. Where anything fails, or heapray is gone meanwhile
/// (`wanted` says no), nothing is left.
pub(crate) fn enter(
    plan: &EnterPlan,
    signals: &OwnedFd,
    hook: &Hook,
    wanted: &dyn Fn() -> bool,
) -> Result<Entered, Fault> {
    hook.reached(1);
    let (begin, stopped, seat) = sit(plan.stop, (plan.seccomp, plan.trust_seccomp), signals)?;
    hook.reached(2);
    let mut done = Done::default();
    let outcome = put_in(plan, seat, hook, &mut done).and_then(|(arena, shared)| {
        hook.reached(6);
        if !wanted() {
            return Err(Fault::new(Step::Gone, 0, 0));
        }
        let arena = start(&arena, seat, signals)?;
        hook.reached(7);
        claim(&shared, SLOT_LIVE);
        Ok((arena, shared))
    });
    let outcome = outcome.inspect_err(|fault| done.undo(seat, fault));
    hook.reached(8);
    let laggards = stopped.resume();
    let pause = begin.elapsed();
    let (arena, shared) = outcome?;
    Ok(Entered { arena, shared, pause, laggards })
}

/// What has been done in the target so far.
#[derive(Debug, Default)]
struct Done {
    ranges: Vec<Range<u64>>,
    descriptor: Option<u64>,
}

impl Done {
    /// Has the target map a range, and tells `then` at once where it is.
    fn map(
        &mut self,
        seat: Seat,
        call: &Call,
        mut then: impl FnMut(u64) -> Result<(), Fault>,
    ) -> Result<u64, Fault> {
        seat.call_then(call, |start| {
            self.ranges.push(start..start + call.args[1]);
            then(start)
        })
    }

    /// Takes everything out again, but for code whose call ended in an accident: somebody may still come back to it.
    fn undo(&self, seat: Seat, fault: &Fault) {
        // A target that is gone needs no undoing, and there is nothing else to be done where this fails.
        if let Some(fd) = self.descriptor {
            let _gone = seat.call(&Call::new(arch::CLOSE, &[fd]));
        }
        if !matches!(fault.step, Step::Crashed | Step::Hung) {
            let _gone = seat.unmap(&self.ranges);
        }
    }
}

/// Maps and fills everything; no code of the agent runs yet.
fn put_in(plan: &EnterPlan, seat: Seat, hook: &Hook, done: &mut Done) -> Result<(Arena, SharedFile), Fault> {
    clean(&plan.leftovers, seat)?;
    let len_bytes = Arena::bytes_for(&plan.image);
    let protection = PROT_READ | PROT_EXEC;
    let mut call = map_call(len_bytes, protection, MAP_PRIVATE_ANONYMOUS, (u64::MAX, 0));
    call.args[0] = plan.place;
    let arena_at = |base: u64| Arena::at(base, &plan.image).ok_or(Fault::new(Step::Refused, 0, 0));
    // Without its header nobody would know the range again if we ended here.
    let base = done.map(seat, &call, |base| seat.write(base, &arena_at(base)?.first_page(&[])))?;
    let mut arena = arena_at(base)?;
    hook.reached(3);
    seat.write(arena.image_base(), &plan.image.at(arena.image_base()))?;
    // Every call costs the target some switches, so what may stay as it was mapped does: headers, constants, and the page
    // between data and stack, which nothing can be written to.
    for range in writable(&plan.image, arena.image_base()).into_iter().chain([arena.stack()]) {
        seat.protect(&range, PROT_READ | PROT_WRITE)?;
    }
    hook.reached(4);
    let shared = share(plan, seat, &mut arena, done)?;
    seat.write(base, &arena.first_page(&start_argument(plan, &arena)))?;
    hook.reached(5);
    Ok((arena, shared))
}

/// The writable parts of the image, neighbours as one.
fn writable(image: &LoadImage, base: u64) -> Vec<Range<u64>> {
    let mut out: Vec<Range<u64>> = Vec::new();
    for segment in image.segments.iter().filter(|segment| segment.write) {
        match out.last_mut() {
            Some(last) if last.end == base + segment.start => last.end = base + segment.end,
            _ => out.push(base + segment.start..base + segment.end),
        }
    }
    out
}

fn map_call(len_bytes: u64, protection: u64, flags: u64, (fd, offset): (u64, u64)) -> Call {
    Call::new(arch::MMAP, &[0, len_bytes, protection, flags, fd, offset])
}

fn clean(leftovers: &Leftovers, seat: Seat) -> Result<(), Fault> {
    seat.unmap(&leftovers.ranges)?;
    for fd in &leftovers.descriptors {
        // The target may have closed it itself.
        let _closed = seat.call(&Call::new(arch::CLOSE, &[i64::from(*fd).cast_unsigned()]));
    }
    Ok(())
}

/// Has the target make the memory file and map what it needs of it; opens it here and closes it there.
fn share(plan: &EnterPlan, seat: Seat, arena: &mut Arena, done: &mut Done) -> Result<SharedFile, Fault> {
    let fd = seat.call(&Call::new(arch::MEMFD_CREATE, &[arena.name(), MFD_CLOEXEC_ALLOW_SEALING]))?;
    done.descriptor = Some(fd);
    let fault = |error: std::io::Error| Fault::new(Step::Shared, seat.pid, error.raw_os_error().unwrap_or(0));
    let file = File::options().read(true).write(true).open(format!("/proc/{}/fd/{fd}", seat.pid));
    let shared = SharedFile::create_in(file.map_err(fault)?.into(), &plan.shared, plan.collector);
    let shared = shared.map_err(fault)?;
    claim(&shared, SLOT_CLAIMING);
    // Control area and first slot follow each other in the file, so they may in memory.
    const { assert!(FIRST_SLOT == 0) };
    let (control_bytes, slot_bytes) = (ring::CONTROL_BYTES as u64, shared.slot_bytes() as u64);
    let access = PROT_READ | PROT_WRITE;
    let call = map_call(control_bytes + slot_bytes, access, MAP_SHARED, (fd, 0));
    let control = done.map(seat, &call, |_| Ok(()))?;
    arena.control = control..control + control_bytes;
    arena.slot = arena.control.end..arena.control.end + slot_bytes;
    seat.call(&Call::new(arch::CLOSE, &[fd]))?;
    done.descriptor = None;
    Ok(shared)
}

/// The first slot is the target's: nobody else can have taken one yet.
fn claim(shared: &SharedFile, state: u32) {
    let (claim, slot) = shared.claim(FIRST_SLOT).zip(shared.slot(FIRST_SLOT)).expect("a file has a slot");
    claim.generation.store(1, Ordering::Relaxed);
    slot.header().generation.store(1, Ordering::Relaxed);
    slot.header().parent_slot.store(u32::MAX, Ordering::Relaxed);
    claim.state.store(state, Ordering::Release);
}

/// The bytes of the argument of `heapray_start`: `ring::Start`, all of whose fields are numbers. Of Python nothing is told:
/// the agent finds it by itself, as it must where it is preloaded.
fn start_argument(plan: &EnterPlan, arena: &Arena) -> Vec<u8> {
    const { assert!(size_of::<Start>() == 8 * (8 + PYTHON_WORDS) && offset_of!(Start, python) == 64) };
    let version = u64::from(RING_VERSION) | (FIRST_SLOT as u64) << 32;
    let Loader { program_headers, n_program_headers, base, r_debug } = plan.loader;
    let areas = [RING_MAGIC, version, arena.control.start, arena.slot.start];
    let loader = [r_debug, program_headers, n_program_headers, base];
    areas.into_iter().chain(loader).chain([0; PYTHON_WORDS]).flat_map(u64::to_le_bytes).collect()
}

/// Has the target call `heapray_start`.
fn start(arena: &Arena, seat: Seat, signals: &OwnedFd) -> Result<Arena, Fault> {
    let mut arena = arena.clone();
    arena.stage = Stage::Started;
    seat.write(arena.base, &arena.header())?;
    let answer = call::function(seat.thread, &function_call(&arena, arena.start), signals)?;
    if answer == 0 {
        return Ok(arena);
    }
    Err(Fault::new(Step::Refused, seat.thread.0, i32::try_from(answer).unwrap_or(i32::MIN)))
}

/// A call of a function of the agent in this arena.
pub(crate) fn function_call(arena: &Arena, function: u64) -> FunctionCall {
    FunctionCall {
        function,
        argument: arena.argument(),
        stack_top: arena.stack_top(),
        return_to: arena.landing(),
    }
}
