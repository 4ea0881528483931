//! Where a stack ends: the mapping that an address lies in, from `/proc/self/maps` or by asking for page after page.
//!
//! Unsafe: system calls that write to a local buffer.
#![allow(unsafe_code)]

use crate::arch::{nr, syscall};
use crate::stack::peek::is_readable;

/// What is looked at where `/proc` cannot be read: as much as a main thread's stack has unless told otherwise.
const UNKNOWN_STACK_BYTES: u64 = 8 << 20;

/// The stack that `sp` points into, as far as can be known: first address and one past the last.
#[cold]
pub(crate) fn stack_of(sp: u64) -> (u64, u64) {
    mapping_of(sp).unwrap_or_else(|| {
        let start = sp & !4095;
        let pages = (0..UNKNOWN_STACK_BYTES / 4096).map(|idx| start + idx * 4096);
        let last = pages.take_while(|page| is_readable(*page, 8)).last();
        (start, last.map_or(start, |page| page + 4096))
    })
}

/// First address and one past the last of the mapping that `addr` lies in.
fn mapping_of(addr: u64) -> Option<(u64, u64)> {
    const AT_FDCWD: usize = -100_isize as usize;
    const O_CLOEXEC: usize = 0o2_000_000;
    let path = b"/proc/self/maps\0";
    // SAFETY: the kernel reads a text that ends.
    let fd = unsafe { syscall(nr::OPENAT, [AT_FDCWD, path.as_ptr() as usize, O_CLOEXEC, 0, 0, 0]) };
    let fd = usize::try_from(fd).ok()?;
    let mut lines = Lines::new(addr);
    let mut buffer = [0_u8; 2048];
    let found = loop {
        // SAFETY: the kernel writes at most as many bytes as the buffer has.
        let n = unsafe { syscall(nr::READ, [fd, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0]) };
        let bytes = usize::try_from(n).ok().and_then(|n| buffer.get(..n)).unwrap_or_default();
        let found = bytes.iter().find_map(|byte| lines.take(*byte));
        if found.is_some() || bytes.is_empty() {
            break found;
        }
    };
    // SAFETY: a descriptor of ours.
    unsafe { syscall(nr::CLOSE, [fd, 0, 0, 0, 0, 0]) };
    found
}

/// Reads `start-end …` lines a byte at a time.
struct Lines {
    addr: u64,
    numbers: [u64; 2],
    /// Which number is being read; 2 for the rest of the line.
    idx: usize,
}

impl Lines {
    fn new(addr: u64) -> Lines {
        Lines { addr, numbers: [0; 2], idx: 0 }
    }

    /// Takes a byte; answers the line's range once it is there, where that holds the address.
    fn take(&mut self, byte: u8) -> Option<(u64, u64)> {
        let digit = char::from(byte).to_digit(16);
        match (byte, digit, self.numbers.get_mut(self.idx)) {
            (b'\n', ..) => (self.numbers, self.idx) = ([0; 2], 0),
            (_, Some(digit), Some(number)) => *number = *number << 4 | u64::from(digit),
            (b'-', _, Some(_)) => self.idx = 1,
            (_, None, Some(_)) => {
                self.idx = 2;
                let [start, end] = self.numbers;
                return (start..end).contains(&self.addr).then_some((start, end));
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mapping_of_an_address_is_found() {
        let text = b"1000-2000 r--p 00000000 08:02 17 /a-b c\n7ff0-8000 rw-p 0 0 0 [stack]\n";
        let find = |addr| {
            let mut lines = Lines::new(addr);
            text.iter().find_map(|byte| lines.take(*byte))
        };
        assert_eq!(find(0x1fff), Some((0x1000, 0x2000)));
        assert_eq!(find(0x7ff8), Some((0x7ff0, 0x8000)));
        assert_eq!(find(0x2000), None);
        let here = 0_u64;
        let addr = &raw const here as u64;
        let (start, end) = mapping_of(addr).expect("a stack");
        assert!((start..end).contains(&addr));
        assert_eq!(mapping_of(8), None);
    }
}
