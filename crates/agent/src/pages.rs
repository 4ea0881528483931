//! The agent's own memory: whole pages from the kernel, never from the process's allocator.
//!
//! Unsafe: `mmap` and `munmap`.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

use crate::arch::{nr, syscall};

/// Bytes of a page; the agent runs on machines with pages of this size.
pub(crate) const PAGE_BYTES: usize = 4096;

const PROT_READ_WRITE: usize = 3;
const MAP_PRIVATE_ANONYMOUS: usize = 0x22;

/// What the agent has mapped, in bytes.
static MAPPED_BYTES: AtomicU64 = AtomicU64::new(0);

/// What the agent holds in this process, in bytes.
pub(crate) fn mapped_bytes() -> u64 {
    MAPPED_BYTES.load(Ordering::Relaxed)
}

/// Zeroed pages for at least `n_bytes`; `None` where the kernel has none.
pub(crate) fn map(n_bytes: usize) -> Option<*mut u8> {
    let n_bytes = n_bytes.checked_next_multiple_of(PAGE_BYTES)?;
    let args = [0, n_bytes, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, usize::MAX, 0];
    // SAFETY: a new private mapping, at an address of the kernel's choice, touches no memory that is in use.
    let answer = unsafe { syscall(nr::MMAP, args) };
    if (-4095..=0).contains(&answer) {
        return None;
    }
    MAPPED_BYTES.fetch_add(n_bytes as u64, Ordering::Relaxed);
    Some(answer as *mut u8)
}

/// Gives pages back.
///
/// # Safety
///
/// `start` came from [`map`] with the same `n_bytes`, and nothing refers into it any more.
pub(crate) unsafe fn unmap(start: *mut u8, n_bytes: usize) {
    let n_bytes = n_bytes.next_multiple_of(PAGE_BYTES);
    // SAFETY: the caller owns the range and gives it up.
    unsafe { syscall(nr::MUNMAP, [start as usize, n_bytes, 0, 0, 0, 0]) };
    MAPPED_BYTES.fetch_sub(n_bytes as u64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_zeroed_and_go_back() {
        let before = mapped_bytes();
        let start = map(5000).expect("the kernel has two pages");
        assert_eq!(start as usize % PAGE_BYTES, 0);
        assert_eq!(mapped_bytes() - before, 8192);
        // SAFETY: the last byte of two mapped pages.
        assert_eq!(unsafe { start.add(8191).read() }, 0);
        // SAFETY: mapped above, and no reference is left.
        unsafe { unmap(start, 5000) };
        assert_eq!(mapped_bytes(), before);
    }
}
