//! The functions that are hooked, as the process would reach them without us.
//!
//! Found once, by the loader's own order, before anything is patched; 0 where the process has none.
//!
//! Unsafe: calls of these functions.
#![allow(unsafe_code)]

use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

use crate::mem::{call1, call2, call3, call6};

/// One function. The entries in `arch` rely on the address being first.
#[repr(C)]
pub(crate) struct Real {
    addr: AtomicUsize,
    /// Its name in symbol tables.
    pub(crate) name: &'static [u8],
}

impl Real {
    const fn new(name: &'static [u8]) -> Real {
        Real { addr: AtomicUsize::new(0), name }
    }

    /// Its address, 0 where the process has none.
    #[inline]
    pub(crate) fn addr(&self) -> usize {
        self.addr.load(Relaxed)
    }

    /// Sets its address.
    pub(crate) fn set(&self, addr: usize) {
        self.addr.store(addr, Relaxed);
    }
}

macro_rules! functions {
    ($($id:ident $name:literal)*) => {
        $(pub(crate) static $id: Real = Real::new($name);)*
        /// All of them.
        pub(crate) static ALL: &[&Real] = &[$(&$id),*];
    };
}

functions! {
    MALLOC b"malloc"
    CALLOC b"calloc"
    REALLOC b"realloc"
    REALLOCARRAY b"reallocarray"
    FREE b"free"
    POSIX_MEMALIGN b"posix_memalign"
    ALIGNED_ALLOC b"aligned_alloc"
    MEMALIGN b"memalign"
    VALLOC b"valloc"
    PVALLOC b"pvalloc"
    MALLOC_USABLE_SIZE b"malloc_usable_size"
    MMAP b"mmap"
    MMAP64 b"mmap64"
    MUNMAP b"munmap"
    MREMAP b"mremap"
    DLOPEN b"dlopen"
    DLSYM b"dlsym"
    DLVSYM b"dlvsym"
    DLCLOSE b"dlclose"
    DL_ITERATE_PHDR b"dl_iterate_phdr"
    PTHREAD_CREATE b"pthread_create"
    FORK b"fork"
    EXECVE b"execve"
    EXECV b"execv"
    EXECVP b"execvp"
    EXECVPE b"execvpe"
    FEXECVE b"fexecve"
    POSIX_SPAWN b"posix_spawn"
    POSIX_SPAWNP b"posix_spawnp"
    SYSTEM b"system"
    POPEN b"popen"
    ENVIRON b"environ"
    GNU_LIBC b"gnu_get_libc_version"
}

/// `malloc(size)`.
#[inline]
pub(crate) fn malloc(size: usize) -> usize {
    // SAFETY: found by name; hooks run only where it was found.
    unsafe { call1(MALLOC.addr(), size) }
}

/// `calloc(n, size)`.
#[inline]
pub(crate) fn calloc(n: usize, size: usize) -> usize {
    // SAFETY: as in `malloc`.
    unsafe { call2(CALLOC.addr(), n, size) }
}

/// `realloc(ptr, size)`.
///
/// # Safety
///
/// `ptr` is 0 or a block of the process's allocator, owned by the caller.
#[inline]
pub(crate) unsafe fn realloc(ptr: usize, size: usize) -> usize {
    // SAFETY: as in `malloc`; the block is the caller's.
    unsafe { call2(REALLOC.addr(), ptr, size) }
}

/// `free(ptr)`.
///
/// # Safety
///
/// As [`realloc`].
#[inline]
pub(crate) unsafe fn free(ptr: usize) {
    // SAFETY: as in `malloc`; the block is the caller's.
    unsafe { call1(FREE.addr(), ptr) };
}

/// A block at a multiple of `alignment`, a power of two of at least 8; 0 without memory.
pub(crate) fn aligned(alignment: usize, size: usize) -> usize {
    let mut block = 0_usize;
    // SAFETY: as in `malloc`; the result goes to a local.
    let failed = unsafe { call3(POSIX_MEMALIGN.addr(), &raw mut block as usize, alignment, size) };
    if failed as u32 == 0 { block } else { 0 }
}

/// Bytes that the block at `ptr` can hold; 0 where the process cannot say.
///
/// # Safety
///
/// `ptr` is a live block of the process's allocator.
pub(crate) unsafe fn usable_size(ptr: usize) -> usize {
    match MALLOC_USABLE_SIZE.addr() {
        0 => 0,
        // SAFETY: the caller's.
        addr => unsafe { call1(addr, ptr) },
    }
}

/// Calls `real` with up to six words.
///
/// # Safety
///
/// What the C function asks for.
#[inline]
pub(crate) unsafe fn call(real: &Real, args: [usize; 6]) -> usize {
    // SAFETY: hooks of a function are reached only where it was found; the rest is the caller's.
    unsafe { call6(real.addr(), args) }
}
