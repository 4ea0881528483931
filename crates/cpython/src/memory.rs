//! Read access to another process's memory, as the readers need it.
//!
//! The one required method hands out borrowed bytes so that hot readers copy nothing; implementations load
//! memory in large chunks behind it. It does not say where the bytes come from (live copy, core file, test).

use alloc::string::String;
use alloc::vec::Vec;

/// Memory of a stopped process, addressed as that process saw it. Little-endian, 64-bit.
pub trait Memory {
    /// The readable bytes from `addr` to the end of the implementation's chunk, at most one chunk;
    /// empty when `addr` is not readable. Consecutive chunks need not be adjacent in our memory.
    fn tail(&self, addr: u64) -> &[u8];

    /// Gives memory that was loaded back, down to the implementation's budget. The walker calls it between phases.
    fn trim(&mut self) {}

    /// The 8 bytes at `addr`.
    #[inline]
    fn u64(&self, addr: u64) -> Option<u64> {
        match self.tail(addr).first_chunk::<8>() {
            Some(bytes) => Some(u64::from_le_bytes(*bytes)),
            None => self.array::<8>(addr).map(u64::from_le_bytes),
        }
    }

    /// The 4 bytes at `addr`.
    #[inline]
    fn u32(&self, addr: u64) -> Option<u32> {
        match self.tail(addr).first_chunk::<4>() {
            Some(bytes) => Some(u32::from_le_bytes(*bytes)),
            None => self.array::<4>(addr).map(u32::from_le_bytes),
        }
    }

    /// The 2 bytes at `addr`.
    #[inline]
    fn u16(&self, addr: u64) -> Option<u16> {
        self.array::<2>(addr).map(u16::from_le_bytes)
    }

    /// The byte at `addr`.
    #[inline]
    fn u8(&self, addr: u64) -> Option<u8> {
        self.tail(addr).first().copied()
    }

    /// Fills `buf` from `addr` on, across chunks; `false` (and `buf` in part overwritten) where a byte is unreadable.
    fn copy(&self, mut addr: u64, mut buf: &mut [u8]) -> bool {
        while !buf.is_empty() {
            let tail = self.tail(addr);
            if tail.is_empty() {
                return false;
            }
            let n = tail.len().min(buf.len());
            buf[..n].copy_from_slice(&tail[..n]);
            buf = &mut buf[n..];
            addr = match addr.checked_add(n as u64) {
                Some(next) => next,
                None => return buf.is_empty(),
            };
        }
        true
    }

    /// `N` bytes at `addr`, also across chunks.
    #[inline]
    fn array<const N: usize>(&self, addr: u64) -> Option<[u8; N]> {
        let mut out = [0; N];
        self.copy(addr, &mut out).then_some(out)
    }

    /// `len` bytes at `addr` as a new vector; `None` where any is unreadable or `len` is over `limit`.
    fn bytes(&self, addr: u64, len: u64, limit: usize) -> Option<Vec<u8>> {
        let len = usize::try_from(len).ok().filter(|len| *len <= limit)?;
        let mut out = alloc::vec![0; len];
        self.copy(addr, &mut out).then_some(out)
    }

    /// The NUL-terminated string at `addr`, lossy, at most `limit` bytes; `None` where unreadable or unterminated.
    fn c_string(&self, addr: u64, limit: usize) -> Option<String> {
        let mut out = Vec::new();
        let mut at = addr;
        while out.len() < limit {
            let tail = self.tail(at);
            if tail.is_empty() {
                return None;
            }
            let tail = &tail[..tail.len().min(limit - out.len())];
            match tail.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    out.extend_from_slice(&tail[..end]);
                    return Some(String::from_utf8_lossy(&out).into_owned());
                }
                None => out.extend_from_slice(tail),
            }
            at += tail.len() as u64;
        }
        None
    }

    /// Calls `f` with each of the `n` words from `addr` on; stops at the first unreadable word and answers how many were given.
    #[inline]
    fn words(&self, addr: u64, n: u64, mut f: impl FnMut(u64)) -> u64
    where
        Self: Sized,
    {
        let mut done = 0;
        while done < n {
            let at = addr.wrapping_add(done * 8);
            let tail = self.tail(at);
            let take = ((tail.len() / 8) as u64).min(n - done);
            if take == 0 {
                match self.array::<8>(at) {
                    Some(bytes) => f(u64::from_le_bytes(bytes)),
                    None => return done,
                }
                done += 1;
                continue;
            }
            for word in tail[..take as usize * 8].chunks_exact(8) {
                f(u64::from_le_bytes(word.try_into().expect("chunks of eight")));
            }
            done += take;
        }
        done
    }
}

/// One mapping of the target, a line of `/proc/PID/maps` or a load segment of a core file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// Readable.
    pub read: bool,
    /// Writable.
    pub write: bool,
    /// Executable.
    pub exec: bool,
    /// Offset in the mapped file.
    pub offset: u64,
    /// Path in the target's own mount namespace, `[heap]`, `[stack]`, or empty.
    pub path: String,
}
