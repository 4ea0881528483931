//! The hooks: which function is replaced by what, in each mode.
//!
//! An entry passes on to the real function, with the same arguments and errno as if it were not there. What is recorded, and when,
//! stands in the files below; entries that must not cost anything are assembly, in `arch`.

pub(crate) mod exact;
pub(crate) mod mappings;
mod native_threads;
pub(crate) mod python;
pub(crate) mod sampled;

use crate::arch;
use crate::process;
use crate::real::{self, Real};
use crate::shell;

/// A function, and what stands in its place.
pub(crate) struct Hook {
    /// The function.
    pub(crate) real: &'static Real,
    sampled: Entry,
    exact: Entry,
    /// What the interpreter gets instead.
    python: Option<Entry>,
}

/// Address of a function of ours.
#[derive(Clone, Copy)]
pub(crate) struct Entry(*const ());

// SAFETY: an address of code.
#[allow(unsafe_code)]
unsafe impl Sync for Entry {}

impl Entry {
    /// Its address as a number.
    pub(crate) fn addr(self) -> usize {
        self.0 as usize
    }
}

impl Hook {
    /// What a slot gets.
    pub(crate) fn entry(&self, is_exact: bool, is_python: bool) -> usize {
        match self.python {
            Some(entry) if is_python => entry.addr(),
            _ if is_exact => self.exact.addr(),
            _ => self.sampled.addr(),
        }
    }

    /// Whether a slot's value is ours.
    pub(crate) fn is_ours(&self, value: usize) -> bool {
        let of_python = self.python.is_some_and(|entry| value == entry.addr());
        value == self.sampled.addr() || value == self.exact.addr() || of_python
    }

    /// Whether it gives or takes mappings, which the allocator behind `malloc` makes for blocks that are seen.
    pub(crate) fn maps(&self) -> bool {
        let mappings = [&real::MMAP, &real::MMAP64, &real::MUNMAP, &real::MREMAP];
        mappings.iter().any(|real| core::ptr::eq(*real, self.real))
    }
}

macro_rules! hooks {
    (@entry) => { None };
    (@entry $entry:expr) => { Some(Entry($entry as *const ())) };
    ($($real:ident: $sampled:expr, $exact:expr $(, $python:expr)?;)*) => {
        /// All hooks.
        pub(crate) static HOOKS: &[Hook] = &[$(Hook {
            real: &real::$real,
            sampled: Entry($sampled as *const ()),
            exact: Entry($exact as *const ()),
            python: hooks!(@entry $($python)?),
        }),*];
    };
}

hooks! {
    MALLOC: arch::sampled_malloc, exact::malloc;
    CALLOC: arch::sampled_calloc, exact::calloc;
    REALLOC: arch::sampled_realloc, exact::realloc;
    REALLOCARRAY: sampled::reallocarray, exact::reallocarray;
    FREE: arch::sampled_free, exact::free;
    POSIX_MEMALIGN: sampled::posix_memalign, exact::posix_memalign;
    ALIGNED_ALLOC: sampled::aligned_alloc, exact::aligned_alloc;
    MEMALIGN: sampled::memalign, exact::memalign;
    VALLOC: sampled::valloc, exact::valloc;
    PVALLOC: sampled::pvalloc, exact::pvalloc;
    MMAP: mappings::mmap, mappings::mmap, mappings::python_mmap;
    MMAP64: mappings::mmap64, mappings::mmap64, mappings::python_mmap64;
    MUNMAP: mappings::munmap, mappings::munmap;
    MREMAP: mappings::mremap, mappings::mremap;
    DLOPEN: arch::dlopen, arch::dlopen;
    DLSYM: arch::dlsym, arch::dlsym;
    DLVSYM: arch::dlvsym, arch::dlvsym;
    DLCLOSE: arch::dlclose, arch::dlclose;
    PTHREAD_CREATE: native_threads::pthread_create, native_threads::pthread_create;
    FORK: process::fork, process::fork;
    EXECVE: process::execve, process::execve;
    EXECV: process::execv, process::execv;
    EXECVP: process::execvp, process::execvp;
    EXECVPE: process::execvpe, process::execvpe;
    FEXECVE: process::fexecve, process::fexecve;
    POSIX_SPAWN: process::posix_spawn, process::posix_spawn;
    POSIX_SPAWNP: process::posix_spawnp, process::posix_spawnp;
    SYSTEM: shell::system, shell::system;
    POPEN: shell::popen, shell::popen;
}
