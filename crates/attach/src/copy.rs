//! Makes the frozen copy: stop, clone, resume. Runs in the guardian.
//!
//! Two clones. The first makes a *helper* that shares the target's memory (some microseconds), and it is the only call
//! that a thread of the target makes. The second, by the helper, makes the copy (the kernel's whole fork cost): so while
//! the memory is copied, every thread of the target already has its own registers back, and an accident to the guardian
//! cannot hurt it. `CLONE_PARENT` makes the copy a child of the target, with the helper's exit signal: none.
//!
//! Helper and copy share the target's descriptor table (`CLONE_FILES`) until the copy takes an empty one of its own: at
//! no moment does it hold a descriptor by itself, so peers see every close at once. Both are born stopped, and the kernel kills
//! them when the guardian ends (`EXITKILL`); a helper for which that was not yet said ends by itself.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use heapray_linux::arch::{self, Call, Gate};
use heapray_linux::{Tracee, kill, options};

use crate::fault::{Fault, Step, libc_errno};
use crate::hook::Hook;
use crate::inject::{self, Answer};
use crate::reap;
use crate::stop::{Held, StopPlan, Stopped, settle};

const CLONE_VM: u64 = 0x100;
const CLONE_FILES: u64 = 0x400;
const CLONE_PARENT: u64 = 0x8000;
const CLOSE_RANGE_UNSHARE: u64 = 2;
const SIGKILL: i32 = 9;
/// How often to stop again when every thread is inside a restartable sequence.
const MAX_TRIES: usize = 20;
/// Stack pointer of the copy, and of a helper without a way to its end: in the page that is never mapped.
const NO_STACK: u64 = 16;
/// `__WALL` and `__WCLONE`: the options of wait4 and waitid that see children without an exit signal.
const WAITS_FOR_ALL: u64 = 0x4000_0000 | 0x8000_0000;

/// What the guardian is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CopyPlan {
    pub(crate) stop: StopPlan,
    /// The target's seccomp mode.
    pub(crate) seccomp: u8,
    /// Go ahead although seccomp cannot be suspended.
    pub(crate) trust_seccomp: bool,
}

/// A copy, made; the target runs on.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) copy: Tracee,
    /// Ids of helper and copy in the target's own pid namespace, to be reaped.
    pub(crate) children: [i32; 2],
    pub(crate) threads: Vec<Held>,
    pub(crate) laggards: Vec<Tracee>,
    pub(crate) pause: Duration,
    pub(crate) fork_cost: Duration,
    /// The thread that made the helper.
    pub(crate) seat: Tracee,
}

/// A helper and a copy, both stopped.
struct Clones {
    helper: Tracee,
    /// The helper's id in the target's own pid namespace.
    helper_id: i32,
    copy: Tracee,
    fork_cost: Duration,
}

/// Stops the target, copies it, lets it on.
pub(crate) fn take(plan: &CopyPlan, signals: &OwnedFd, hook: &Hook) -> Result<Taken, Fault> {
    let pid = plan.stop.pid;
    let mappings = heapray_linux::mappings(pid).map_err(|error| unreadable(pid, &error))?;
    let gate = inject::gate_of(pid, &mappings)?;
    hook.reached(1);
    let (begin, stopped, seat) = stop(plan.stop, signals)?;
    hook.reached(2);
    let outcome = copy_stopped(plan, &stopped, (seat, gate), hook);
    hook.reached(6);
    let threads = stopped.held.clone();
    let laggards = stopped.resume();
    let pause = begin.elapsed();
    hook.reached(7);
    let Clones { helper, helper_id, copy, fork_cost } = outcome?;
    end(helper);
    sacrifice_first(copy);
    close_descriptors(copy, gate)?;
    hook.reached(8);
    let children = [helper_id, own_id(copy)?];
    Ok(Taken { copy, children, threads, laggards, pause, fork_cost, seat })
}

/// Checks and copies a target that is stopped.
fn copy_stopped(
    plan: &CopyPlan,
    stopped: &Stopped,
    (seat, gate): (Tracee, Gate),
    hook: &Hook,
) -> Result<Clones, Fault> {
    check(plan.stop.pid, stopped, gate)?;
    let extra = seccomp_options((plan.seccomp, plan.trust_seccomp), seat)?;
    clone_twice(seat, gate, extra, hook)
}

/// Should memory run out, the kernel is to take the copy, not the target.
fn sacrifice_first(copy: Tracee) {
    // Refusal is fine: the copy then is as likely to be taken as the target.
    let _refused = std::fs::write(format!("/proc/{}/oom_score_adj", copy.0), "1000");
}

/// The copy's id in its own, which is the target's, pid namespace.
fn own_id(copy: Tracee) -> Result<i32, Fault> {
    let status = heapray_linux::status(copy.0).map_err(|_| Fault::new(Step::Gone, copy.0, 0))?;
    Ok(status.namespace_ids.last().copied().unwrap_or(copy.0))
}

/// The mappings of a process that we may trace can be read: so this is what seizing it would say.
pub(crate) fn unreadable(pid: i32, error: &std::io::Error) -> Fault {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => Fault::new(Step::Seize, pid, libc_errno::EPERM),
        _ => Fault::new(Step::Gone, pid, 0),
    }
}

/// Stops the target with at least one thread outside restartable sequences, which last some nanoseconds.
pub(crate) fn stop(plan: StopPlan, signals: &OwnedFd) -> Result<(Instant, Stopped, Tracee), Fault> {
    let mut tries = 0;
    loop {
        let begin = Instant::now();
        let stopped = Stopped::all(plan, signals)?;
        match seat(&stopped) {
            Ok(seat) => return Ok((begin, stopped, seat)),
            Err(fault) if tries == MAX_TRIES => return Err(fault),
            Err(_) => drop(stopped.resume()),
        }
        tries += 1;
    }
}

/// What the registers of all threads must allow.
fn check(pid: i32, stopped: &Stopped, gate: Gate) -> Result<(), Fault> {
    for held in &stopped.held {
        if !held.registers.is_native() {
            return Err(Fault::new(Step::Native, held.tracee.0, 0));
        }
        if held.registers.current_call().is_some_and(|call| waits_for_all(&call)) {
            return Err(Fault::new(Step::WaitsForAll, held.tracee.0, 0));
        }
    }
    if inject::is_gate(pid, gate) { Ok(()) } else { Err(Fault::new(Step::Instruction, pid, 0)) }
}

fn waits_for_all(call: &Call) -> bool {
    let flags = match call.number {
        arch::WAIT4 => call.args[2],
        arch::WAITID => call.args[3],
        _ => 0,
    };
    flags & WAITS_FOR_ALL != 0
}

/// The thread that makes the call: any that is not inside a restartable sequence (rseq(2)), which the kernel would
/// otherwise forget to abort. Nearly always the first one.
fn seat(stopped: &Stopped) -> Result<Tracee, Fault> {
    let free = stopped.held.iter().find(|held| !in_restartable_sequence(held));
    free.map(|held| held.tracee).ok_or_else(|| Fault::new(Step::Sequence, stopped.held[0].tracee.0, 0))
}

fn in_restartable_sequence(held: &Held) -> bool {
    // struct rseq: cpu_id_start, cpu_id, then the pointer to the active struct rseq_cs, which stays after its end;
    // struct rseq_cs: version and flags, start_ip, post_commit_offset (include/uapi/linux/rseq.h).
    let memory = heapray_linux::RemoteMemory::new(held.tracee.0);
    let word = |addr: u64| {
        let mut bytes = [0; 8];
        memory.read(addr, &mut bytes).is_ok_and(|n| n == 8).then(|| u64::from_le_bytes(bytes))
    };
    let inside = || {
        let section = word(held.tracee.rseq_address()?.checked_add(8)?).filter(|pointer| *pointer != 0)?;
        let (start, len) = (word(section.checked_add(8)?)?, word(section.checked_add(16)?)?);
        Some(held.registers.instruction_pointer().wrapping_sub(start) < len)
    };
    inside().unwrap_or(false)
}

/// Switches the target's seccomp (mode, and whether to trust filters) off for the threads that we trace with these options.
pub(crate) fn seccomp_options((mode, trust): (u8, bool), seat: Tracee) -> Result<u64, Fault> {
    if mode == 0 || seat.set_options(options::SUSPEND_SECCOMP).is_ok() {
        return Ok(if mode == 0 { 0 } else { options::SUSPEND_SECCOMP });
    }
    if trust && mode == 2 { Ok(0) } else { Err(Fault::new(Step::Seccomp, seat.0, i32::from(mode))) }
}

fn clone_twice(seat: Tracee, gate: Gate, extra: u64, hook: &Hook) -> Result<Clones, Fault> {
    let traced = options::SYSCALL_GOOD | options::TRACE_CLONE | extra;
    seat.set_options(traced).map_err(Fault::ptrace(seat.0))?;
    hook.reached(3);
    let call = arch::clone_call(CLONE_VM | CLONE_FILES, NO_STACK);
    let answer = inject::in_target_with(seat, &call, gate, |answer| {
        let helper = child_of(seat, answer)?;
        settle(helper)?;
        helper.set_options(traced | options::EXIT_KILL).map_err(Fault::ptrace(helper.0))
    })?;
    let helper = child_of(seat, &answer)?;
    let helper_id =
        i32::try_from(answer.result).map_err(|_| Fault::new(Step::Clone, seat.0, libc_errno::EAGAIN))?;
    hook.reached(4);
    let begin = Instant::now();
    let outcome = inject::in_copy(helper, &arch::clone_call(CLONE_PARENT | CLONE_FILES, NO_STACK), gate)
        .and_then(|answer| child_of(helper, &answer));
    let fork_cost = begin.elapsed();
    hook.reached(5);
    match outcome {
        Ok(copy) => Ok(Clones { helper, helper_id, copy, fork_cost }),
        Err(fault) => {
            end(helper);
            reap::wait_for(seat, helper_id, gate)?;
            Err(fault)
        }
    }
}

/// The child that a clone made, in our pid namespace.
fn child_of(parent: Tracee, answer: &Answer) -> Result<Tracee, Fault> {
    let error = i32::try_from(-answer.result).unwrap_or(libc_errno::EAGAIN);
    answer.child.map(Tracee).ok_or(Fault::new(Step::Clone, parent.0, error))
}

/// Kills a process of ours and waits until it is a zombie that only its parent can see.
pub(crate) fn end(tracee: Tracee) {
    // ESRCH means that it is dead already, which is what we want.
    let _dead = kill(tracee.0, SIGKILL);
    while let Ok(stop) = tracee.wait() {
        if matches!(stop, heapray_linux::Stop::Gone(_)) {
            break;
        }
    }
}

/// Gives the copy an empty descriptor table of its own. Before Linux 5.9 it goes on sharing the target's, which holds
/// nothing open either while the target lives.
fn close_descriptors(copy: Tracee, gate: Gate) -> Result<(), Fault> {
    settle(copy)?;
    let all = Call::new(arch::CLOSE_RANGE, &[0, u64::from(u32::MAX), CLOSE_RANGE_UNSHARE]);
    inject::in_copy(copy, &all, gate).map(drop)
}
