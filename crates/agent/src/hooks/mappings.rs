//! Memory from the kernel: `mmap` and its like, in both modes.
//!
//! What counts is anonymous memory that can be used: a file's pages are not heap. Reserved address space (`PROT_NONE`,
//! `MAP_NORESERVE`: what allocators inside libraries, jemalloc and mimalloc, live in) is told as such: the collector looks how
//! much of it is in use.
//!
//! Unsafe: passes the caller's arguments on.
#![allow(unsafe_code)]

use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

use heapray_wire::ring::cells::Allocator;
use heapray_wire::ring::{LEVEL_OBJECTS, MODE_EXACT};

use crate::arch::{MAP_NORESERVE, thread_pointer};
use crate::real::{self, Real};
use crate::ring::control;
use crate::sampler::shard;
use crate::stack::python::Holds;
use crate::{kernel, lock};

const MAP_ANONYMOUS: usize = 0x20;
const MAP_FIXED: usize = 0x10;
const PROT_ANY: usize = 7;

/// The thread that is getting an arena for CPython's small objects, 0 none.
static ARENA_THREAD: AtomicUsize = AtomicUsize::new(0);

/// Runs `get`, whose mappings are arenas.
pub(crate) fn as_arena(get: impl FnOnce() -> usize) -> usize {
    let before = ARENA_THREAD.swap(thread_pointer(), Relaxed);
    let arena = get();
    ARENA_THREAD.store(before, Relaxed);
    arena
}

/// What a mapping is; `None` for a file's.
fn kind(protection: usize, flags: usize) -> Option<Allocator> {
    if flags & MAP_ANONYMOUS == 0 {
        return None;
    }
    if protection & PROT_ANY == 0 || flags & MAP_NORESERVE != 0 {
        return Some(Allocator::Reserved);
    }
    let is_arena = ARENA_THREAD.load(Relaxed) == thread_pointer();
    Some(if is_arena { Allocator::Arena } else { Allocator::Mmap })
}

fn map(real: &Real, args: [usize; 6]) -> usize {
    map_as(real, args, kind(args[2], args[3]))
}

/// The interpreter's own reservations hold objects (`PYTHONMALLOC=mimalloc`), which count where they are seen.
fn map_of_python(real: &Real, args: [usize; 6]) -> usize {
    let sees_objects =
        control().mode.load(Relaxed) != MODE_EXACT || control().level.load(Relaxed) == LEVEL_OBJECTS;
    let kind = kind(args[2], args[3]);
    map_as(real, args, kind.filter(|kind| *kind != Allocator::Reserved || !sees_objects))
}

fn map_as(real: &Real, args: [usize; 6], kind: Option<Allocator>) -> usize {
    // SAFETY: the caller's arguments.
    let start = unsafe { real::call(real, args) };
    if kernel::is_error(start as isize) {
        return start;
    }
    match kind {
        Some(kind) => record(kind, start, args[1]),
        None if args[3] & MAP_FIXED != 0 => unmapped(start, args[1]),
        None => {}
    }
    start
}

fn unmapped(start: usize, n_bytes: usize) {
    if let Some(mut agent) = lock::enter_even_nested() {
        agent.unmap(start, n_bytes);
    }
}

fn record(allocator: Allocator, start: usize, n_bytes: usize) {
    let is_exact = control().mode.load(Relaxed) == MODE_EXACT;
    let is_reserved = allocator == Allocator::Reserved;
    let is_due = is_exact || is_reserved || shard().passes(n_bytes);
    let Some(mut agent) = lock::enter_even_nested() else { return };
    agent.poll();
    agent.note_mapping(allocator, start, n_bytes);
    if is_reserved {
        agent.reserve(start, n_bytes);
    } else if is_exact {
        agent.alloc(Holds::Unknown, allocator, start, n_bytes);
    } else if is_due {
        agent.sample(allocator, start, n_bytes);
    }
}

macro_rules! entries {
    ($($(#[$doc:meta])* $name:ident: $map:ident, $real:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) extern "C" fn $name(
            addr: usize,
            n_bytes: usize,
            protection: usize,
            flags: usize,
            fd: usize,
            offset: usize,
        ) -> usize {
            $map(&real::$real, [addr, n_bytes, protection, flags, fd, offset])
        }
    )*};
}

entries! {
    /// Replaces `mmap`.
    mmap: map, MMAP;
    /// Replaces `mmap64`.
    mmap64: map, MMAP64;
    /// Replaces `mmap` in the interpreter.
    python_mmap: map_of_python, MMAP;
    /// Replaces `mmap64` in the interpreter.
    python_mmap64: map_of_python, MMAP64;
}

/// Replaces `munmap`.
pub(crate) extern "C" fn munmap(start: usize, n_bytes: usize) -> usize {
    unmapped(start, n_bytes);
    // SAFETY: the caller's arguments.
    unsafe { real::call(&real::MUNMAP, [start, n_bytes, 0, 0, 0, 0]) }
}

/// Replaces `mremap`. Only what was recorded counts where it lies afterwards, as what it was.
pub(crate) extern "C" fn mremap(
    start: usize,
    old_bytes: usize,
    n_bytes: usize,
    flags: usize,
    wanted: usize,
) -> usize {
    let agent = lock::enter_even_nested();
    // SAFETY: the caller's arguments. Under the lock, so that who gets the old range is recorded later.
    let now = unsafe { real::call(&real::MREMAP, [start, old_bytes, n_bytes, flags, wanted, 0]) };
    let Some(mut agent) = agent.filter(|_| !kernel::is_error(now as isize)) else { return now };
    let kind = agent.mapping(start);
    agent.unmap(start, old_bytes);
    drop(agent);
    if let Some(kind) = kind {
        record(kind, now, n_bytes);
    }
    now
}
