//! Process file descriptors: notice the end of a process, and signal it without hitting a reused pid.
//!
//! Unsafe: raw system calls that take numbers only, and taking ownership of the descriptor that one of them returns.
#![expect(unsafe_code, reason = "raw system calls")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A descriptor that stands for a process; readable (poll) once the process has ended.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens process `pid` (pidfd_open(2), Linux 5.3).
    ///
    /// # Errors
    /// ESRCH: no such process. ENOSYS: the kernel is too old.
    pub fn open(pid: i32) -> io::Result<Self> {
        // SAFETY: takes and answers numbers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = i32::try_from(fd).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sends `signal`.
    ///
    /// # Errors
    /// ESRCH: the process has ended and was reaped.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: takes numbers and a null siginfo, which the kernel fills as kill(2) does.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                libc::c_long::from(self.0.as_raw_fd()),
                libc::c_long::from(signal),
                0,
                0,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends `signal` to process `pid` (kill(2)). Only for processes that cannot be reused meanwhile: our tracees and children.
///
/// # Errors
/// ESRCH: no such process. EPERM: not permitted.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers.
    let result = unsafe { libc::kill(pid, signal) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
