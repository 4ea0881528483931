//! Takes an agent out of a target: hooks first, then its memory, once nobody can come back to it. Runs in the guardian.
//!
//! Two stops. In the first the agent puts every function back; from then on nobody new enters it. Then memory is searched for
//! pointers that somebody has kept, while the target runs. In the second stop, if no thread has a register or a word on its
//! stack that leads into the agent, everything is unmapped; else the target runs on, and it is tried again.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use heapray_linux::{RemoteMemory, Tracee};

use crate::arena::{Arena, Stage};
use crate::call;
use crate::enter::{Seat, function_call, sit};
use crate::fault::{Fault, Step};
use crate::hook::Hook;
use crate::inside::Watcher;
use crate::search::{self, Kept, Sought};
use crate::stop::{Held, StopPlan, Stopped, wait_for_news};

/// Pauses between tries to unmap.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// So long memory is searched whatever was asked.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(2);
/// What the agent answers where it is not there any more, as after a failed start.
const NOTHING_TO_STOP: i64 = 0;

/// What the guardian is to take out.
#[derive(Clone, Debug)]
pub(crate) struct LeavePlan {
    pub(crate) stop: StopPlan,
    pub(crate) seccomp: u8,
    pub(crate) trust_seccomp: bool,
    pub(crate) arena: Arena,
    /// How long to try to unmap.
    pub(crate) patience: Duration,
}

/// Why the agent's memory stays in the target, without any use; or that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Rest {
    /// Nothing of it is left.
    Nothing = 0,
    /// The agent says that a hook of its own is still held by somebody.
    Held = 1,
    /// A pointer to it stands in memory.
    Pointer = 2,
    /// A thread is inside it, or seems to be.
    Thread = 3,
    /// There was no time to search all memory.
    Unsearched = 4,
}

impl Rest {
    const ALL: [Self; 5] = [Self::Nothing, Self::Held, Self::Pointer, Self::Thread, Self::Unsearched];

    /// The rest with this number.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|rest| *rest as u64 == number)
    }
}

/// The hooks are out.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) rest: Rest,
    /// The longest stop.
    pub(crate) pause: Duration,
    pub(crate) laggards: Vec<Tracee>,
}

/// Takes the agent out.
pub(crate) fn leave(plan: &LeavePlan, signals: &OwnedFd, hook: &Hook) -> Result<Left, Fault> {
    hook.reached(10);
    let begin = Instant::now();
    // The first search is always to its end, or nearly so.
    let deadline = Instant::now() + plan.patience.max(SHORTEST_PATIENCE);
    let mut left = Left { rest: Rest::Nothing, pause: Duration::ZERO, laggards: Vec::new() };
    let Some(threads) = stop_hooks(plan, signals, hook, &mut left)? else {
        return Ok(left);
    };
    hook.reached(13);
    let stacks: Vec<u64> = threads.iter().map(|held| held.registers.stack_pointer()).collect();
    let mut watcher = Watcher::new(plan.stop.pid, &plan.arena.text);
    // While the target runs this means nothing, but what it reads need not be read when it stands still.
    let _unsure = watcher.thread_inside(&threads);
    let own = plan.arena.ranges(&RemoteMemory::new(plan.stop.pid));
    let code = watcher.code.clone();
    let sought = Sought { code: &code, own: &own, stacks: &stacks };
    let mut pause = FIRST_PAUSE;
    loop {
        left.rest = match search::kept(plan.stop.pid, &sought, deadline) {
            Kept::Nowhere => unmap_if_unused(plan, signals, hook, (&mut watcher, &mut left))?,
            Kept::In(_) => Rest::Pointer,
            Kept::Unknown => Rest::Unsearched,
        };
        if left.rest == Rest::Nothing || begin.elapsed() + pause > plan.patience {
            return Ok(left);
        }
        wait_for_news(signals, pause);
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// The first stop: hooks out. The answer is the threads as they were; `None` where there is no more to be done.
fn stop_hooks(
    plan: &LeavePlan,
    signals: &OwnedFd,
    hook: &Hook,
    left: &mut Left,
) -> Result<Option<Vec<Held>>, Fault> {
    let deadline = Instant::now() + SHORTEST_PATIENCE;
    let (begin, stopped, seat) = loop {
        let (begin, stopped, seat) = sit(plan.stop, (plan.seccomp, plan.trust_seccomp), signals)?;
        if !is_stack_in_use(&plan.arena, &stopped) {
            break (begin, stopped, seat);
        }
        resume(stopped, begin, left);
        if Instant::now() > deadline {
            left.rest = Rest::Thread;
            return Ok(None);
        }
        wait_for_news(signals, LONGEST_PAUSE);
    };
    hook.reached(11);
    let threads = stopped.held.clone();
    let outcome = stop_agent(&plan.arena, seat, signals);
    hook.reached(12);
    resume(stopped, begin, left);
    let outcome = outcome?;
    left.rest = outcome.unwrap_or(Rest::Nothing);
    Ok(Some(threads).filter(|_| outcome == Some(Rest::Nothing)))
}

/// Whether a thread runs on the stack for our calls: one whose guardian was killed meanwhile, and which soon comes back by itself.
fn is_stack_in_use(arena: &Arena, stopped: &Stopped) -> bool {
    stopped.held.iter().any(|held| arena.stack().contains(&held.registers.stack_pointer()))
}

fn resume(stopped: Stopped, begin: Instant, left: &mut Left) {
    left.laggards.extend(stopped.resume());
    left.pause = left.pause.max(begin.elapsed());
}

/// Whether the arena is still there, and how far its agent is: the target may have executed another program, and another
/// guardian may have come before.
fn stage(arena: &Arena, pid: i32) -> Option<Stage> {
    let now = Arena::read(&RemoteMemory::new(pid), arena.base)?;
    (now.len_bytes == arena.len_bytes && now.control == arena.control).then_some(now.stage)
}

/// Has the target call `heapray_stop`, unless that was done before or its code never ran. `None` where it is not there any more.
fn stop_agent(arena: &Arena, seat: Seat, signals: &OwnedFd) -> Result<Option<Rest>, Fault> {
    match stage(arena, seat.pid) {
        None => return Ok(None),
        Some(Stage::Started) => {}
        Some(_) => return Ok(Some(Rest::Nothing)),
    }
    let answer = call::function(seat.thread, &function_call(arena, arena.stop), signals)?;
    let stopped = Arena { stage: Stage::Stopped, ..arena.clone() };
    seat.write(stopped.base, &stopped.header())?;
    match answer {
        NOTHING_TO_STOP => Ok(Some(Rest::Nothing)),
        1.. => Ok(Some(Rest::Held)),
        _ => Err(Fault::new(Step::Refused, seat.thread.0, i32::try_from(answer).unwrap_or(i32::MIN))),
    }
}

/// The second stop: unmaps everything where no thread is inside.
fn unmap_if_unused(
    plan: &LeavePlan,
    signals: &OwnedFd,
    hook: &Hook,
    (watcher, left): (&mut Watcher, &mut Left),
) -> Result<Rest, Fault> {
    hook.reached(14);
    let (begin, stopped, seat) = sit(plan.stop, (plan.seccomp, plan.trust_seccomp), signals)?;
    // A thread that sleeps in the kernel cannot be asked: it may come back to the agent.
    let is_used = !stopped.laggards.is_empty()
        || is_stack_in_use(&plan.arena, &stopped)
        || watcher.thread_inside(&stopped.held).is_some();
    hook.reached(15);
    let outcome = match stage(&plan.arena, seat.pid) {
        None => Ok(Rest::Nothing),
        Some(_) if is_used => Ok(Rest::Thread),
        Some(_) => unmap(plan, seat).map(|()| Rest::Nothing),
    };
    hook.reached(16);
    resume(stopped, begin, left);
    hook.reached(17);
    outcome
}

fn unmap(plan: &LeavePlan, seat: Seat) -> Result<(), Fault> {
    let mut ranges = plan.arena.ranges(&RemoteMemory::new(seat.pid));
    // The header last: while anything is left, it says what.
    ranges.rotate_left(1);
    seat.unmap(&ranges)
}
