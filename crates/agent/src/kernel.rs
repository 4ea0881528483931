//! System calls as safe functions, where they touch no memory of others.
//!
//! Unsafe: the calls; each passes numbers, or pointers to locals whose size the call fixes.
#![allow(unsafe_code)]

use crate::arch::{nr, syscall};

const CLOCK_MONOTONIC: usize = 1;
const AT_FDCWD: usize = -100_isize as usize;
const O_CLOEXEC: usize = 0o2_000_000;
const O_RDWR: usize = 2;
const EINTR: isize = -4;
const MAP_SHARED: usize = 1;
const PROT_READ_WRITE: usize = 3;
const MREMAP_MAYMOVE: usize = 1;
const MREMAP_FIXED: usize = 2;
const MADV_WIPEONFORK: usize = 18;

/// Whether `answer` is -errno.
pub(crate) const fn is_error(answer: isize) -> bool {
    answer < 0 && answer >= -4095
}

fn call(number: usize, args: [usize; 6]) -> isize {
    // SAFETY: every caller in this file passes numbers, or pointers to its own locals.
    unsafe { syscall(number, args) }
}

/// The monotonic clock in nanoseconds.
pub(crate) fn now_ns() -> u64 {
    let mut time = [0_u64; 2];
    call(nr::CLOCK_GETTIME, [CLOCK_MONOTONIC, time.as_mut_ptr() as usize, 0, 0, 0, 0]);
    time[0] * 1_000_000_000 + time[1]
}

/// Whether the calling thread may read the processor's counter, as the kernel says; where it has no word for that, it may.
pub(crate) fn may_read_counter() -> bool {
    const PR_GET_TSC: usize = 25;
    const PR_TSC_SIGSEGV: i32 = 2;
    let mut word = 0_i32;
    call(nr::PRCTL, [PR_GET_TSC, &raw mut word as usize, 0, 0, 0, 0]);
    word != PR_TSC_SIGSEGV
}

/// Sleeps; a signal may end it early.
pub(crate) fn nap(ns: u64) {
    let time = [0_u64, ns];
    call(nr::NANOSLEEP, [time.as_ptr() as usize, 0, 0, 0, 0, 0]);
}

/// Lets others run.
pub(crate) fn yield_now() {
    call(nr::SCHED_YIELD, [0; 6]);
}

/// This process, as it sees itself.
pub(crate) fn pid() -> u32 {
    call(nr::GETPID, [0; 6]) as u32
}

/// A random number that is not 0.
pub(crate) fn random() -> u64 {
    let mut word = 0_u64;
    call(nr::GETRANDOM, [&raw mut word as usize, 8, 1, 0, 0, 0]);
    (word ^ now_ns() ^ u64::from(pid()) << 40) | 1
}

/// Opens a file to read and write; `path` ends with a zero. The descriptor, or -errno.
pub(crate) fn open_shared(path: &[u8]) -> isize {
    call(nr::OPENAT, [AT_FDCWD, path.as_ptr() as usize, O_RDWR | O_CLOEXEC, 0, 0, 0])
}

/// Reads the file at `path` (which ends with a zero) from its start; the part of `buffer` that was filled.
pub(crate) fn read_file<'a>(path: &[u8], buffer: &'a mut [u8]) -> &'a mut [u8] {
    let fd = call(nr::OPENAT, [AT_FDCWD, path.as_ptr() as usize, O_CLOEXEC, 0, 0, 0]);
    let mut len = 0;
    while !is_error(fd) && len < buffer.len() {
        let rest = &mut buffer[len..];
        match call(nr::READ, [fd as usize, rest.as_mut_ptr() as usize, rest.len(), 0, 0, 0]) {
            EINTR => (),
            n if n <= 0 => break,
            n => len += n as usize,
        }
    }
    if !is_error(fd) {
        close(fd);
    }
    &mut buffer[..len]
}

/// Whether the file at `path` (which ends with a zero) can be read here, by whoever this process is now.
pub(crate) fn can_read(path: &[u8]) -> bool {
    let fd = call(nr::OPENAT, [AT_FDCWD, path.as_ptr() as usize, O_CLOEXEC, 0, 0, 0]);
    if !is_error(fd) {
        close(fd);
    }
    !is_error(fd)
}

/// Closes a descriptor.
pub(crate) fn close(fd: isize) {
    call(nr::CLOSE, [fd as usize, 0, 0, 0, 0, 0]);
}

/// Maps `n_bytes` of a file, shared.
pub(crate) fn map_shared(fd: isize, offset: usize, n_bytes: usize) -> Option<usize> {
    let answer = call(nr::MMAP, [0, n_bytes, PROT_READ_WRITE, MAP_SHARED, fd as usize, offset]);
    (!is_error(answer)).then_some(answer as usize)
}

/// Maps the file behind a shared mapping once more: `n_bytes` from the first byte of the page at `addr`.
///
/// `mremap` with an old size of 0 does that for shared mappings (mremap(2)), so no descriptor has to be kept, which a program
/// could close, and no path, which a program that changed its user could not open.
pub(crate) fn map_again(addr: usize, n_bytes: usize) -> Option<usize> {
    let answer = call(nr::MREMAP, [addr, 0, n_bytes, MREMAP_MAYMOVE, 0, 0]);
    (!is_error(answer)).then_some(answer as usize)
}

/// Moves a mapping over another one.
///
/// # Safety
///
/// Nobody refers to the moved mapping by its old address, and what lay at `to` may vanish.
pub(crate) unsafe fn move_over(from: usize, n_bytes: usize, to: usize) -> bool {
    let args = [from, n_bytes, n_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to, 0];
    // SAFETY: the caller's.
    !is_error(unsafe { syscall(nr::MREMAP, args) })
}

/// Gives a mapping back.
///
/// # Safety
///
/// Nobody refers to it.
pub(crate) unsafe fn unmap(addr: usize, n_bytes: usize) {
    // SAFETY: the caller's.
    unsafe { syscall(nr::MUNMAP, [addr, n_bytes, 0, 0, 0, 0]) };
}

/// Changes what may be done with pages; whether the kernel agreed.
///
/// # Safety
///
/// Nobody relies on the protection that is taken away.
pub(crate) unsafe fn protect(addr: usize, n_bytes: usize, protection: usize) -> bool {
    // SAFETY: the caller's.
    !is_error(unsafe { syscall(nr::MPROTECT, [addr, n_bytes, protection, 0, 0, 0]) })
}

/// Asks that private pages be zeros in a forked child.
pub(crate) fn wipe_on_fork(addr: usize, n_bytes: usize) -> bool {
    call(nr::MADVISE, [addr, n_bytes, MADV_WIPEONFORK, 0, 0, 0]) == 0
}

/// The bytes at `addr` in this process, which need not be mapped: the kernel copies them, by process_vm_readv(2). A filter of system
/// calls may end a process for that one, as services are seldom allowed it; where there is a filter, `/proc/self/mem` is read.
pub(crate) fn read_own<const N: usize>(addr: usize) -> Option<[u8; N]> {
    const PR_GET_SECCOMP: usize = 21;
    if call(nr::PRCTL, [PR_GET_SECCOMP, 0, 0, 0, 0, 0]) != 0 {
        return read_own_file(addr);
    }
    let mut bytes = [0; N];
    let (to, from) = ([bytes.as_mut_ptr() as usize, N], [addr, N]);
    let args = [pid() as usize, to.as_ptr() as usize, 1, from.as_ptr() as usize, 1, 0];
    (call(nr::PROCESS_VM_READV, args) == N as isize).then_some(bytes)
}

/// As [`read_own`], from the process's file of its memory; `None` also where there is no `/proc`.
fn read_own_file<const N: usize>(addr: usize) -> Option<[u8; N]> {
    let path = b"/proc/self/mem\0";
    let fd =
        usize::try_from(call(nr::OPENAT, [AT_FDCWD, path.as_ptr() as usize, O_CLOEXEC, 0, 0, 0])).ok()?;
    let mut bytes = [0; N];
    let n = call(nr::PREAD64, [fd, bytes.as_mut_ptr() as usize, N, addr, 0, 0]);
    call(nr::CLOSE, [fd, 0, 0, 0, 0, 0]);
    (n == N as isize).then_some(bytes)
}

/// Whether the page at `addr` is mapped.
pub(crate) fn is_mapped(addr: usize) -> bool {
    let mut residency = 0_u8;
    let page = addr & !(crate::pages::PAGE_BYTES - 1);
    !is_error(call(nr::MINCORE, [page, 1, &raw mut residency as usize, 0, 0, 0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_where_there_is_any() {
        let word = 0x1234_5678_9abc_def0_u64;
        let here = &raw const word as usize;
        for read in [read_own::<8>, read_own_file::<8>] {
            assert_eq!(read(here), Some(word.to_ne_bytes()));
            assert_eq!(read(8), None);
            assert_eq!(read(usize::MAX - 7), None);
        }
    }
}
