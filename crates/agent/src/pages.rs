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

/// Most mappings at a time.
const MAX_MAPPINGS: usize = 64;

/// All that the agent has mapped: pairs of address and bytes, zeros where there is none. Who takes the agent out of a process
/// finds it by this name (`attach`), so that nothing stays behind.
#[unsafe(no_mangle)]
pub static HEAPRAY_PAGES: [AtomicU64; 2 * MAX_MAPPINGS] = [const { AtomicU64::new(0) }; 2 * MAX_MAPPINGS];

/// Writes a mapping down; one that finds no room stays behind. A pair is taken by its bytes and holds once it has an address.
fn remember(start: u64, n_bytes: u64) {
    let take = |pair: &&[AtomicU64]| {
        pair[1].compare_exchange(0, n_bytes, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    };
    if let Some(pair) = HEAPRAY_PAGES.chunks_exact(2).find(take) {
        pair[0].store(start, Ordering::Relaxed);
    }
}

fn forget(start: u64) {
    let is_it = |pair: &&[AtomicU64]| pair[0].load(Ordering::Relaxed) == start;
    if let Some(pair) = HEAPRAY_PAGES.chunks_exact(2).find(is_it) {
        pair[0].store(0, Ordering::Relaxed);
        pair[1].store(0, Ordering::Relaxed);
    }
}

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
    remember(answer as u64, n_bytes as u64);
    Some(answer as *mut u8)
}

/// Gives pages back.
///
/// # Safety
///
/// `start` came from [`map`] with the same `n_bytes`, and nothing refers into it any more.
pub(crate) unsafe fn unmap(start: *mut u8, n_bytes: usize) {
    let n_bytes = n_bytes.next_multiple_of(PAGE_BYTES);
    forget(start as u64);
    // SAFETY: the caller owns the range and gives it up.
    unsafe { syscall(nr::MUNMAP, [start as usize, n_bytes, 0, 0, 0, 0]) };
    MAPPED_BYTES.fetch_sub(n_bytes as u64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_zeroed_and_go_back() {
        // Of a size that no other test maps, as they run beside this one.
        const N_BYTES: usize = 777 * PAGE_BYTES - 5;
        let start = map(N_BYTES).expect("the kernel has some pages");
        assert_eq!(start as usize % PAGE_BYTES, 0);
        assert!(mapped_bytes() >= 777 * PAGE_BYTES as u64);
        let is_written_down = || {
            HEAPRAY_PAGES.chunks_exact(2).any(|pair| {
                let [addr, n_bytes] = [0, 1].map(|at| pair[at].load(Ordering::Relaxed));
                addr == start as u64 && n_bytes == 777 * PAGE_BYTES as u64
            })
        };
        assert!(is_written_down());
        // SAFETY: the last byte of what is mapped.
        assert_eq!(unsafe { crate::mem::load::<u8>(start as usize + 777 * PAGE_BYTES - 1) }, 0);
        // SAFETY: mapped above, and no reference is left.
        unsafe { unmap(start, N_BYTES) };
        assert!(!is_written_down());
    }
}
