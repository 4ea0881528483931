//! Takes the dead copy out of the target's list of children. Runs in the guardian.
//!
//! Only the parent can do that, so one thread of the target is stopped once more, for some 100 µs, and runs
//! `wait4(copy, NULL, WNOHANG | __WALL)`. What an earlier guardian left behind, because it was killed itself, is
//! recognised and taken too: a zombie child of the target without exit signal, with the target's name, killed by SIGKILL or
//! ended as a lost child does.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use heapray_linux::arch::{self, Call, Gate};
use heapray_linux::{Stop, Tracee, options};

use crate::fault::{Fault, Step};
use crate::inject;
use crate::stop::{Settled, is_ours, let_on, settle_now, wait_for_news};

const WNOHANG: u64 = 1;
const WALL: u64 = 0x4000_0000;
const SIGKILL: i32 = 9;
/// How long a thread may take to stop before another one is tried.
const PATIENCE: Duration = Duration::from_millis(500);

/// The target, known for good by its start time: a reused pid is somebody else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parent {
    pub(crate) pid: i32,
    pub(crate) start_ticks: u64,
    /// The thread to try first.
    pub(crate) seat: Tracee,
    /// seccomp is on: suspend it for the call.
    pub(crate) suspend_seccomp: bool,
}

impl Parent {
    /// The target still runs.
    pub(crate) fn is_alive(&self) -> bool {
        heapray_linux::stat(self.pid)
            .is_ok_and(|stat| stat.start_ticks == self.start_ticks && !matches!(stat.state, 'Z' | 'X'))
    }
}

/// Dead copies and helpers of earlier runs, as ids in the target's own pid namespace. A guardian that was just killed
/// leaves them dying: looked for as late as may be.
pub(crate) fn leftovers(pid: i32) -> Vec<i32> {
    let Ok(target) = heapray_linux::stat(pid) else { return Vec::new() };
    let is_ours = |child: &i32| {
        heapray_linux::stat(*child).is_ok_and(|stat| {
            stat.state == 'Z'
                && stat.parent == pid
                && stat.exit_signal == 0
                && [SIGKILL, i32::from(inject::LOST_CHILD) << 8].contains(&stat.exit_code)
                && stat.name == target.name
        })
    };
    let own_id = |child: i32| heapray_linux::status(child).ok()?.namespace_ids.last().copied();
    heapray_linux::children(pid).unwrap_or_default().into_iter().filter(is_ours).filter_map(own_id).collect()
}

/// Reaps `child` from a stopped thread of its parent. That it is gone already is fine.
pub(crate) fn wait_for(seat: Tracee, child: i32, gate: Gate) -> Result<(), Fault> {
    let call = Call::new(arch::WAIT4, &[i64::from(child).cast_unsigned(), 0, WNOHANG | WALL, 0]);
    inject::in_target(seat, &call, gate).map(drop)
}

/// Reaps `children`: stops one thread of the target, runs the calls, lets it on. Tries again until `deadline`.
pub(crate) fn in_target(
    parent: &Parent,
    children: &[i32],
    signals: &OwnedFd,
    deadline: Instant,
) -> Result<(), Fault> {
    let mut outcome = Ok(());
    while parent.is_alive() {
        for tid in candidates(parent) {
            outcome = try_in(parent, tid, children, signals);
            match outcome {
                Ok(()) => return Ok(()),
                Err(_) if !parent.is_alive() => return Ok(()),
                Err(_) => {}
            }
        }
        if Instant::now() >= deadline {
            return outcome;
        }
        wait_for_news(signals, Duration::from_millis(20));
    }
    Ok(())
}

fn candidates(parent: &Parent) -> Vec<Tracee> {
    let threads = heapray_linux::threads(parent.pid).unwrap_or_default();
    let mut out: Vec<Tracee> = threads.into_iter().map(Tracee).take(8).collect();
    if heapray_linux::thread_stat(parent.pid, parent.seat.0).is_ok() {
        out.insert(0, parent.seat);
    }
    out
}

fn try_in(parent: &Parent, thread: Tracee, children: &[i32], signals: &OwnedFd) -> Result<(), Fault> {
    let mappings = heapray_linux::mappings(parent.pid).map_err(|_| Fault::new(Step::Gone, parent.pid, 0))?;
    let gate =
        inject::find_gate(parent.pid, &mappings).ok_or(Fault::new(Step::Instruction, parent.pid, 0))?;
    let fault = Fault::ptrace(thread.0);
    let extra = if parent.suspend_seccomp { options::SUSPEND_SECCOMP } else { 0 };
    if let Err(error) = thread.seize(options::SYSCALL_GOOD | extra)
        && !is_ours(parent.pid, thread)
    {
        return Err(fault(error));
    }
    thread.interrupt().map_err(&fault)?;
    let stopped = await_stop(thread, signals);
    let outcome = stopped.and_then(|()| {
        if !inject::is_gate(parent.pid, gate) {
            return Err(Fault::new(Step::Instruction, parent.pid, 0));
        }
        children.iter().try_for_each(|child| wait_for(thread, *child, gate))
    });
    if outcome != Err(Fault::new(Step::Stop, thread.0, 0)) {
        let_on(parent.pid, thread);
    }
    outcome
}

fn await_stop(thread: Tracee, signals: &OwnedFd) -> Result<(), Fault> {
    let begin = Instant::now();
    loop {
        match settle_now(thread) {
            Settled::Stopped => return Ok(()),
            Settled::Gone => return Err(Fault::new(Step::Gone, thread.0, 0)),
            Settled::NotYet if begin.elapsed() > PATIENCE => return Err(Fault::new(Step::Stop, thread.0, 0)),
            Settled::NotYet => wait_for_news(signals, Duration::from_millis(5)),
        }
    }
}

/// Whether a copy has ended by itself (somebody killed it).
pub(crate) fn has_ended(copy: Tracee) -> bool {
    loop {
        match copy.try_wait() {
            Ok(None) => return false,
            Ok(Some(Stop::Gone(_))) | Err(_) => return true,
            Ok(Some(_)) => {}
        }
    }
}
