//! Memory that several processes write: a memory file, mapped, seen only through atomics.
//!
//! The file is sealed against shrinking, so that no access of ours can fail, whatever the other side does. Content is
//! never taken for more than numbers: whoever has the file may have written anything.
//!
//! Unsafe: `memfd_create`, `mmap`, `munmap`, `fcntl` with numbers and pointers to locals, and references to atomics inside the
//! mapping, whose bounds and alignment are checked first.
#![expect(unsafe_code, reason = "a shared mapping")]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// A memory file, mapped readable and writable from its beginning to its end. Unmapped when dropped.
#[derive(Debug)]
pub struct SharedMemory {
    file: OwnedFd,
    base: NonNull<u8>,
    len_bytes: usize,
}

// SAFETY: the mapping belongs to no thread, and every access goes through an atomic.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// Makes a memory file of `len_bytes` zero bytes (a sparse one: memory is used when a page is first written) that is
    /// inherited by no program that we execute. `name` shows in `/proc/PID/maps` as `/memfd:name`.
    ///
    /// # Errors
    /// Those of memfd_create(2), ftruncate(2) and mmap(2).
    pub fn create(name: &CStr, len_bytes: u64) -> io::Result<Self> {
        // SAFETY: `name` is NUL-terminated and outlives the call.
        let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        file.set_len(len_bytes)?;
        Self::open(OwnedFd::from(file))
    }

    /// Maps a memory file that somebody else made, and seals it against shrinking.
    ///
    /// # Errors
    /// Those of fcntl(2) (EPERM: it does not allow seals) and mmap(2); `InvalidData` where the file is empty.
    pub fn open(file: OwnedFd) -> io::Result<Self> {
        // SAFETY: takes numbers.
        let sealed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SHRINK) };
        if sealed < 0 {
            return Err(io::Error::last_os_error());
        }
        let file = File::from(file);
        let len_bytes = usize::try_from(file.metadata()?.len())
            .ok()
            .filter(|len| *len > 0)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        let base = unsafe { libc::mmap(ptr::null_mut(), len_bytes, access, kind, file.as_raw_fd(), 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Self { file: file.into(), base, len_bytes })
    }

    /// Length of the file, in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes as u64
    }

    /// The word at `offset`; `None` where it is not inside or not aligned.
    pub fn word(&self, offset: u64) -> Option<&AtomicU64> {
        let at: NonNull<AtomicU64> = self.at(offset)?;
        // SAFETY: inside the mapping and aligned, which `at` has checked; it lives as long as `self`, cannot shrink (sealed),
        // and is only ever accessed atomically.
        Some(unsafe { at.as_ref() })
    }

    /// The half word at `offset`; `None` where it is not inside or not aligned.
    pub fn half(&self, offset: u64) -> Option<&AtomicU32> {
        let at: NonNull<AtomicU32> = self.at(offset)?;
        // SAFETY: as in `word`.
        Some(unsafe { at.as_ref() })
    }

    /// The words from `offset` on; `None` where they are not all inside, or not aligned. For a ring: one check, then a slice.
    pub fn words(&self, offset: u64, n_words: usize) -> Option<&[AtomicU64]> {
        let start: NonNull<AtomicU64> = self.at(offset)?;
        let end = offset.checked_add(u64::try_from(n_words).ok()?.checked_mul(8)?)?;
        if end > self.len_bytes() {
            return None;
        }
        // SAFETY: as in `word`, for all of them.
        Some(unsafe { std::slice::from_raw_parts(start.as_ptr(), n_words) })
    }

    /// A structure of atomics at `offset`; `None` where it is not inside or not aligned.
    ///
    /// # Safety
    /// `T` consists of nothing but atomic integers: it has no padding, and any bytes are a valid `T`.
    pub unsafe fn view<T>(&self, offset: u64) -> Option<&T> {
        let at: NonNull<T> = self.at(offset)?;
        // SAFETY: as in `word`; that any bytes are a valid `T` is the caller's promise.
        Some(unsafe { at.as_ref() })
    }

    /// Gives the memory of a range of the file back to the machine; it reads as zero afterwards.
    ///
    /// # Errors
    /// Those of fallocate(2).
    pub fn free(&self, offset: u64, len_bytes: u64) -> io::Result<()> {
        let number =
            |bytes: u64| i64::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        let (offset, len_bytes) = (number(offset)?, number(len_bytes)?);
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: takes numbers; pages that are taken away read as zero, which atomics allow.
        let result = unsafe { libc::fallocate(self.file.as_raw_fd(), mode, offset, len_bytes) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn at<T>(&self, offset: u64) -> Option<NonNull<T>> {
        let offset = usize::try_from(offset).ok()?;
        let end = offset.checked_add(size_of::<T>())?;
        if end > self.len_bytes {
            return None;
        }
        // SAFETY: `offset` is inside the mapping.
        let at = unsafe { self.base.add(offset) }.cast::<T>();
        at.is_aligned().then_some(at)
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: this is our mapping, and no reference into it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len_bytes) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn two_mappings_of_a_file_see_the_same_words() {
        let first = SharedMemory::create(c"heapray-test", 1 << 20).expect("memory files are to be had");
        let second = SharedMemory::open(first.as_fd().try_clone_to_owned().expect("a descriptor"));
        let second = second.expect("it may be mapped twice");
        first.word(4096).expect("inside").store(7, Ordering::Relaxed);
        second.half(4100).expect("inside").store(1, Ordering::Relaxed);
        assert_eq!(first.words(4096, 2).expect("inside")[0].load(Ordering::Relaxed), 7 | 1 << 32);
        first.free(4096, 4096).expect("a hole");
        assert_eq!(second.word(4096).expect("inside").load(Ordering::Relaxed), 0);
    }

    #[test]
    fn nothing_outside_is_seen() {
        let memory = SharedMemory::create(c"heapray-test", 8192).expect("memory files are to be had");
        assert!(memory.word(8184).is_some() && memory.half(8188).is_some());
        assert!(memory.word(8185).is_none() && memory.word(8192).is_none() && memory.half(8190).is_none());
        assert!(memory.word(u64::MAX).is_none() && memory.words(8, usize::MAX).is_none());
        assert!(memory.words(0, 1024).is_some() && memory.words(8, 1024).is_none());
    }

    #[test]
    fn the_file_cannot_shrink() {
        let memory = SharedMemory::create(c"heapray-test", 8192).expect("memory files are to be had");
        let file = File::from(memory.as_fd().try_clone_to_owned().expect("a descriptor"));
        assert!(file.set_len(4096).is_err());
        assert!(SharedMemory::create(c"heapray-test", 0).is_err());
    }
}
