//! Puts the allocation agent into a running process, and takes it out again.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use heapray_linux::LoadImage;
use heapray_wire::ring;

use crate::arena::{Arena, Stage};
use crate::enter::{EnterPlan, Leftovers};
use crate::fault::{Fault, Step, libc_errno};
use crate::guardian::{Guardian, Plan, Task};
use crate::leave::{LeavePlan, Rest};
use crate::message::Message;
use crate::preflight::{self, Target};
use crate::recording::{self, Recording};
use crate::shared::{SharedFile, SharedPlan};
use crate::stop::StopPlan;
use crate::{AttachError, agent_image, image, place, python};

/// A heart that does not beat for so long has stopped: it beats every 50 ms at least.
const HEARTBEAT_PATIENCE: Duration = Duration::from_millis(200);
/// So long the next run tries to take out what an earlier one could not.
const IDLE_PATIENCE: Duration = Duration::from_secs(1);

/// How an agent is put in and taken out.
#[derive(Debug)]
pub struct AttachOptions {
    /// What is recorded.
    pub shared: SharedPlan,
    /// How long to wait for a thread to stop. Default 2 s.
    pub stop_patience: Duration,
    /// How long to try to unmap the agent at the end. Default 10 s.
    pub detach_patience: Duration,
    /// Go ahead under seccomp filters although they cannot be suspended.
    pub trust_seccomp: bool,
    /// A socket on which a test holds the guardian at numbered moments.
    #[doc(hidden)]
    pub hook: Option<OwnedFd>,
    /// Another image than the one that this build carries.
    #[doc(hidden)]
    pub image: Option<Vec<u8>>,
}

impl Default for AttachOptions {
    fn default() -> Self {
        Self {
            shared: SharedPlan::default(),
            stop_patience: Duration::from_secs(2),
            detach_patience: Duration::from_secs(10),
            trust_seccomp: false,
            hook: None,
            image: None,
        }
    }
}

/// An agent that records in a process. Dropping it takes the agent out; so does a guardian process, when heapray dies.
#[derive(Debug)]
pub struct Attached {
    /// The recording's memory file. The target's slot is the first; processes that it forks take others.
    pub shared: Arc<SharedFile>,
    /// The target.
    pub pid: i32,
    /// The hexversion of its Python.
    pub python_hex: u32,
    /// How long the target was stopped.
    pub pause: Duration,
    /// From the call of [`attach_agent`] until events were recorded.
    pub elapsed: Duration,
    target: Target,
    guardian: Guardian,
}

/// An agent that was taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    /// Why its memory had to stay in the process, without hooks; `None` where nothing is left.
    pub left_mapped: Option<&'static str>,
    /// The longest time that the target was stopped.
    pub pause: Duration,
    /// How long all of it took.
    pub elapsed: Duration,
}

/// Puts the agent into process `pid`; it records from then on.
///
/// # Errors
/// See [`AttachError`]; in every case the target runs on, without an agent.
///
/// # Cost
/// The target is stopped for some milliseconds, which `docs/attach.md` has figures of.
pub fn attach_agent(pid: i32, options: AttachOptions) -> Result<Attached, AttachError> {
    let begin = Instant::now();
    let target = preflight::target(pid)?;
    preflight::agent(pid, &target.status)?;
    let image = load_image(options.image.as_deref())?;
    let python_hex = python::version(pid)?;
    let plan = EnterPlan {
        stop: StopPlan { pid, patience: options.stop_patience },
        seccomp: target.status.seccomp,
        trust_seccomp: options.trust_seccomp || preflight::shares_filters(&target.status),
        image,
        shared: options.shared,
        collector: std::process::id(),
        place: heapray_linux::mappings(pid).map_or(0, |mappings| place::random(&mappings)),
        loader: heapray_linux::loader(pid).unwrap_or_default(),
        leftovers: make_room(pid, &options)?,
    };
    let task = Task::Enter(Box::new(plan), options.detach_patience);
    let mut hook = options.hook;
    loop {
        match start(&target, task.clone(), hook.take()) {
            // Waiting for a vfork: its child will soon execute something.
            Err(AttachError::Stuck { state: 'D', .. }) if begin.elapsed() < options.stop_patience => {}
            outcome => {
                let (guardian, shared, pause) = outcome?;
                let shared = Arc::new(shared);
                let elapsed = begin.elapsed();
                return Ok(Attached { shared, pid, python_hex, pause, elapsed, target, guardian });
            }
        }
    }
}

fn load_image(other: Option<&[u8]>) -> Result<LoadImage, AttachError> {
    let bytes = other.unwrap_or_else(|| agent_image());
    if bytes.is_empty() {
        return Err(AttachError::NoImage);
    }
    LoadImage::parse(bytes).map_err(|source| AttachError::BadImage { source })
}

fn start(
    target: &Target,
    task: Task,
    hook: Option<OwnedFd>,
) -> Result<(Guardian, SharedFile, Duration), AttachError> {
    let pid = target.status.tgid;
    let system = |what| move |source| AttachError::System { pid, what, source };
    let guardian = start_guardian(target, task, hook).map_err(system("starting the guardian"))?;
    match guardian.receive() {
        Ok(Message::Attached { descriptor, pause, .. }) => {
            let path = format!("/proc/{}/fd/{descriptor}", guardian.pid());
            let file = std::fs::File::options().read(true).write(true).open(path);
            let shared = file.and_then(|file| SharedFile::open(file.into()));
            let shared = shared.map_err(|source| match target.lives() {
                true => system("opening the recording's memory file")(source),
                // Then the guardian is gone as well.
                false => AttachError::Exited { pid, during: "attached to" },
            })?;
            Ok((guardian, shared, pause))
        }
        Ok(Message::Failed(fault)) => Err(explain(target, fault)),
        Ok(_) => Err(AttachError::Guardian { pid, what: "gave up at once".to_owned() }),
        Err(error) => Err(AttachError::Guardian { pid, what: format!("ended too early ({error})") }),
    }
}

fn start_guardian(target: &Target, task: Task, hook: Option<OwnedFd>) -> io::Result<Guardian> {
    let plan = Plan { task, start_ticks: target.start_ticks, time_budget: Duration::MAX, floor_bytes: 0 };
    Guardian::start(plan, hook)
}

/// Looks for agents in the target: one that is in use is an error, one whose collector is gone is taken out; what the guardian is to
/// take away is the answer.
fn make_room(pid: i32, options: &AttachOptions) -> Result<Leftovers, AttachError> {
    let read = || heapray_linux::mappings(pid).map_err(|_| AttachError::NoSuchProcess { pid });
    let mut mappings = read()?;
    if let Some(recording) = recording::in_mappings(pid, &mappings) {
        if is_alive(&recording) {
            return Err(AttachError::AlreadyRecorded { pid, collector: recording.collector });
        }
        if mappings.iter().any(|mapping| mapping.path.ends_with(crate::preload::FILE_NAME)) {
            return Err(AttachError::StartedWithAgent { pid });
        }
    }
    for arena in Arena::find(pid, &mappings).into_iter().filter(|arena| arena.stage != Stage::Mapped) {
        // One that was stopped is still there because somebody was in it; now perhaps no longer.
        let is_idle = arena.stage == Stage::Stopped;
        let detach_patience = if is_idle { IDLE_PATIENCE } else { options.detach_patience };
        let outcome = take_out(
            pid,
            arena,
            &LeaveOptions { detach_patience, hook: None, ..LeaveOptions::from(options) },
        );
        if !is_idle {
            outcome?;
        }
        mappings = read()?;
    }
    let arenas = Arena::find(pid, &mappings);
    let is_used = |start: u64| {
        arenas.iter().any(|arena| {
            arena.stage != Stage::Mapped && (arena.control.contains(&start) || arena.slot.contains(&start))
        })
    };
    let unused = mappings.iter().filter(|mapping| recording::is_shared(mapping) && !is_used(mapping.start));
    let mut ranges: Vec<_> = unused.map(|mapping| mapping.start..mapping.end).collect();
    ranges.extend(arenas.iter().filter(|arena| arena.stage == Stage::Mapped).map(Arena::range));
    let name = format!("/memfd:{}", crate::SHARED_NAME.to_string_lossy());
    let is_ours = |path: &std::path::Path| {
        let path = path.to_string_lossy();
        path.strip_suffix(" (deleted)").unwrap_or(&path) == name
    };
    let descriptors = heapray_linux::file_descriptors(pid).unwrap_or_default();
    let descriptors = descriptors.into_iter().filter(|(_, path)| is_ours(path)).map(|(fd, _)| fd).collect();
    Ok(Leftovers { ranges, descriptors })
}

/// Whether somebody still drains a recording: its heart beats, or its collector is a process of our pid namespace that is
/// there, but does not beat at this moment (it is stopped, or waits for a disk).
fn is_alive(recording: &Recording) -> bool {
    if recording.is_finished {
        return false;
    }
    let collector = i32::try_from(recording.collector).unwrap_or(0);
    if heapray_linux::command_line(collector).is_ok_and(|words| !words.is_empty()) {
        return true;
    }
    let begin = Instant::now();
    while begin.elapsed() < HEARTBEAT_PATIENCE {
        std::thread::sleep(HEARTBEAT_PATIENCE / 8);
        let now = recording::find_recording(recording.pid).ok().flatten();
        if now.is_some_and(|now| now.heartbeat != recording.heartbeat) {
            return true;
        }
    }
    false
}

impl Attached {
    /// Whether the target still runs and the agent in it is watched over.
    ///
    /// # Errors
    /// [`AttachError::Exited`], or [`AttachError::Guardian`] where the guardian was killed: the agent then records on, but
    /// nobody takes it out if heapray is killed too.
    pub fn check(&self) -> Result<(), AttachError> {
        let pid = self.pid;
        if !self.target.lives() {
            return Err(AttachError::Exited { pid, during: "attached to" });
        }
        match self.guardian.news() {
            None => Ok(()),
            Some(_) => Err(AttachError::Guardian { pid, what: "ended too early".to_owned() }),
        }
    }

    /// Takes the agent out: its hooks in any case, its memory where nobody can come back to it.
    ///
    /// # Errors
    /// [`AttachError::Exited`] where the target is gone, [`AttachError::AgentFailed`] where the hooks could not be taken out.
    pub fn detach(mut self) -> Result<Detached, AttachError> {
        let begin = Instant::now();
        let last = self.guardian.release();
        conclude(&self.target, last, begin)
    }
}

/// Takes the agent out of process `pid`, whoever put it in: for one whose collector is gone, and for forks of a process
/// that was attached to. Preloaded agents stay where they are.
///
/// # Errors
/// [`AttachError::NotRecorded`] where there is no agent that was attached; else as [`Attached::detach`].
pub fn detach_agent(pid: i32, options: &AttachOptions) -> Result<Detached, AttachError> {
    preflight::target(pid)?;
    let mappings = heapray_linux::mappings(pid).map_err(|_| AttachError::NoSuchProcess { pid })?;
    let arenas = Arena::find(pid, &mappings);
    let arena = arenas.into_iter().max_by_key(|arena| arena.stage == Stage::Started);
    take_out(pid, arena.ok_or(AttachError::NotRecorded { pid })?, &options.into())
}

/// How an agent is taken out.
struct LeaveOptions<'a> {
    stop_patience: Duration,
    detach_patience: Duration,
    trust_seccomp: bool,
    hook: Option<&'a OwnedFd>,
}

impl<'a> From<&'a AttachOptions> for LeaveOptions<'a> {
    fn from(options: &'a AttachOptions) -> Self {
        Self {
            stop_patience: options.stop_patience,
            detach_patience: options.detach_patience,
            trust_seccomp: options.trust_seccomp,
            hook: options.hook.as_ref(),
        }
    }
}

fn take_out(pid: i32, arena: Arena, options: &LeaveOptions<'_>) -> Result<Detached, AttachError> {
    let begin = Instant::now();
    let target = preflight::target(pid)?;
    let plan = LeavePlan {
        stop: StopPlan { pid, patience: options.stop_patience },
        seccomp: target.status.seccomp,
        trust_seccomp: options.trust_seccomp || preflight::shares_filters(&target.status),
        arena,
        patience: options.detach_patience,
    };
    let hook = options.hook.and_then(|hook| hook.try_clone().ok());
    let guardian = start_guardian(&target, Task::Leave(Box::new(plan)), hook)
        .map_err(|source| AttachError::System { pid, what: "starting the guardian", source })?;
    let last = guardian.receive().ok();
    conclude(&target, last, begin)
}

fn conclude(target: &Target, last: Option<Message>, begin: Instant) -> Result<Detached, AttachError> {
    let pid = target.status.tgid;
    match last {
        Some(Message::Left { rest, pause }) => {
            Ok(Detached { left_mapped: reason(rest), pause, elapsed: begin.elapsed() })
        }
        Some(Message::Failed(fault)) => Err(explain(target, fault)),
        _ if !target.lives() => Err(AttachError::Exited { pid, during: "attached to" }),
        _ => Err(AttachError::Guardian { pid, what: "ended too early".to_owned() }),
    }
}

fn reason(rest: Rest) -> Option<&'static str> {
    match rest {
        Rest::Nothing => None,
        Rest::Held => Some(
            "one of the program's own hooks (tracemalloc, a debugging allocator) was set while it recorded, and still calls it",
        ),
        Rest::Pointer => Some("a library has kept the address of one of its functions"),
        Rest::Thread => Some("a thread is still inside it, or seems to be"),
        Rest::Unsearched => {
            Some("the process's memory is too large to be searched for pointers to it in time")
        }
    }
}

fn explain(target: &Target, fault: Fault) -> AttachError {
    let pid = target.status.tgid;
    let source = io::Error::from_raw_os_error(fault.number);
    // One that is being killed may not be a zombie yet, but has no memory and no descriptors any more.
    let is_memory = matches!(fault.step, Step::Map | Step::Write | Step::Shared);
    let is_gone = is_memory && matches!(fault.number, libc_errno::ENOENT | libc_errno::ESRCH);
    if is_gone || !target.lives() {
        return AttachError::Exited { pid, during: "attached to" };
    }
    match fault.step {
        Step::Seccomp => AttachError::SeccompAgent { pid, mode: u8::try_from(fault.number).unwrap_or(2) },
        Step::Map if fault.number == libc_errno::EPERM => AttachError::SeccompAgent { pid, mode: 2 },
        Step::Map => AttachError::MapFailed { pid, source },
        Step::Write => AttachError::System { pid, what: "writing to its memory", source },
        Step::Shared => AttachError::System { pid, what: "opening the recording's memory file", source },
        Step::Refused => AttachError::AgentRefused { pid, reason: refusal(i64::from(fault.number)) },
        Step::Crashed => AttachError::AgentFailed { pid, what: format!("signal {}", fault.number) },
        Step::Hung => AttachError::AgentFailed { pid, what: "it did not end".to_owned() },
        Step::Instruction => AttachError::AgentRefused {
            pid,
            reason: "no system call instruction was found in its vDSO or libraries".to_owned(),
        },
        _ => image::explain(target, fault),
    }
}

/// What an answer of `heapray_start` means.
fn refusal(answer: i64) -> String {
    match answer {
        ring::START_BAD_VERSION => "it is of another version than this heapray".to_owned(),
        ring::START_TWICE => "it records there already".to_owned(),
        ring::START_NO_OBJECTS => {
            "the loader's list of libraries was not found (a static program?)".to_owned()
        }
        ring::START_NO_ALLOCATOR => "no allocator was found in the loaded libraries".to_owned(),
        ring::START_NO_MEMORY => "it could not map memory".to_owned(),
        ring::START_NO_SLOT => "no slot of the memory file is free".to_owned(),
        ring::START_BAD_CONTROL => "the memory file is not a recording's".to_owned(),
        other => format!("its answer was {other}"),
    }
}
