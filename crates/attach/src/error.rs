//! What can go wrong on the way into a process, said so that the user knows what to do next.
//!
//! Each message says what failed, on what, why, and what to try.

use thiserror::Error;

/// Why there is no image of the target. In every case the target runs on (or ended by itself).
#[derive(Debug, Error)]
pub enum AttachError {
    /// Nothing runs under this pid.
    #[error("there is no process {pid}; check the pid (in a container it is another one than on the host)")]
    NoSuchProcess {
        /// The pid that was asked for.
        pid: i32,
    },
    /// The process has ended and waits for its parent.
    #[error("process {pid} is a zombie: it has ended already and has no memory any more")]
    Zombie {
        /// The target.
        pid: i32,
    },
    /// A kernel thread has no memory of its own.
    #[error("process {pid} is a kernel thread: it has no memory of its own")]
    KernelThread {
        /// The target.
        pid: i32,
    },
    /// heapray cannot stop itself.
    #[error("process {pid} is heapray itself; give the pid of another process")]
    Itself {
        /// The target.
        pid: i32,
    },
    /// Only one tracer at a time.
    #[error(
        "process {pid} is already traced by process {tracer} ({tracer_name}); only one tracer is possible: end that one first"
    )]
    AlreadyTraced {
        /// The target.
        pid: i32,
        /// Its tracer; 0 where it is outside our pid namespace.
        tracer: i32,
        /// The tracer's name.
        tracer_name: String,
    },
    /// The kernel said no.
    #[error("cannot attach to {pid}: ptrace denied (EPERM): {cause}")]
    Denied {
        /// The target.
        pid: i32,
        /// Which setting denies it, and what to try.
        cause: String,
    },
    /// A 32-bit process, or one of another architecture.
    #[error(
        "process {pid} does not run 64-bit code of this machine's architecture; heapray reads 64-bit processes only"
    )]
    NotNative {
        /// The target.
        pid: i32,
    },
    /// seccomp could kill the target for our system calls.
    #[error(
        "process {pid} is confined by seccomp (mode {mode}), which may kill it for the clone that a copy needs, and heapray may not suspend that \
        (it takes CAP_SYS_ADMIN outside the sandbox); use --in-place, or run heapray as root on the host"
    )]
    Seccomp {
        /// The target.
        pid: i32,
        /// 1 strict, 2 filters.
        mode: u8,
    },
    /// Too little room for a copy.
    #[error(
        "no room for a copy of {pid}: {what} leaves {have}, a copy may need {need}; use --in-place, which copies nothing but stops the target while it is read"
    )]
    NoRoom {
        /// The target.
        pid: i32,
        /// The limit that is near.
        what: &'static str,
        /// What it leaves.
        have: String,
        /// What a copy needs.
        need: String,
    },
    /// A thread waits for children of any kind and would see the copy.
    #[error(
        "thread {tid} of {pid} waits for children with __WALL or __WCLONE and would see the copy as one; use --in-place"
    )]
    WaitsForAll {
        /// The target.
        pid: i32,
        /// The waiting thread.
        tid: i32,
    },
    /// A thread did not stop.
    #[error(
        "thread {tid} of {pid} did not stop (state {state}); it is probably in the kernel, waiting for a device, a file server or a vfork: try again"
    )]
    Stuck {
        /// The target.
        pid: i32,
        /// The thread.
        tid: i32,
        /// Its state letter.
        state: char,
    },
    /// `clone` failed in the target.
    #[error("the kernel would not copy {pid}: {reason} ({source}); use --in-place")]
    CloneFailed {
        /// The target.
        pid: i32,
        /// What this error means for clone.
        reason: &'static str,
        /// The error number.
        source: std::io::Error,
    },
    /// There is no system call instruction to be found.
    #[error("found no system call instruction in the vDSO or libraries of {pid}; use --in-place")]
    NoInstruction {
        /// The target.
        pid: i32,
    },
    /// The target ended meanwhile.
    #[error("process {pid} ended while it was being {during}")]
    Exited {
        /// The target.
        pid: i32,
        /// "stopped", "copied", "read" or "attached to".
        during: &'static str,
    },
    /// The image went away while it was read.
    #[error("the image of {pid} was given up while it was read: {reason}")]
    Lost {
        /// The target.
        pid: i32,
        /// Which budget ended, or who killed the copy.
        reason: &'static str,
    },
    /// The guardian did not do its part.
    #[error("the guardian process for {pid} {what}; the target runs on, a second try is safe")]
    Guardian {
        /// The target.
        pid: i32,
        /// What happened to it.
        what: String,
    },
    /// A system call failed that should not.
    #[error("{what} failed on {pid}: {source}")]
    System {
        /// The target.
        pid: i32,
        /// The call.
        what: &'static str,
        /// The error.
        source: std::io::Error,
    },
    /// Not a Python that the agent can follow.
    #[error("process {pid} is {found}; the agent can be put into {supported}")]
    NotPython {
        /// The target.
        pid: i32,
        /// What it is.
        found: String,
        /// What is supported.
        supported: &'static str,
    },
    /// One recording at a time.
    #[error(
        "process {pid} is being recorded already, by process {collector}; end that recording first (heapray detach {pid})"
    )]
    AlreadyRecorded {
        /// The target.
        pid: i32,
        /// Its collector, as it counts itself.
        collector: u32,
    },
    /// It was started with the agent, whose collector is gone.
    #[error(
        "process {pid} was started by heapray run, which has ended; its agent is idle and cannot be used again: restart the process"
    )]
    StartedWithAgent {
        /// The target.
        pid: i32,
    },
    /// There is nothing to be taken out.
    #[error("process {pid} has no agent of heapray's in it")]
    NotRecorded {
        /// The target.
        pid: i32,
    },
    /// This build carries no agent.
    #[error(
        "this heapray was built for another architecture without its agent; build it on a machine of that kind"
    )]
    NoImage,
    /// The agent image is not one.
    #[error("the agent of this heapray cannot be used: {source}")]
    BadImage {
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// Returns to addresses that were never called are faults there.
    #[error(
        "process {pid} runs with a shadow stack, which forbids the calls that attaching needs; start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off, or with heapray run"
    )]
    ShadowStack {
        /// The target.
        pid: i32,
    },
    /// seccomp could kill the target for our system calls.
    #[error(
        "process {pid} is confined by seccomp (mode {mode}), which may kill it for the calls that attaching needs (memfd_create, mmap, mprotect), and heapray may         not suspend that (it takes CAP_SYS_ADMIN outside the sandbox); run heapray as root on the host, or start the process with heapray run"
    )]
    SeccompAgent {
        /// The target.
        pid: i32,
        /// 1 strict, 2 filters.
        mode: u8,
    },
    /// Memory for the agent could not be mapped.
    #[error(
        "cannot map memory for the agent in {pid}: {source}; its address space or its memory may be limited (ulimit -v, the control group)"
    )]
    MapFailed {
        /// The target.
        pid: i32,
        /// The error.
        source: std::io::Error,
    },
    /// The agent would not start.
    #[error("the agent would not start in {pid}: {reason}")]
    AgentRefused {
        /// The target.
        pid: i32,
        /// Why.
        reason: String,
    },
    /// The agent failed inside the target, which runs on.
    #[error(
        "the agent failed in {pid} ({what}); the process runs on, with the agent's memory left in it: this is a bug of heapray's, please report it"
    )]
    AgentFailed {
        /// The target.
        pid: i32,
        /// How.
        what: String,
    },
    /// Not a core file that we can read.
    #[error("cannot read core file {path}: {reason}")]
    Core {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}
