//! The guardian: a small forked process that is the tracer, keeps the image, and cleans up, however heapray ends.
//!
//! It leads a session of its own, ignores the signals by which programs are ended, and learns of heapray's end by the
//! closed socket or heapray's pidfd, whichever comes first. It then kills the copy, reaps it from the target, and ends.
//! If it is killed itself, the kernel kills the copy (`EXITKILL`) and lets every stopped thread on; what then remains is
//! a zombie that the target's plain `waitpid` does not see and that the next run on the same target reaps.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use heapray_linux::{PidFd, Tracee};

use crate::copy::{self, CopyPlan, Taken};
use crate::enter::{self, EnterPlan};
use crate::fault::{Fault, Step};
use crate::hook::Hook;
use crate::leave::{self, LeavePlan};
use crate::message::{End, Message, ThreadWords};
use crate::reap::{self, Parent};
use crate::stop::{Held, StopPlan, Stopped, release_laggards, wait_for_news};

/// How often limits are looked at while an image is kept.
const TICK: Duration = Duration::from_millis(100);
/// How long the guardian goes on trying to reap a copy whose parent does not stop.
const REAP_PATIENCE: Duration = Duration::from_secs(60);

/// What the guardian is to do, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) task: Task,
    /// The target's start, which names it for good.
    pub(crate) start_ticks: u64,
    /// After this long the image is given up.
    pub(crate) time_budget: Duration,
    /// The copy is given up when its control group has less room than this, in bytes.
    pub(crate) floor_bytes: u64,
}

/// Copy, or stop for the time of the read; put an agent in and keep it until heapray ends, or take one out.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    Copy(CopyPlan),
    InPlace(StopPlan),
    Enter(Box<EnterPlan>, Duration),
    Leave(Box<LeavePlan>),
}

/// heapray's end of a guardian. Dropping it ends the guardian's work, and waits for that.
#[derive(Debug)]
pub(crate) struct Guardian {
    channel: Option<UnixStream>,
    pid: i32,
}

impl Guardian {
    /// Forks a guardian that starts on `plan` at once. `hook`: see [`Hook`].
    pub(crate) fn start(plan: Plan, hook: Option<OwnedFd>) -> std::io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        // Opened before the fork, so that it can only stand for us.
        let heapray = PidFd::open(std::process::id().cast_signed()).ok();
        let pid = heapray_linux::fork_detached(|| {
            let watch = Watch { channel: theirs, heapray, hook: Hook::new(hook) };
            watch.settle_in();
            watch.run(&plan)
        })?;
        Ok(Self { channel: Some(ours), pid })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// The next message; waits for it.
    pub(crate) fn receive(&self) -> std::io::Result<Message> {
        match self.channel.as_ref() {
            Some(mut channel) => Message::receive(&mut channel),
            None => Err(std::io::Error::from(std::io::ErrorKind::NotConnected)),
        }
    }

    /// Why the guardian gave the image up, if it has said so since the last time; `Released` where it is gone itself.
    pub(crate) fn news(&self) -> Option<End> {
        let channel = self.channel.as_ref()?;
        let ready =
            heapray_linux::poll(&[channel.as_fd()], Duration::ZERO).is_ok_and(|ready| ready == [true]);
        match ready.then(|| self.receive())? {
            Ok(Message::Ended { why, .. }) => Some(why),
            _ => Some(End::Released),
        }
    }

    /// Asks the guardian to clean up, waits for it, and answers its last message.
    pub(crate) fn release(&mut self) -> Option<Message> {
        let mut channel = self.channel.take()?;
        // A guardian that is gone already needs no asking.
        let _gone = channel.shutdown(std::net::Shutdown::Write);
        let last = Message::receive(&mut channel).ok();
        let _status = heapray_linux::reap(self.pid);
        last
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        let _last = self.release();
    }
}

/// The guardian's view of heapray.
struct Watch {
    channel: UnixStream,
    heapray: Option<PidFd>,
    hook: Hook,
}

impl Watch {
    /// Makes the forked process a guardian: name, signals, descriptors.
    fn settle_in(&self) {
        heapray_linux::rename(c"heapray-guard");
        heapray_linux::ignore_signals();
        heapray_linux::protect_from_oom();
        heapray_linux::hurry();
        let pidfd = self.heapray.as_ref().map(|fd| fd.as_fd().as_raw_fd());
        let keep: Vec<i32> =
            [Some(self.channel.as_raw_fd()), pidfd, self.hook.descriptor()].into_iter().flatten().collect();
        heapray_linux::silence(&keep);
    }

    fn run(&self, plan: &Plan) -> i32 {
        let Ok(signals) = heapray_linux::signals_as_descriptor() else { return 1 };
        let begin = Instant::now();
        let outcome = match &plan.task {
            Task::Copy(copy) => {
                copy::take(copy, &signals, &self.hook).map(|taken| self.keep_copy(plan, taken, &signals))
            }
            Task::Enter(enter, patience) => self.keep_agent(enter, *patience, &signals),
            Task::Leave(leave) => self.take_out(leave, &mut Vec::new(), &signals),
            Task::InPlace(stop) => Stopped::all(*stop, &signals).map(|stopped| {
                let ready = ready(stop.pid, (begin.elapsed(), Duration::ZERO), &stopped.held);
                self.say(&ready);
                let why = self.keep(&Keep { plan, copy: None, target: stop.pid }, &mut Vec::new(), &signals);
                drop(stopped.resume());
                self.say(&Message::Ended { why, pause: begin.elapsed() });
            }),
        };
        match outcome {
            Ok(()) => 0,
            Err(fault) => {
                self.say(&Message::Failed(fault));
                1
            }
        }
    }

    fn keep_copy(&self, plan: &Plan, mut taken: Taken, signals: &OwnedFd) {
        let Task::Copy(copy) = &plan.task else { return };
        self.say(&ready(taken.copy.0, (taken.pause, taken.fork_cost), &taken.threads));
        taken.threads = Vec::new();
        self.hook.reached(9);
        let keep = Keep { plan, copy: Some(taken.copy), target: copy.stop.pid };
        let why = self.keep(&keep, &mut taken.laggards, signals);
        if why != End::Released {
            self.say(&Message::Ended { why, pause: taken.pause });
        }
        self.hook.reached(10);
        if why != End::Killed {
            copy::end(taken.copy);
        }
        self.hook.reached(11);
        let parent = Parent {
            pid: copy.stop.pid,
            start_ticks: plan.start_ticks,
            seat: taken.seat,
            suspend_seccomp: copy.seccomp != 0 && !copy.trust_seccomp,
        };
        let mut children = taken.children.to_vec();
        children.extend(reap::leftovers(parent.pid));
        let _given_up = reap::in_target(&parent, &children, signals, Instant::now() + REAP_PATIENCE);
        release_laggards(copy.stop.pid, &mut taken.laggards);
        self.hook.reached(12);
        self.say(&Message::Ended { why, pause: taken.pause });
    }

    /// Puts an agent in, waits until heapray lets go, or ends, or the target does, and takes it out again.
    fn keep_agent(&self, plan: &EnterPlan, patience: Duration, signals: &OwnedFd) -> Result<(), Fault> {
        let mut entered =
            enter::enter(plan, signals, &self.hook, &|| !self.is_over(Duration::ZERO, signals))?;
        let descriptor = entered.shared.as_fd().as_raw_fd();
        self.say(&Message::Attached { base: entered.arena.base, descriptor, pause: entered.pause });
        self.hook.reached(9);
        let pid = plan.stop.pid;
        while !self.is_over(TICK, signals) {
            heapray_linux::drain(signals);
            release_laggards(pid, &mut entered.laggards);
            if heapray_linux::stat(pid).map_or(true, |stat| matches!(stat.state, 'Z' | 'X')) {
                return Err(Fault::new(Step::Gone, pid, 0));
            }
        }
        let leave = LeavePlan {
            stop: plan.stop,
            seccomp: plan.seccomp,
            trust_seccomp: plan.trust_seccomp,
            arena: entered.arena,
            patience,
        };
        self.take_out(&leave, &mut entered.laggards, signals)
    }

    fn take_out(&self, plan: &LeavePlan, laggards: &mut Vec<Tracee>, signals: &OwnedFd) -> Result<(), Fault> {
        let outcome = leave::leave(plan, signals, &self.hook).map(|left| {
            self.say(&Message::Left { rest: left.rest, pause: left.pause });
            laggards.extend(left.laggards);
        });
        // A thread in the kernel is ours until it wakes; ending before that would let it on as well, but stopped (ptrace(2)).
        while !laggards.is_empty() {
            wait_for_news(signals, TICK);
            release_laggards(plan.stop.pid, laggards);
        }
        outcome
    }

    /// Whether heapray has let go or has ended, waiting for that or a signal at most so long.
    fn is_over(&self, timeout: Duration, signals: &OwnedFd) -> bool {
        let mut interests: Vec<BorrowedFd<'_>> = vec![self.channel.as_fd(), signals.as_fd()];
        interests.extend(self.heapray.as_ref().map(|fd| fd.as_fd()));
        let ready = heapray_linux::poll(&interests, timeout).unwrap_or_else(|_| vec![true]);
        ready[0] || ready.get(2) == Some(&true)
    }

    /// Waits until heapray lets go, or ends, or a budget does.
    fn keep(&self, keep: &Keep<'_>, laggards: &mut Vec<Tracee>, signals: &OwnedFd) -> End {
        let deadline = Instant::now() + keep.plan.time_budget;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.is_over(left.min(TICK), signals) {
                return End::Released;
            }
            heapray_linux::drain(signals);
            release_laggards(keep.target, laggards);
            if let Some(end) = keep.given_up(deadline) {
                return end;
            }
        }
    }

    /// heapray may be gone: then nobody listens, and nobody needs to.
    fn say(&self, message: &Message) {
        let _nobody = message.send(&mut &self.channel);
    }
}

/// An image that is being kept.
struct Keep<'a> {
    plan: &'a Plan,
    copy: Option<Tracee>,
    target: i32,
}

impl Keep<'_> {
    /// Whether a budget has ended, or the image by itself.
    fn given_up(&self, deadline: Instant) -> Option<End> {
        if Instant::now() >= deadline {
            return Some(End::Time);
        }
        match self.copy {
            Some(copy) if reap::has_ended(copy) => return Some(End::Killed),
            None if heapray_linux::stat(self.target).map_or(true, |stat| matches!(stat.state, 'Z' | 'X')) => {
                return Some(End::Exited);
            }
            _ => {}
        }
        let room = self.copy.and_then(|copy| heapray_linux::cgroup(copy.0).headroom_bytes());
        room.is_some_and(|bytes| bytes < self.plan.floor_bytes).then_some(End::Memory)
    }
}

fn ready(source: i32, (pause, fork_cost): (Duration, Duration), held: &[Held]) -> Message {
    let threads = held
        .iter()
        .map(|held| ThreadWords {
            tid: held.tracee.0,
            thread_pointer: held.thread_pointer,
            registers: held.registers.0,
        })
        .collect();
    Message::Ready { source, pause, fork_cost, threads }
}
