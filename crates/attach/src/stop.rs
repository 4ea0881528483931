//! Stops every thread of a process, and lets them on again. Runs in the guardian.
//!
//! No signal is sent and none is lost: a signal that is on its way when we come is delivered first. A thread in
//! uninterruptible sleep (vfork, a dead file server) cannot be stopped but runs no user code either, and traps before
//! it does: it is a *laggard*, let go when it finally stops.
//!
//! Invariant: when the guardian ends, however, the kernel lets on every thread that is still held.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use heapray_linux::arch::Registers;
use heapray_linux::{Resume, Stop, Tracee};

use crate::fault::{Fault, Step, libc_errno};

/// After this long a thread in uninterruptible sleep is left behind as a laggard.
const LAGGARD_AFTER: Duration = Duration::from_millis(20);

/// A thread that has stopped.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) tracee: Tracee,
    pub(crate) registers: Registers,
    pub(crate) thread_pointer: u64,
}

/// The threads of a process, stopped.
#[derive(Debug)]
pub(crate) struct Stopped {
    pid: i32,
    /// Those that stopped, by id.
    pub(crate) held: Vec<Held>,
    /// Those that sleep in the kernel and have not stopped yet.
    pub(crate) laggards: Vec<Tracee>,
}

/// Which threads to stop, and how patiently.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopPlan {
    pub(crate) pid: i32,
    pub(crate) patience: Duration,
}

impl Stopped {
    /// Stops all threads of a process: seizes what is listed until a listing shows no thread that is not stopped.
    pub(crate) fn all(plan: StopPlan, signals: &OwnedFd) -> Result<Self, Fault> {
        let mut known = BTreeSet::new();
        let mut stopped = Vec::new();
        let mut laggards = Vec::new();
        loop {
            let listed = heapray_linux::threads(plan.pid).map_err(|_| Fault::new(Step::Gone, plan.pid, 0))?;
            let mut fresh = Vec::new();
            for tid in listed.into_iter().filter(|tid| known.insert(*tid)) {
                if seize(plan.pid, tid)? {
                    fresh.push(Tracee(tid));
                }
            }
            if fresh.is_empty() {
                break;
            }
            await_stops(plan, signals, fresh, (&mut stopped, &mut laggards))?;
        }
        let held: Vec<Held> = stopped.into_iter().filter_map(read).collect();
        match (held.first(), laggards.first()) {
            (None, None) => Err(Fault::new(Step::Gone, plan.pid, 0)),
            (None, Some(laggard)) => Err(Fault::new(Step::Stop, laggard.0, i32::from(b'D'))),
            _ => Ok(Self { pid: plan.pid, held, laggards }),
        }
    }

    /// Lets all threads on that have stopped; the laggards stay to be let on by [`release_laggards`].
    pub(crate) fn resume(self) -> Vec<Tracee> {
        for held in &self.held {
            let_on(self.pid, held.tracee);
        }
        self.laggards
    }
}

/// Seizes and interrupts one thread; `false` where it is gone or a zombie.
fn seize(pid: i32, tid: i32) -> Result<bool, Fault> {
    let tracee = Tracee(tid);
    match tracee.seize(0) {
        Ok(()) => Ok(tracee.interrupt().is_ok()),
        Err(error) => match (error.raw_os_error(), heapray_linux::thread_stat(pid, tid)) {
            (Some(libc_errno::ESRCH), _) | (_, Err(_)) => Ok(false),
            (_, Ok(stat)) if matches!(stat.state, 'Z' | 'X') => Ok(false),
            // A laggard of an earlier stop.
            (_, Ok(_)) if is_ours(pid, tracee) => Ok(tracee.interrupt().is_ok()),
            (number, Ok(_)) => Err(Fault::new(Step::Seize, tid, number.unwrap_or(0))),
        },
    }
}

/// A thread that did not stop in time at an earlier try is still traced by us.
pub(crate) fn is_ours(pid: i32, thread: Tracee) -> bool {
    let own = std::process::id().cast_signed();
    heapray_linux::thread_status(pid, thread.0).is_ok_and(|status| status.tracer == own)
}

/// Waits until each of `waiting` has stopped, ended, or is known to sleep in the kernel.
fn await_stops(
    plan: StopPlan,
    signals: &OwnedFd,
    mut waiting: Vec<Tracee>,
    (stopped, laggards): (&mut Vec<Tracee>, &mut Vec<Tracee>),
) -> Result<(), Fault> {
    let begin = Instant::now();
    loop {
        waiting.retain(|tracee| match settle_now(*tracee) {
            Settled::Stopped => {
                stopped.push(*tracee);
                false
            }
            Settled::Gone => false,
            Settled::NotYet => true,
        });
        if waiting.is_empty() {
            return Ok(());
        }
        if begin.elapsed() > LAGGARD_AFTER {
            let (asleep, awake): (Vec<_>, Vec<_>) =
                waiting.iter().partition(|tracee| state(plan.pid, **tracee) == 'D');
            laggards.extend(asleep);
            waiting = awake;
            continue_or_give_up(plan, begin, &waiting)?;
        }
        wait_for_news(signals, Duration::from_millis(5));
    }
}

fn continue_or_give_up(plan: StopPlan, begin: Instant, waiting: &[Tracee]) -> Result<(), Fault> {
    match waiting.first() {
        Some(first) if begin.elapsed() > plan.patience => {
            Err(Fault::new(Step::Stop, first.0, i32::from(state(plan.pid, *first) as u8)))
        }
        _ => Ok(()),
    }
}

fn state(pid: i32, tracee: Tracee) -> char {
    heapray_linux::thread_stat(pid, tracee.0).map_or('X', |stat| stat.state)
}

/// Waits for a SIGCHLD, at most so long, and takes it off the descriptor.
pub(crate) fn wait_for_news(signals: &OwnedFd, timeout: Duration) {
    if heapray_linux::poll(&[signals.as_fd()], timeout).is_ok_and(|ready| ready == [true]) {
        heapray_linux::drain(signals);
    }
}

/// How far a thread is on its way to a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Stopped,
    Gone,
    NotYet,
}

/// Takes what `waitpid` has for an interrupted thread; signals on their way are let through.
pub(crate) fn settle_now(tracee: Tracee) -> Settled {
    loop {
        match tracee.try_wait() {
            Ok(None) => return Settled::NotYet,
            Ok(Some(Stop::Group { .. })) => return Settled::Stopped,
            Ok(Some(Stop::Gone(_))) | Err(_) => return Settled::Gone,
            Ok(Some(stop)) => {
                if push_on(tracee, stop).is_err() {
                    return Settled::Gone;
                }
            }
        }
    }
}

/// Waits until an interrupted thread is at a group stop; signals on their way are let through.
pub(crate) fn settle(tracee: Tracee) -> Result<(), Fault> {
    let fault = Fault::ptrace(tracee.0);
    loop {
        match tracee.wait().map_err(&fault)? {
            Stop::Group { .. } => return Ok(()),
            Stop::Gone(_) => return Err(Fault::new(Step::Gone, tracee.0, 0)),
            stop => push_on(tracee, stop).map_err(&fault)?,
        }
    }
}

/// Any stop clears a pending interrupt (`ptrace_stop`, kernel/signal.c), so it is asked for again before going on.
fn push_on(tracee: Tracee, stop: Stop) -> std::io::Result<()> {
    tracee.interrupt()?;
    let signal = if let Stop::Signal(signal) = stop { signal } else { 0 };
    tracee.resume(Resume::Continue, signal)
}

fn read(tracee: Tracee) -> Option<Held> {
    let registers = tracee.registers().ok()?;
    let thread_pointer = registers.fs_base().or_else(|| tracee.thread_pointer().ok()).unwrap_or(0);
    Some(Held { tracee, registers, thread_pointer })
}

/// Ends tracing of a stopped thread, which goes on. Where our stop made its call fail with EINTR, it waits again; but not
/// when a signal is there for it, for then the EINTR is the signal's.
pub(crate) fn let_on(pid: i32, tracee: Tracee) {
    let waiting = tracee.registers().ok().and_then(|registers| registers.waiting_again());
    let signalled =
        |status: heapray_linux::Status| (status.pending | status.shared_pending) & !status.blocked != 0;
    if let Some(waiting) = waiting
        && heapray_linux::thread_status(pid, tracee.0).is_ok_and(|status| !signalled(status))
    {
        // Refused only where the thread was killed meanwhile.
        let _killed = tracee.set_registers(&waiting);
    }
    // A thread that was killed meanwhile cannot be detached, and need not be.
    let _killed = tracee.detach();
}

/// Lets on the laggards that have stopped by now; the rest stays in the list.
pub(crate) fn release_laggards(pid: i32, laggards: &mut Vec<Tracee>) {
    laggards.retain(|tracee| match settle_now(*tracee) {
        Settled::Stopped => {
            let_on(pid, *tracee);
            false
        }
        Settled::Gone => false,
        Settled::NotYet => true,
    });
}
