//! A process, standing still: its memory, mappings and threads at one moment.

use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use heapray_cpython::Region;
use heapray_linux::{FileRoot, Mapping, Status};

use crate::AttachError;
use crate::copy::CopyPlan;
use crate::fault::{Fault, Step, libc_errno};
use crate::guardian::{Guardian, Plan, Task};
use crate::memory::{DEFAULT_BUDGET_BYTES, ImageMemory};
use crate::message::{End, Message, ThreadWords};
use crate::preflight::{self, Target};
use crate::source::Source;
use crate::stop::StopPlan;

/// How long a copy is kept, and what it may cost.
#[derive(Debug)]
pub struct CopyOptions {
    /// After this long the copy is killed. Default 120 s.
    pub time_budget: Duration,
    /// Memory of the image that heapray keeps loaded between phases, in bytes. Default 512 MiB.
    pub cache_bytes: u64,
    /// How long to wait for a thread to stop. Default 2 s.
    pub stop_patience: Duration,
    /// Do not compare the room that limits leave with what a copy may need.
    pub ignore_limits: bool,
    /// Copy a process under seccomp filters although they cannot be suspended: a filter that kills on `clone` kills it.
    pub trust_seccomp: bool,
    /// A socket on which a test holds the guardian at numbered moments.
    #[doc(hidden)]
    pub hook: Option<OwnedFd>,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            time_budget: Duration::from_secs(120),
            cache_bytes: DEFAULT_BUDGET_BYTES,
            stop_patience: Duration::from_secs(2),
            ignore_limits: false,
            trust_seccomp: false,
            hook: None,
        }
    }
}

/// A thread as it was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedThread {
    /// Its id in our pid namespace.
    pub tid: i32,
    /// Its id in its own pid namespace, which is what CPython knows as `native_thread_id`.
    pub own_tid: i32,
    /// Its name, at most 15 bytes; empty where it has ended since.
    pub name: String,
    /// Top of its stack.
    pub stack_pointer: u64,
    /// Where it goes on.
    pub instruction_pointer: u64,
    /// Base of its thread-local storage.
    pub fs_base: u64,
    /// All general registers, in the order of the kernel's `user_regs_struct` (x86-64) or `user_pt_regs` (AArch64).
    pub registers: Vec<u64>,
}

/// How an image came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageKind {
    /// A frozen copy; the target runs on.
    Copy,
    /// The target itself, stopped while the image lives.
    InPlace,
    /// A core file.
    Core,
}

/// A process, standing still. Dropping it removes every trace of it (and lets a target that was stopped in place run on).
#[derive(Debug)]
pub struct Image {
    /// Its memory.
    pub memory: ImageMemory,
    /// Its mappings, in address order, as the readers need them.
    pub regions: Vec<Region>,
    /// Its mappings, in address order, with what the kernel tells about each.
    pub mappings: Vec<Mapping>,
    /// Its threads, by id. A thread that slept uninterruptibly (vfork) is missing.
    pub threads: Vec<StoppedThread>,
    /// How it came to be.
    pub kind: ImageKind,
    /// How long the target was stopped; for [`ImageKind::InPlace`] until the image could be read.
    pub pause: Duration,
    /// What of that the kernel needed to copy the page tables; zero without a copy.
    pub fork_cost: Duration,
    /// The target, in our pid namespace; for a core file the pid it had.
    pub pid: i32,
    /// The target's id in its own pid namespace.
    pub own_pid: i32,
    /// The target is in our own pid namespace.
    pub same_pid_namespace: bool,
    /// Where the files of `mappings` can be opened.
    pub files: FileRoot,
    /// What a damaged core file has lost; empty for a process.
    pub losses: Vec<String>,
    pub(crate) guardian: Option<Guardian>,
    pub(crate) born: Instant,
    /// Why the image is not there any more, once that is known.
    pub(crate) lost: OnceLock<End>,
}

/// What an image cost the target in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// How long the target was stopped for the image.
    pub pause: Duration,
    /// How long the image existed.
    pub lifetime: Duration,
}

/// Copies process `pid` and answers its frozen image; the target has run on by then.
///
/// # Errors
/// See [`AttachError`]; the target is untouched in every case.
///
/// # Cost
/// The target is stopped for the kernel's cost of a fork (20 to 40 ms a GB on a virtual machine) plus some 0.1 ms, and
/// for another 0.1 ms (one thread) when the image is dropped.
pub fn copy(pid: i32, options: CopyOptions) -> Result<Image, AttachError> {
    let target = preflight::target(pid)?;
    if !options.ignore_limits {
        preflight::room(pid, &target.status)?;
    }
    let stop = StopPlan { pid, patience: options.stop_patience };
    let task =
        Task::Copy(CopyPlan { stop, seccomp: target.status.seccomp, trust_seccomp: options.trust_seccomp });
    // While a copy ends its memory is given back bit by bit; a target that writes fast must not reach the limit meanwhile.
    let floor_bytes = if options.ignore_limits { 0 } else { preflight::need_bytes(&target.status) / 2 };
    let plan = Plan { task, start_ticks: target.start_ticks, time_budget: options.time_budget, floor_bytes };
    start(&target, plan, options)
}

/// Stops process `pid` while the image lives. It runs on when the image is dropped, and when heapray ends, however.
///
/// # Errors
/// See [`AttachError`]; the target runs on in every case.
pub fn in_place(pid: i32, options: CopyOptions) -> Result<Image, AttachError> {
    let target = preflight::target(pid)?;
    let task = Task::InPlace(StopPlan { pid, patience: options.stop_patience });
    let plan =
        Plan { task, start_ticks: target.start_ticks, time_budget: options.time_budget, floor_bytes: 0 };
    start(&target, plan, options)
}

fn start(target: &Target, plan: Plan, options: CopyOptions) -> Result<Image, AttachError> {
    let pid = target.status.tgid;
    let kind = if matches!(plan.task, Task::Copy(_)) { ImageKind::Copy } else { ImageKind::InPlace };
    let system = |what| move |source| AttachError::System { pid, what, source };
    let guardian = Guardian::start(plan, options.hook).map_err(system("starting the guardian"))?;
    match guardian.receive() {
        Ok(Message::Ready { source, pause, fork_cost, threads }) => {
            let mappings = heapray_linux::mappings(source).map_err(system("reading the mappings"))?;
            let image = Image {
                memory: ImageMemory::new(Source::process(source), &mappings, options.cache_bytes),
                regions: mappings.iter().map(region).collect(),
                mappings,
                threads: describe(target, threads),
                kind,
                pause,
                fork_cost,
                pid,
                own_pid: target.status.namespace_ids.last().copied().unwrap_or(pid),
                same_pid_namespace: target.status.namespace_ids.len() <= 1,
                files: FileRoot::Processes(vec![source, pid]),
                losses: Vec::new(),
                guardian: Some(guardian),
                born: Instant::now(),
                lost: OnceLock::new(),
            };
            image.check().map(|()| image)
        }
        Ok(Message::Failed(fault)) => Err(explain(target, fault)),
        Ok(_) => Err(AttachError::Guardian { pid, what: "gave up at once".to_owned() }),
        Err(error) => Err(AttachError::Guardian { pid, what: format!("ended too early ({error})") }),
    }
}

impl Image {
    /// Whether the image is still there: to be asked after reading, for what was read since it went is missing.
    ///
    /// # Errors
    /// [`AttachError::Lost`] with the reason, [`AttachError::Exited`] where a target stopped in place has ended.
    pub fn check(&self) -> Result<(), AttachError> {
        let pid = self.pid;
        let Some(guardian) = self.guardian.as_ref() else { return Ok(()) };
        if let Some(news) = guardian.news() {
            self.lost.get_or_init(|| news);
        } else if self.memory.is_gone() {
            self.lost.get_or_init(|| if self.kind == ImageKind::InPlace { End::Exited } else { End::Killed });
        }
        let reason = match self.lost.get() {
            None => return Ok(()),
            Some(End::Time) => "its time budget ended",
            Some(End::Memory) => "the memory limit of the target's control group came near; use --in-place",
            Some(End::Killed) => "somebody killed the copy",
            Some(End::Released) => "the guardian process ended",
            Some(End::Exited) => return Err(AttachError::Exited { pid, during: "read" }),
        };
        Err(AttachError::Lost { pid, reason })
    }

    /// Removes every trace of the image and answers what it cost; dropping does the same silently.
    pub fn release(mut self) -> Released {
        let last = self.guardian.take().and_then(|mut guardian| guardian.release());
        let pause = if let Some(Message::Ended { pause, .. }) = last { pause } else { self.pause };
        Released { pause, lifetime: self.born.elapsed() }
    }
}

/// A mapping as the readers need it.
pub(crate) fn region(mapping: &Mapping) -> Region {
    Region {
        start: mapping.start,
        end: mapping.end,
        read: mapping.read,
        write: mapping.write,
        exec: mapping.exec,
        offset: mapping.offset,
        path: mapping.path.clone(),
    }
}

fn describe(target: &Target, threads: Vec<ThreadWords>) -> Vec<StoppedThread> {
    let pid = target.status.tgid;
    let nested = target.status.namespace_ids.len() > 1;
    let own_tid = |tid| {
        let status: Option<Status> = if nested { heapray_linux::thread_status(pid, tid).ok() } else { None };
        status.and_then(|status| status.namespace_ids.last().copied()).unwrap_or(tid)
    };
    let mut out: Vec<StoppedThread> = threads
        .into_iter()
        .map(|thread| {
            let registers = heapray_linux::arch::Registers(thread.registers);
            StoppedThread {
                tid: thread.tid,
                own_tid: own_tid(thread.tid),
                name: heapray_linux::thread_name(pid, thread.tid),
                stack_pointer: registers.stack_pointer(),
                instruction_pointer: registers.instruction_pointer(),
                fs_base: thread.thread_pointer,
                registers: registers.0.to_vec(),
            }
        })
        .collect();
    out.sort_by_key(|thread| thread.tid);
    out
}

/// The guardian's fault, with its cause and what to try.
pub(crate) fn explain(target: &Target, fault: Fault) -> AttachError {
    let pid = target.status.tgid;
    let tid = fault.tid;
    let source = std::io::Error::from_raw_os_error(fault.number);
    if !target.lives() {
        // Whatever failed, this is why.
        return AttachError::Exited { pid, during: "copied" };
    }
    match fault.step {
        Step::Seize if fault.number == libc_errno::EPERM => preflight::denial(pid, &target.status),
        Step::Seize => AttachError::System { pid, what: "ptrace (seize)", source },
        Step::Stop | Step::Sequence => {
            let state = u8::try_from(fault.number).map_or('?', char::from);
            AttachError::Stuck { pid, tid, state }
        }
        Step::Gone => AttachError::Exited { pid, during: "stopped" },
        Step::Instruction => AttachError::NoInstruction { pid },
        Step::Clone => AttachError::CloneFailed { pid, reason: clone_reason(fault.number), source },
        Step::WaitsForAll => AttachError::WaitsForAll { pid, tid },
        Step::Native => AttachError::NotNative { pid },
        Step::Seccomp => AttachError::Seccomp { pid, mode: u8::try_from(fault.number).unwrap_or(2) },
        // The rest is an agent's, and explained there.
        _ => AttachError::System { pid, what: "ptrace", source },
    }
}

fn clone_reason(number: i32) -> &'static str {
    match number {
        libc_errno::EAGAIN => "a limit on processes is reached (RLIMIT_NPROC, pids.max, kernel.pid_max)",
        libc_errno::ENOMEM => {
            "memory for it would be over a limit (vm.overcommit_memory=2, the control group, or the machine is full)"
        }
        libc_errno::EPERM => "a security policy (seccomp) forbids clone",
        _ => "clone failed",
    }
}
