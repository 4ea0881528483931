//! x86-64: system calls by `syscall`, the thread pointer from `fs:0`.
//!
//! Unsafe: inline assembly, which is the only way to reach the kernel without a library.
#![allow(unsafe_code)]

use core::arch::asm;

/// Numbers of the system calls that are used (Linux, `asm/unistd_64.h`).
pub(crate) mod nr {
    pub(crate) const READ: usize = 0;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const MMAP: usize = 9;
    pub(crate) const MPROTECT: usize = 10;
    pub(crate) const MUNMAP: usize = 11;
    pub(crate) const RT_SIGPROCMASK: usize = 14;
    pub(crate) const SCHED_YIELD: usize = 24;
    pub(crate) const MREMAP: usize = 25;
    pub(crate) const MINCORE: usize = 27;
    pub(crate) const MADVISE: usize = 28;
    pub(crate) const NANOSLEEP: usize = 35;
    pub(crate) const GETPID: usize = 39;
    pub(crate) const PRCTL: usize = 157;
    pub(crate) const GETTID: usize = 186;
    pub(crate) const CLOCK_GETTIME: usize = 228;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const GETRANDOM: usize = 318;
}

/// One system call; answers the kernel's word (-errno on failure).
///
/// # Safety
///
/// The arguments must be such that the call leaves memory that others use as it is.
#[inline]
pub(crate) unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the kernel clobbers rcx and r11 only; the caller answers for what the call does.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// The calling thread's pointer: glibc and musl keep it at `fs:0`; it is also what `pthread_self` answers.
#[inline]
pub(crate) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: x86-64 Linux programs keep the thread's own address at fs:0 (psABI, TLS variant II).
    unsafe { asm!("mov {}, fs:0", out(reg) pointer, options(pure, readonly, nostack, preserves_flags)) };
    pointer
}

/// Where C libraries keep the kernel's id of a thread, in bytes behind the thread pointer: musl, glibc. In this order,
/// since musl's record of a thread ends before glibc's place.
pub(crate) const TID_OFFSETS: &[u64] = &[48, 720];
