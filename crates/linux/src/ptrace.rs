//! ptrace(2) of one thread at a time, by `PTRACE_SEIZE` only.
//!
//! A [`Tracee`] is a plain thread id with the calls that make sense on it; it owns nothing and detaches nothing by
//! itself (the kernel does when the tracer ends). All calls must come from the thread that seized.
//!
//! Unsafe: `ptrace` and `waitpid` take pointers; every pointer here is to a local that lives through the call.
#![expect(unsafe_code, reason = "system calls with pointers")]

use std::io;
use std::mem::size_of;
use std::ptr;

use crate::arch::{EXTENDED_STATE, REGISTER_COUNT, Registers, ThreadState};

/// Options for [`Tracee::seize`] and [`Tracee::set_options`] (ptrace(2)).
pub mod options {
    /// A system call stop is told apart from a SIGTRAP.
    pub const SYSCALL_GOOD: u64 = 0x1;
    /// A child made by `clone` is traced from its birth, with the same options.
    pub const TRACE_CLONE: u64 = 0x8;
    /// The kernel kills the tracee when its tracer ends.
    pub const EXIT_KILL: u64 = 0x10_0000;
    /// The tracee's seccomp filters are switched off while it is traced; needs CAP_SYS_ADMIN (Linux 4.3).
    pub const SUSPEND_SECCOMP: u64 = 0x20_0000;
}

/// How a stopped thread is let on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Until something happens.
    Continue,
    /// Until the next entry to or exit from a system call.
    ToSystemCall,
}

/// What `waitpid` told about a tracee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Stopped by us, or by a group stop (then `signal` is the stopping signal, else SIGTRAP).
    Group {
        /// SIGTRAP, or the stopping signal of a group stop.
        signal: i32,
    },
    /// Inside `clone`, the child exists: [`Tracee::event_message`] is its id.
    Cloned,
    /// At the entry to or exit from a system call.
    SystemCall,
    /// A signal is about to be delivered; pass it to [`Tracee::resume`] to let that happen.
    Signal(i32),
    /// Another event that was not asked for.
    Other(i32),
    /// The thread is gone, with this raw status.
    Gone(i32),
}

const PTRACE_EVENT_CLONE: i32 = 3;
const PTRACE_EVENT_STOP: i32 = 128;
const NT_PRSTATUS: usize = 1;
/// More than any processor's: AMX makes it 11 KiB.
const MAX_EXTENDED_BYTES: usize = 64 << 10;
const PTRACE_GETSIGMASK: libc::c_uint = 0x420a;
const PTRACE_SETSIGMASK: libc::c_uint = 0x420b;
const PTRACE_GET_RSEQ_CONFIGURATION: libc::c_uint = 0x420f;

/// A thread that we trace, or are about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tracee(pub i32);

/// One ptrace request whose address and data are numbers, or pointers that the caller keeps alive.
fn request(request: libc::c_uint, tid: i32, addr: usize, data: usize) -> io::Result<i64> {
    // SAFETY: each caller in this file passes either plain numbers, or the address of a local of the size that the
    // request writes; with the raw call a result is never smuggled through errno as glibc does for PEEK requests.
    let result = unsafe {
        libc::syscall(libc::SYS_ptrace, libc::c_long::from(request), libc::c_long::from(tid), addr, data)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

impl Tracee {
    /// Starts tracing without stopping.
    ///
    /// # Errors
    /// EPERM: not permitted, already traced, or the thread is a zombie. ESRCH: no such thread.
    pub fn seize(self, options: u64) -> io::Result<()> {
        request(libc::PTRACE_SEIZE, self.0, 0, options as usize).map(drop)
    }

    /// Asks the thread to stop; [`Stop::Group`] follows. No signal is seen by it. Works on a stopped thread too: it
    /// then stops again before it runs any user code.
    ///
    /// # Errors
    /// ESRCH: gone or not ours.
    pub fn interrupt(self) -> io::Result<()> {
        request(libc::PTRACE_INTERRUPT, self.0, 0, 0).map(drop)
    }

    /// Replaces the options of a stopped thread.
    ///
    /// # Errors
    /// ESRCH: gone or not stopped. EPERM, EINVAL: an option is not permitted or not known.
    pub fn set_options(self, options: u64) -> io::Result<()> {
        request(libc::PTRACE_SETOPTIONS, self.0, 0, options as usize).map(drop)
    }

    /// Lets a stopped thread on, delivering `signal` where it stopped for one (0 for none).
    ///
    /// # Errors
    /// ESRCH: gone or not stopped.
    pub fn resume(self, how: Resume, signal: i32) -> io::Result<()> {
        let op = match how {
            Resume::Continue => libc::PTRACE_CONT,
            Resume::ToSystemCall => libc::PTRACE_SYSCALL,
        };
        request(op, self.0, 0, signal as usize).map(drop)
    }

    /// Ends tracing of a stopped thread, which goes on (or back to its group stop).
    ///
    /// # Errors
    /// ESRCH: gone or not stopped.
    pub fn detach(self) -> io::Result<()> {
        request(libc::PTRACE_DETACH, self.0, 0, 0).map(drop)
    }

    /// The number that came with an event stop: after [`Stop::Cloned`] the child's id in our pid namespace.
    ///
    /// # Errors
    /// ESRCH: gone or not stopped.
    pub fn event_message(self) -> io::Result<u64> {
        let mut message: libc::c_ulong = 0;
        request(libc::PTRACE_GETEVENTMSG, self.0, 0, ptr::from_mut(&mut message) as usize)?;
        Ok(message)
    }

    /// General registers of a stopped thread.
    ///
    /// # Errors
    /// ESRCH: gone or not stopped. `InvalidData`: the kernel gave another number of registers (a 32-bit process).
    pub fn registers(self) -> io::Result<Registers> {
        let mut words = [0u64; REGISTER_COUNT];
        let mut vector =
            libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: size_of::<[u64; REGISTER_COUNT]>() };
        request(libc::PTRACE_GETREGSET, self.0, NT_PRSTATUS, ptr::from_mut(&mut vector) as usize)?;
        if vector.iov_len != size_of::<[u64; REGISTER_COUNT]>() {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        Ok(Registers(words))
    }

    /// Sets the general registers of a stopped thread.
    ///
    /// # Errors
    /// ESRCH: gone or not stopped.
    pub fn set_registers(self, registers: &Registers) -> io::Result<()> {
        let mut words = registers.0;
        let mut vector =
            libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: size_of::<[u64; REGISTER_COUNT]>() };
        request(libc::PTRACE_SETREGSET, self.0, NT_PRSTATUS, ptr::from_mut(&mut vector) as usize).map(drop)
    }

    /// Everything but the general registers (floating point, vectors) of a stopped thread, as the kernel gives it.
    ///
    /// # Errors
    /// ESRCH: gone or not stopped.
    pub fn extended_state(self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0u8; MAX_EXTENDED_BYTES];
        let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        request(libc::PTRACE_GETREGSET, self.0, EXTENDED_STATE, ptr::from_mut(&mut vector) as usize)?;
        bytes.truncate(vector.iov_len);
        Ok(bytes)
    }

    /// Sets what [`Tracee::extended_state`] gave.
    ///
    /// # Errors
    /// ESRCH: gone or not stopped. EINVAL: not what it gave.
    pub fn set_extended_state(self, state: &[u8]) -> io::Result<()> {
        let mut bytes = state.to_vec();
        let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        request(libc::PTRACE_SETREGSET, self.0, EXTENDED_STATE, ptr::from_mut(&mut vector) as usize).map(drop)
    }

    /// The signals that a stopped thread blocks, a bit each from signal 1 on; where a call has set them for its own time
    /// (sigsuspend, ppoll), those that it goes back to.
    ///
    /// # Errors
    /// ESRCH: gone or not stopped.
    pub fn signal_mask(self) -> io::Result<u64> {
        let mut mask = 0u64;
        request(PTRACE_GETSIGMASK, self.0, size_of::<u64>(), ptr::from_mut(&mut mask) as usize)?;
        Ok(mask)
    }

    /// Sets the signals that a stopped thread blocks.
    ///
    /// # Errors
    /// ESRCH: gone or not stopped.
    pub fn set_signal_mask(self, mask: u64) -> io::Result<()> {
        let mut mask = mask;
        request(PTRACE_SETSIGMASK, self.0, size_of::<u64>(), ptr::from_mut(&mut mask) as usize).map(drop)
    }

    /// All of it: registers and signal mask.
    ///
    /// # Errors
    /// As [`Tracee::registers`].
    pub fn state(self) -> io::Result<ThreadState> {
        Ok(ThreadState {
            registers: self.registers()?,
            extended: self.extended_state()?,
            signal_mask: self.signal_mask()?,
        })
    }

    /// Base of the thread's thread-local storage where it is not among the general registers (`NT_ARM_TLS`).
    ///
    /// # Errors
    /// ESRCH: gone or not stopped. EINVAL: this architecture has no such register set.
    pub fn thread_pointer(self) -> io::Result<u64> {
        const NT_ARM_TLS: usize = 0x401;
        let mut word = 0u64;
        let mut vector = libc::iovec { iov_base: ptr::from_mut(&mut word).cast(), iov_len: size_of::<u64>() };
        request(libc::PTRACE_GETREGSET, self.0, NT_ARM_TLS, ptr::from_mut(&mut vector) as usize)?;
        Ok(word)
    }

    /// Address of the thread's `struct rseq` (rseq(2)); `None` where it has none or the kernel cannot tell (before 5.13).
    pub fn rseq_address(self) -> Option<u64> {
        // struct ptrace_rseq_configuration: pointer, size, signature, flags, padding.
        let mut words = [0u64; 3];
        request(PTRACE_GET_RSEQ_CONFIGURATION, self.0, size_of::<[u64; 3]>(), words.as_mut_ptr() as usize)
            .ok()?;
        Some(words[0]).filter(|address| *address != 0)
    }

    /// The next stop or end of the thread; waits for it.
    ///
    /// # Errors
    /// ECHILD: not ours, or its end was already told.
    pub fn wait(self) -> io::Result<Stop> {
        loop {
            if let Some(stop) = self.wait_with(0)? {
                return Ok(stop);
            }
        }
    }

    /// The next stop or end of the thread where there is one already.
    ///
    /// # Errors
    /// As [`Tracee::wait`].
    pub fn try_wait(self) -> io::Result<Option<Stop>> {
        self.wait_with(libc::WNOHANG)
    }

    fn wait_with(self, flags: i32) -> io::Result<Option<Stop>> {
        let mut status = 0;
        loop {
            // SAFETY: `status` is a local that the kernel writes an int to.
            let result = unsafe { libc::waitpid(self.0, &raw mut status, libc::__WALL | flags) };
            if result > 0 {
                return Ok(Some(decode(status)));
            }
            if result == 0 {
                return Ok(None);
            }
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EINTR) {
                return Err(error);
            }
        }
    }
}

fn decode(status: i32) -> Stop {
    if !libc::WIFSTOPPED(status) {
        return Stop::Gone(status);
    }
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        PTRACE_EVENT_STOP => Stop::Group { signal },
        PTRACE_EVENT_CLONE => Stop::Cloned,
        0 if signal == libc::SIGTRAP | 0x80 => Stop::SystemCall,
        0 => Stop::Signal(signal),
        event => Stop::Other(event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_are_told_apart() {
        let stopped = |signal: i32, event: i32| (event << 16) | (signal << 8) | 0x7f;
        assert_eq!(decode(stopped(libc::SIGTRAP, 128)), Stop::Group { signal: libc::SIGTRAP });
        assert_eq!(decode(stopped(libc::SIGSTOP, 128)), Stop::Group { signal: libc::SIGSTOP });
        assert_eq!(decode(stopped(libc::SIGTRAP, 3)), Stop::Cloned);
        assert_eq!(decode(stopped(libc::SIGTRAP | 0x80, 0)), Stop::SystemCall);
        assert_eq!(decode(stopped(libc::SIGUSR1, 0)), Stop::Signal(libc::SIGUSR1));
        assert_eq!(decode(9), Stop::Gone(9));
    }

    #[test]
    fn a_seized_child_stops_and_goes_on() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat starts");
        let tracee = Tracee(child.id().cast_signed());
        tracee.seize(0).expect("a child may be traced");
        tracee.interrupt().expect("it lives");
        assert_eq!(tracee.wait().expect("it stops"), Stop::Group { signal: libc::SIGTRAP });
        let registers = tracee.registers().expect("it is stopped");
        assert!(registers.is_native() && registers.stack_pointer() != 0);
        tracee.set_registers(&registers).expect("it is stopped");
        let state = tracee.extended_state().expect("it is stopped");
        assert!(state.len() >= 512);
        tracee.set_extended_state(&state).expect("it is stopped");
        let mask = tracee.signal_mask().expect("it is stopped");
        tracee.set_signal_mask(mask | 1 << 9).expect("it is stopped");
        assert_eq!(tracee.signal_mask().expect("it is stopped"), mask | 1 << 9);
        tracee.set_signal_mask(mask).expect("it is stopped");
        tracee.detach().expect("it is stopped");
        drop(child.stdin.take());
        assert!(child.wait().expect("cat ends").success());
    }
}
