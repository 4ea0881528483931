//! aarch64: system calls by `svc 0`, the thread pointer from `tpidr_el0`.
//!
//! Unsafe: inline assembly, which is the only way to reach the kernel without a library. Compiled in CI, never run
//! there: no such machine is at hand.
#![allow(unsafe_code)]

use core::arch::asm;

/// Numbers of the system calls that are used (Linux, `asm-generic/unistd.h`).
pub(crate) mod nr {
    pub(crate) const OPENAT: usize = 56;
    pub(crate) const CLOSE: usize = 57;
    pub(crate) const READ: usize = 63;
    pub(crate) const NANOSLEEP: usize = 101;
    pub(crate) const CLOCK_GETTIME: usize = 113;
    pub(crate) const SCHED_YIELD: usize = 124;
    pub(crate) const RT_SIGPROCMASK: usize = 135;
    pub(crate) const PRCTL: usize = 167;
    pub(crate) const GETPID: usize = 172;
    pub(crate) const GETTID: usize = 178;
    pub(crate) const MUNMAP: usize = 215;
    pub(crate) const MREMAP: usize = 216;
    pub(crate) const MMAP: usize = 222;
    pub(crate) const MPROTECT: usize = 226;
    pub(crate) const MINCORE: usize = 232;
    pub(crate) const MADVISE: usize = 233;
    pub(crate) const GETRANDOM: usize = 278;
}

/// One system call; answers the kernel's word (-errno on failure).
///
/// # Safety
///
/// The arguments must be such that the call leaves memory that others use as it is.
#[inline]
pub(crate) unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the kernel changes x0 only; the caller answers for what the call does.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") args[0] as isize => answer,
            in("x1") args[1],
            in("x2") args[2],
            in("x3") args[3],
            in("x4") args[4],
            in("x5") args[5],
            options(nostack),
        );
    }
    answer
}

/// The calling thread's pointer. `pthread_self` of glibc lies below it by a fixed distance.
#[inline]
pub(crate) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, tpidr_el0", out(reg) pointer, options(pure, nomem, nostack, preserves_flags)) };
    pointer
}

/// Where C libraries keep the kernel's id of a thread, in bytes behind the thread pointer: they keep it before it here,
/// at a place that differs between versions.
pub(crate) const TID_OFFSETS: &[u64] = &[];
