//! Memory of another process, read in bulk; and written, for those who may.
//!
//! `process_vm_readv` where the kernel lets us, else `/proc/PID/mem`; the other way round for pages that a process shares
//! with its fork, because `process_vm_readv` pins pages and a pinned page is no longer shared (since Linux 5.19): reading
//! a fork's memory by it copies all of that memory, at the cost of time (0.5 s a GB) and room (in the fork's control group).
//! A single read costs about 10 µs however small, so callers ask for large pieces; pages in the middle that cannot be read
//! (guard pages, truncated files) cost one more call each and are answered as gaps.
//!
//! Unsafe: `process_vm_readv` writes into a buffer of ours whose length it is given.
#![expect(unsafe_code, reason = "process_vm_readv writes through a pointer")]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// A process whose memory we read. It does not keep the process alive.
#[derive(Debug)]
pub struct RemoteMemory {
    pid: i32,
    page_bytes: u64,
    /// Read instead of calling `process_vm_readv`; opened when that is refused, or from the start.
    file: OnceLock<Option<File>>,
}

impl RemoteMemory {
    /// The memory of process (or thread) `pid`.
    pub fn new(pid: i32) -> Self {
        Self { pid, page_bytes: crate::page_bytes(), file: OnceLock::new() }
    }

    /// The same memory, read so that pages which the process shares with its fork stay shared. For private anonymous
    /// memory only: of device memory it could read what `process_vm_readv` refuses to touch.
    pub fn leaving_pages_shared(pid: i32) -> Self {
        let remote = Self::new(pid);
        if let Ok(file) = File::open(format!("/proc/{pid}/mem")) {
            remote.file.get_or_init(|| Some(file));
        }
        remote
    }

    /// Reads as many bytes from `addr` on as are readable in one go, up to `buf`'s length.
    ///
    /// # Errors
    /// EFAULT: nothing is readable at `addr`. ESRCH: the process is gone. EPERM: not permitted.
    pub fn read(&self, addr: u64, buf: &mut [u8]) -> io::Result<usize> {
        if self.file.get().is_none() {
            match self.read_vm(addr, buf) {
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {}
                result => return result,
            }
        }
        let file = self.file.get_or_init(|| File::open(format!("/proc/{}/mem", self.pid)).ok());
        match file {
            Some(file) => match file.read_at(buf, addr) {
                Ok(0) => Err(io::Error::from_raw_os_error(libc::ESRCH)),
                Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                    Err(io::Error::from_raw_os_error(libc::EFAULT))
                }
                result => result,
            },
            None => Err(io::Error::from_raw_os_error(libc::EPERM)),
        }
    }

    fn read_vm(&self, addr: u64, buf: &mut [u8]) -> io::Result<usize> {
        let local = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
        let remote = libc::iovec { iov_base: addr as *mut libc::c_void, iov_len: buf.len() };
        // SAFETY: `local` describes `buf`, which is borrowed mutably for the call; `remote` is an address in the
        // other process that the kernel checks.
        let n = unsafe { libc::process_vm_readv(self.pid, &raw const local, 1, &raw const remote, 1, 0) };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    /// Writes all of `bytes` from `addr` on, also where the process itself may only read (as a debugger does). Needs the right
    /// to trace it.
    ///
    /// # Errors
    /// Those of opening and writing `/proc/PID/mem`: EIO where nothing is mapped, EACCES without that right.
    pub fn write(&self, addr: u64, bytes: &[u8]) -> io::Result<()> {
        File::options().write(true).open(format!("/proc/{}/mem", self.pid))?.write_all_at(bytes, addr)
    }

    /// Reads all of `buf` from `addr` on; calls `gap` with offset and length of each unreadable piece, left as it was.
    ///
    /// # Errors
    /// Anything but an unreadable page: the process is gone, or reading it is not permitted.
    pub fn read_around(
        &self,
        addr: u64,
        buf: &mut [u8],
        mut gap: impl FnMut(usize, usize),
    ) -> io::Result<()> {
        let mut at = 0;
        while at < buf.len() {
            match self.read(addr + at as u64, &mut buf[at..]) {
                Ok(n) if n > 0 => at += n,
                Err(error) if error.raw_os_error() != Some(libc::EFAULT) => return Err(error),
                _ => {
                    let here = addr + at as u64;
                    let to_next_page = self.page_bytes - here % self.page_bytes;
                    let len = usize::try_from(to_next_page).unwrap_or(usize::MAX).min(buf.len() - at);
                    gap(at, len);
                    at += len;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_memory_reads_back() {
        let text = *b"twelve bytes";
        let memory = RemoteMemory::new(std::process::id().cast_signed());
        let mut buf = [0; 12];
        assert_eq!(memory.read(text.as_ptr() as u64, &mut buf).expect("own memory"), 12);
        assert_eq!(buf, text);
    }

    #[test]
    fn our_own_memory_is_written() {
        let word = std::sync::atomic::AtomicU64::new(1);
        let memory = RemoteMemory::new(std::process::id().cast_signed());
        memory.write(word.as_ptr() as u64, &7u64.to_le_bytes()).expect("own memory");
        assert_eq!(word.load(std::sync::atomic::Ordering::Relaxed), 7);
        assert!(memory.write(16, &[1]).is_err());
    }

    #[test]
    fn the_null_page_is_a_gap_either_way() {
        let pid = std::process::id().cast_signed();
        for memory in [RemoteMemory::new(pid), RemoteMemory::leaving_pages_shared(pid)] {
            let page = usize::try_from(crate::page_bytes()).expect("a page is small");
            let mut buf = vec![7; 2 * page];
            let mut gaps = Vec::new();
            memory.read_around(0, &mut buf, |at, len| gaps.push((at, len))).expect("gaps are no errors");
            assert_eq!(gaps, [(0, page), (page, page)]);
        }
    }

    #[test]
    fn a_process_that_is_gone_is_an_error_either_way() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat starts");
        let pid = child.id().cast_signed();
        let memories = [RemoteMemory::new(pid), RemoteMemory::leaving_pages_shared(pid)];
        child.kill().expect("it is ours");
        child.wait().expect("cat ends");
        for memory in memories {
            let error = memory.read_around(4096, &mut [0; 8], |_, _| {}).expect_err("gone");
            assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
        }
    }
}
