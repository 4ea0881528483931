//! A forked helper process that outlives trouble: fork, session, signals, poll.
//!
//! The forked process is single-threaded and may allocate (glibc and musl make their allocators usable after a fork);
//! it must not use anything that another thread of the parent may have locked: no standard streams, no environment.
//!
//! Unsafe: system calls with pointers to locals, and `fork`, whose child runs only the closure and ends by `_exit`.
#![expect(unsafe_code, reason = "fork and system calls with pointers")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// What [`poll`] waits for: the descriptor becomes readable or its peer hangs up.
pub type Interest<'a> = BorrowedFd<'a>;

/// Exit status of a guard that panicked.
const PANICKED: i32 = 70;

/// Forks; the child leads a session of its own (a terminal's signals do not reach it), runs `body`, and ends with its
/// answer as exit status, without running the parent's exit handlers. The answer is the child's pid.
///
/// # Errors
/// Those of fork(2): EAGAIN, ENOMEM.
pub fn fork_detached(body: impl FnOnce() -> i32) -> io::Result<i32> {
    // SAFETY: the child runs `body` only, under the rules at the head of this file, and never returns from here.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid > 0 {
        return Ok(pid);
    }
    // SAFETY: takes nothing; fails only for a group leader, which a fresh child is not.
    unsafe { libc::setsid() };
    let status = catch_unwind(AssertUnwindSafe(body)).unwrap_or(PANICKED);
    // SAFETY: ends the process at once; no destructor of the parent's state runs.
    unsafe { libc::_exit(status) }
}

/// Gives the calling thread this name (at most 15 bytes), so that `ps` says what it is.
pub fn rename(name: &std::ffi::CStr) {
    // SAFETY: `name` is NUL-terminated and outlives the call; the kernel copies at most 16 bytes.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Ignores the signals by which people and terminals end programs. SIGKILL cannot be ignored.
pub fn ignore_signals() {
    for signal in [
        libc::SIGINT,
        libc::SIGTERM,
        libc::SIGHUP,
        libc::SIGQUIT,
        libc::SIGPIPE,
        libc::SIGUSR1,
        libc::SIGUSR2,
    ] {
        // SAFETY: SIG_IGN is a valid disposition for each of these.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    // SAFETY: as above; SIG_DFL makes children's and tracees' stops be told even where the parent ignored SIGCHLD.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Closes every descriptor but `keep` and lets the standard streams go nowhere. `keep` must not contain 0, 1 or 2.
pub fn silence(keep: &[i32]) {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        for stream in 0..3 {
            // SAFETY: both are plain numbers; replacing our own standard streams is what is wanted.
            unsafe { libc::dup2(null.as_raw_fd(), stream) };
        }
        std::mem::forget(null);
    }
    let mut keep = keep.to_vec();
    keep.sort_unstable();
    let mut from = 3;
    for fd in keep.into_iter().chain([i32::MAX]) {
        if from < fd {
            close_between(from, fd - 1);
        }
        from = fd.saturating_add(1);
    }
}

fn close_between(first: i32, last: i32) {
    // SAFETY: takes numbers; the descriptors are copies that only this forked process has, and its code uses none of them.
    let result = unsafe {
        libc::syscall(libc::SYS_close_range, libc::c_long::from(first), libc::c_long::from(last), 0)
    };
    if result == 0 {
        return;
    }
    let own = std::process::id().cast_signed();
    for (fd, _) in crate::file_descriptors(own).unwrap_or_default() {
        if (first..=last).contains(&fd) {
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
    }
}

/// Asks the kernel not to pick this process when memory runs out; without privilege nothing happens.
pub fn protect_from_oom() {
    // Refusal is fine: this is a courtesy, not a requirement.
    let _refused = std::fs::write("/proc/self/oom_score_adj", "-1000");
}

/// Asks for a high priority: somebody stands still while this process works. Without privilege nothing happens.
pub fn hurry() {
    // SAFETY: takes numbers.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -15) };
}

/// Blocks SIGCHLD for this thread and answers a descriptor that is readable when one is pending.
///
/// # Errors
/// Those of signalfd(2).
pub fn signals_as_descriptor() -> io::Result<OwnedFd> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised above.
    let mut set = unsafe { set.assume_init() };
    // SAFETY: `set` is initialised, SIGCHLD is a valid signal.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGCHLD) };
    // SAFETY: `set` lives through the call; the old mask is not wanted.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    // SAFETY: `set` lives through the call.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits until one of `interests` is readable, hung up or in error, at most `timeout` (rounded up to a millisecond);
/// answers which.
///
/// # Errors
/// Those of poll(2) but EINTR, which is answered as "none".
pub fn poll(interests: &[Interest<'_>], timeout: Duration) -> io::Result<Vec<bool>> {
    let mut fds: Vec<libc::pollfd> = interests
        .iter()
        .map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    let timeout = i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    // SAFETY: `fds` has the length that is passed and lives through the call.
    let n = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout) };
    if n < 0 {
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINTR) {
            return Err(error);
        }
    }
    Ok(fds.iter().map(|fd| n > 0 && fd.revents != 0).collect())
}

/// Waits for a child of ours to end and reaps it; `None` where somebody else did.
pub fn reap(pid: i32) -> Option<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a local that the kernel writes an int to.
        let result = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        if result == pid {
            return Some(status);
        }
        if result >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return None;
        }
    }
}

/// Takes everything off a descriptor of [`signals_as_descriptor`].
pub fn drain(signals: &OwnedFd) {
    let mut buf = [0u8; 1024];
    // SAFETY: `buf` has the length that is passed; the descriptor does not block.
    while unsafe { libc::read(signals.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) } > 0 {}
}
