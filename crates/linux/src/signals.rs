//! Signals as data: block them, read them from a descriptor, pass them on; and what became of a child.
//!
//! Blocking, not ignoring or handling: dispositions stay as they are, so that a program which we start inherits what we
//! inherited.
//!
//! Unsafe: system calls with pointers to locals.
#![expect(unsafe_code, reason = "system calls with pointers")]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// A set of signals.
#[derive(Clone, Copy)]
pub struct SignalSet(libc::sigset_t);

impl std::fmt::Debug for SignalSet {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("SignalSet")
    }
}

impl SignalSet {
    /// The set of these; numbers that are no signals are left out.
    pub fn of(signals: &[i32]) -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises the set it is given.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: initialised above.
        let mut set: libc::sigset_t = unsafe { set.assume_init() };
        for signal in signals {
            // SAFETY: `set` is initialised; a number that is no signal is refused.
            unsafe { libc::sigaddset(&raw mut set, *signal) };
        }
        Self(set)
    }

    /// Blocks these signals for the calling thread, and for threads that it starts; the answer is what was blocked before.
    pub fn block(&self) -> Self {
        self.change(libc::SIG_BLOCK)
    }

    /// Lets these signals through to the calling thread; the answer is what was blocked before.
    pub fn unblock(&self) -> Self {
        self.change(libc::SIG_UNBLOCK)
    }

    /// Blocks exactly these for the calling thread.
    pub fn restore(&self) {
        self.change(libc::SIG_SETMASK);
    }

    fn change(&self, how: i32) -> Self {
        let mut old = Self::of(&[]);
        // SAFETY: both sets live through the call.
        unsafe { libc::pthread_sigmask(how, &raw const self.0, &raw mut old.0) };
        old
    }
}

/// A signal that was sent to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// The kernel sent it, as for a key of the terminal, which is sent to all of its foreground processes.
    pub from_kernel: bool,
    /// Who sent it, in our pid namespace; 0 where unknown.
    pub sender: i32,
}

/// A descriptor that is readable while one of a set of blocked signals is there.
#[derive(Debug)]
pub struct SignalQueue(OwnedFd);

impl SignalQueue {
    /// A queue of these signals, which must be blocked in every thread.
    ///
    /// # Errors
    /// Those of signalfd(2).
    pub fn new(signals: &SignalSet) -> io::Result<Self> {
        // SAFETY: the set lives through the call.
        let fd = unsafe { libc::signalfd(-1, &raw const signals.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal where there is one.
    pub fn take(&self) -> Option<Received> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let len = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the kernel writes at most `len` bytes, the size of `info`.
        let n = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), len) };
        if usize::try_from(n) != Ok(len) {
            return None;
        }
        // SAFETY: made of integers, zeroed and then written.
        let info = unsafe { info.assume_init() };
        Some(Received {
            signal: i32::try_from(info.ssi_signo).ok()?,
            from_kernel: info.ssi_code == libc::SI_KERNEL,
            sender: i32::try_from(info.ssi_pid).unwrap_or(0),
        })
    }
}

impl AsFd for SignalQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What became of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildNews {
    /// It ended with this status.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
    /// A signal stopped it.
    Stopped(i32),
    /// It goes on.
    Continued,
}

/// News of child `pid`, where there are any; `Exited` and `Killed` come once, and reap it.
///
/// # Errors
/// ECHILD: it is not our child, or was reaped before.
pub fn child_news(pid: i32) -> io::Result<Option<ChildNews>> {
    let mut status = 0;
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    // SAFETY: `status` is a local that the kernel writes an int to.
    match unsafe { libc::waitpid(pid, &raw mut status, flags) } {
        0 => Ok(None),
        n if n < 0 => Err(io::Error::last_os_error()),
        _ if libc::WIFEXITED(status) => Ok(Some(ChildNews::Exited(libc::WEXITSTATUS(status)))),
        _ if libc::WIFSIGNALED(status) => Ok(Some(ChildNews::Killed(libc::WTERMSIG(status)))),
        _ if libc::WIFSTOPPED(status) => Ok(Some(ChildNews::Stopped(libc::WSTOPSIG(status)))),
        _ => Ok(Some(ChildNews::Continued)),
    }
}

/// Lets `signal` do to us what it does by default: end, or stop until SIGCONT. Returns where it did neither. No core is
/// written: the one worth having is another process's.
pub fn suffer(signal: i32) {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    if ![libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal) {
        // SAFETY: `none` lives through the call.
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    }
    // SAFETY: SIG_DFL is valid for every signal; for those that cannot be changed nothing happens.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    let old = SignalSet::of(&[signal]).unblock();
    // SAFETY: takes a number.
    unsafe { libc::raise(signal) };
    // Where we were only stopped, things are as before.
    old.restore();
}

/// Starts a program: found in PATH unless its name has a slash, our descriptors (but those that close on exec), process
/// group and terminal, `blocked` as its signal mask, SIGPIPE as by default (Rust programs ignore it). The answer is its pid.
///
/// # Errors
/// Those of posix_spawnp(3): `NotFound`, `PermissionDenied`, EAGAIN, ….
pub fn spawn(args: &[CString], environment: &[CString], blocked: &SignalSet) -> io::Result<i32> {
    let first = args.first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let pointers = |texts: &[CString]| {
        texts.iter().map(|text| text.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect::<Vec<_>>()
    };
    let (args, environment) = (pointers(args), pointers(environment));
    let mut attributes = MaybeUninit::uninit();
    // SAFETY: initialises the attributes it is given.
    unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) };
    // SAFETY: initialised above.
    let mut attributes = unsafe { attributes.assume_init() };
    let defaults = SignalSet::of(&[libc::SIGPIPE]);
    // SAFETY: the attributes are initialised, the set lives through the call.
    unsafe { libc::posix_spawnattr_setsigmask(&raw mut attributes, &raw const blocked.0) };
    // SAFETY: as above.
    unsafe { libc::posix_spawnattr_setsigdefault(&raw mut attributes, &raw const defaults.0) };
    let flags = (libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF) as libc::c_short;
    // SAFETY: as above.
    unsafe { libc::posix_spawnattr_setflags(&raw mut attributes, flags) };
    let mut pid = 0;
    // SAFETY: both lists end with null, their texts and the attributes outlive the call.
    let error = unsafe {
        libc::posix_spawnp(
            &raw mut pid,
            first.as_ptr(),
            ptr::null(),
            &raw const attributes,
            args.as_ptr(),
            environment.as_ptr(),
        )
    };
    // SAFETY: initialised, and not used any more.
    unsafe { libc::posix_spawnattr_destroy(&raw mut attributes) };
    if error == 0 { Ok(pid) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Signals that a program which stands for another one passes on to it. Those that stop or end us at once, those that are
/// about an error of our own, and SIGCHLD and SIGPIPE are missing.
pub fn forwardable_signals() -> Vec<i32> {
    let named = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTERM,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGWINCH,
        libc::SIGCONT,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
        libc::SIGALRM,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGIO,
        libc::SIGURG,
        libc::SIGPWR,
    ];
    named.into_iter().chain(libc::SIGRTMIN()..=libc::SIGRTMAX()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(pid: i32) -> ChildNews {
        loop {
            if let Some(news) = child_news(pid).expect("our child") {
                return news;
            }
            std::thread::yield_now();
        }
    }

    fn start(words: &[&str]) -> io::Result<i32> {
        let texts: Vec<CString> = words.iter().map(|word| CString::new(*word).expect("no NUL")).collect();
        spawn(&texts, &[c"HEAPRAY_TEST=1".to_owned()], &SignalSet::of(&[]))
    }

    #[test]
    fn a_program_is_found_and_its_status_told() {
        let pid = start(&["sh", "-c", "test $HEAPRAY_TEST = 1 && exit 7"]).expect("sh is there");
        assert_eq!(wait(pid), ChildNews::Exited(7));
        assert!(child_news(pid).is_err());
        assert_eq!(start(&["heapray-no-such-program"]).expect_err("none").kind(), io::ErrorKind::NotFound);
        assert_eq!(start(&["/"]).expect_err("none").kind(), io::ErrorKind::PermissionDenied);
        assert!(start(&[]).is_err());
    }

    #[test]
    fn stops_and_ends_by_signals_are_told() {
        let pid = start(&["sh", "-c", "kill -STOP $$; kill -TERM $$"]).expect("sh is there");
        assert_eq!(wait(pid), ChildNews::Stopped(libc::SIGSTOP));
        crate::kill(pid, libc::SIGCONT).expect("it lives");
        let mut news = wait(pid);
        if news == ChildNews::Continued {
            news = wait(pid);
        }
        assert_eq!(news, ChildNews::Killed(libc::SIGTERM));
    }

    #[test]
    fn a_blocked_signal_is_read_with_its_sender() {
        // In a process of its own, for signals are sent to any thread that takes them.
        let body = || {
            let set = SignalSet::of(&[libc::SIGUSR1]);
            set.block();
            let Ok(queue) = SignalQueue::new(&set) else { return 1 };
            let own = std::process::id().cast_signed();
            if queue.take().is_some() || crate::kill(own, libc::SIGUSR1).is_err() {
                return 2;
            }
            let expected = Received { signal: libc::SIGUSR1, from_kernel: false, sender: own };
            if queue.take() == Some(expected) && queue.take().is_none() { 0 } else { 3 }
        };
        let pid = crate::fork_detached(body).expect("a fork");
        assert_eq!(wait(pid), ChildNews::Exited(0));
    }

    #[test]
    fn a_signal_is_suffered_as_if_it_had_come_to_us() {
        let body = || {
            SignalSet::of(&[libc::SIGTERM, libc::SIGTSTP]).block();
            suffer(libc::SIGSTOP);
            suffer(libc::SIGTERM);
            0
        };
        let pid = crate::fork_detached(body).expect("a fork");
        assert_eq!(wait(pid), ChildNews::Stopped(libc::SIGSTOP));
        crate::kill(pid, libc::SIGCONT).expect("it lives");
        let mut news = wait(pid);
        if news == ChildNews::Continued {
            news = wait(pid);
        }
        assert_eq!(news, ChildNews::Killed(libc::SIGTERM));
    }
}
