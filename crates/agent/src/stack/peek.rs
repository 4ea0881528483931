//! Reading memory of the process that the agent runs in.
//!
//! What the interpreter keeps alive while this thread runs is read in place. Whatever is not certain to be mapped is
//! asked of the kernel first ([`is_readable`]), which takes a system call and never faults.
//!
//! Unsafe: loads from addresses that are numbers here, and two stores (see [`crate::stack::mark`]); one system call
//! that reads from such an address.
#![allow(unsafe_code)]

use crate::arch::{nr, syscall};

/// Leave to read what the calling thread keeps alive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peek(());

/// First address behind user space: 56 bits, as many as a cell's word has.
const ADDRESS_END: u64 = 1 << 56;

/// Whether a structure with words may begin at `addr`.
#[inline(always)]
pub(crate) const fn is_plausible(addr: u64) -> bool {
    addr & 7 == 0 && addr >= 4096 && addr < ADDRESS_END
}

impl Peek {
    /// # Safety
    ///
    /// While the value is used, the addresses that it is given lie in memory that stays mapped: structures that hold the
    /// interpreter's own invariants and that the calling thread keeps alive, or what [`is_readable`] was asked about.
    #[inline(always)]
    pub(crate) const unsafe fn new() -> Peek {
        Peek(())
    }

    /// Leave for tests, which read what they own.
    #[cfg(test)]
    pub(crate) fn of_test() -> Peek {
        Peek(())
    }

    /// The word at `addr`.
    #[inline(always)]
    pub(crate) fn word(self, addr: u64) -> u64 {
        // SAFETY: mapped, as whoever made this value answers for; any bits are a number.
        unsafe { (addr as *const u64).read_unaligned() }
    }

    /// The four bytes at `addr`.
    #[inline(always)]
    pub(crate) fn int(self, addr: u64) -> u32 {
        // SAFETY: as in `word`.
        unsafe { (addr as *const u32).read_unaligned() }
    }

    /// The byte at `addr`.
    #[inline(always)]
    pub(crate) fn byte(self, addr: u64) -> u8 {
        // SAFETY: as in `word`.
        unsafe { (addr as *const u8).read() }
    }

    /// Leaves four bytes at `addr`, in a frame of the calling thread.
    #[inline(always)]
    pub(crate) fn leave_int(self, addr: u64, value: u32) {
        // SAFETY: as in `word`; nobody else looks at it while the thread is here.
        unsafe { (addr as *mut u32).write_unaligned(value) }
    }

    /// Leaves a byte at `addr`, in a frame of the calling thread.
    #[inline(always)]
    pub(crate) fn leave_byte(self, addr: u64, value: u8) {
        // SAFETY: as in `leave_int`.
        unsafe { (addr as *mut u8).write(value) }
    }

    /// Copies bytes from `addr` on.
    pub(crate) fn copy(self, addr: u64, out: &mut [u8]) {
        // SAFETY: as in `word`; `out` is ours, so the two do not overlap.
        unsafe { core::ptr::copy_nonoverlapping(addr as *const u8, out.as_mut_ptr(), out.len()) };
    }

    /// Whether the bytes from `addr` on are `expected`.
    pub(crate) fn matches(self, addr: u64, expected: &[u8]) -> bool {
        (addr..).zip(expected).all(|(at, byte)| self.byte(at) == *byte)
    }
}

/// Whether `n_bytes` (at least 8) from `addr` on can be read, as the kernel sees it.
///
/// Cost: a system call a page. `rt_sigprocmask` copies the new set before it refuses an unknown `how`, so that nothing
/// changes whatever is there (Linux, `kernel/signal.c`).
pub(crate) fn is_readable(addr: u64, n_bytes: u64) -> bool {
    const UNKNOWN_HOW: usize = usize::MAX;
    const EFAULT: isize = -14;
    let Some(last) = addr.checked_add(n_bytes.max(8) - 8) else { return false };
    if !(4096..ADDRESS_END).contains(&addr) || last >= ADDRESS_END {
        return false;
    }
    let ask = |at: u64| {
        // SAFETY: the kernel reads eight bytes or answers that it cannot, and changes no mask.
        let answer = unsafe { syscall(nr::RT_SIGPROCMASK, [UNKNOWN_HOW, at as usize, 0, 8, 0, 0]) };
        answer != EFAULT
    };
    let mut at = addr;
    while at < last {
        if !ask(at) {
            return false;
        }
        at = (at | 4095) + 1;
    }
    ask(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_can_be_read() {
        let here = [7_u64; 1024];
        assert!(is_readable(here.as_ptr() as u64, 8192));
        assert!(!is_readable(0, 8));
        assert!(!is_readable(4096, 8));
        assert!(!is_readable(u64::MAX - 7, 8));
        let page = crate::pages::map(4096).expect("a page") as usize;
        assert!(is_readable(page as u64 + 4088, 8));
        // Kept until the process ends: another thread could map anew what is given back.
        let no_access = [page, 4096, 0, 0, 0, 0];
        // SAFETY: mapped above, and nothing refers into it.
        assert_eq!(unsafe { syscall(nr::MPROTECT, no_access) }, 0);
        assert!(!is_readable(page as u64, 8));
    }

    #[test]
    fn words_and_bytes_are_those_of_memory() {
        let here = *b"abcdefghijklmnop";
        let addr = here.as_ptr() as u64;
        let peek = Peek::of_test();
        assert_eq!(peek.word(addr), u64::from_le_bytes(*b"abcdefgh"));
        assert_eq!((peek.int(addr + 1), peek.byte(addr + 15)), (u32::from_le_bytes(*b"bcde"), b'p'));
        assert!(peek.matches(addr, b"abc") && !peek.matches(addr, b"abd"));
        let mut out = [0; 3];
        peek.copy(addr + 2, &mut out);
        assert_eq!(&out, b"cde");
    }
}
