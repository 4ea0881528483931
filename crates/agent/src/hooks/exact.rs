//! Exact mode, the system's allocator and Python's raw domain: every event.
//!
//! A block is recorded after it was got and before it goes back, so whoever gets the address next is recorded later.
//! A reallocation may do both at once; it is done under the agent's lock, or told in two steps where it may take long.
//!
//! Unsafe: passes the caller's arguments on.
#![allow(unsafe_code)]

use heapray_wire::ring::cells::Allocator;

use crate::mem::load;
use crate::ring::{add, header};
use crate::stack::python::Holds;
use crate::window::expect;
use crate::{lock, real};

/// Largest block that is reallocated under the lock, in bytes: longer ones take time to copy.
const MAX_HELD_BYTES: usize = 1 << 20;

/// Records a block that was given.
#[inline]
fn given(allocator: Allocator, ptr: usize, size: usize) {
    if ptr == 0 {
        return;
    }
    expect(ptr);
    if let Some(mut agent) = lock::enter() {
        agent.alloc(Holds::Unknown, allocator, ptr, size);
    }
}

/// Records a block that goes back.
#[inline]
fn taken(allocator: Allocator, ptr: usize) {
    if ptr == 0 {
        return;
    }
    expect(ptr);
    match lock::enter() {
        Some(mut agent) => agent.free(ptr, allocator),
        None => lose_free(),
    }
}

/// Counts a free that nobody will hear of. One that came from inside the agent's own calls is none.
#[cold]
pub(crate) fn lose_free() {
    if lock::is_armed() && !lock::is_nested() {
        add(&header().lost_events, 1);
        add(&header().lost_frees, 1);
    }
}

fn change(allocator: Allocator, ptr: usize, size: usize) -> usize {
    if size > MAX_HELD_BYTES {
        return change_in_steps(allocator, ptr, size);
    }
    let Some(mut agent) = lock::enter() else {
        // SAFETY: the caller's block.
        return unsafe { real::realloc(ptr, size) };
    };
    // SAFETY: the caller's block.
    let block = agent.nest(|| unsafe { real::realloc(ptr, size) });
    if ptr != 0 && (block != 0 || size == 0) {
        agent.free(ptr, allocator);
    }
    if block != 0 {
        agent.alloc(Holds::Unknown, allocator, block, size);
    }
    block
}

fn change_in_steps(allocator: Allocator, ptr: usize, size: usize) -> usize {
    taken(allocator, ptr);
    // SAFETY: the caller's block.
    let block = unsafe { real::realloc(ptr, size) };
    given(allocator, block, size);
    if block == 0 && ptr != 0 {
        // It is still there. Where it came from is forgotten.
        // SAFETY: a failed realloc leaves the block alone.
        given(allocator, ptr, unsafe { real::usable_size(ptr) });
    }
    block
}

/// Replaces `malloc`.
pub(crate) extern "C" fn malloc(size: usize) -> usize {
    let block = real::malloc(size);
    given(Allocator::Malloc, block, size);
    block
}

/// Replaces `calloc`.
pub(crate) extern "C" fn calloc(n: usize, size: usize) -> usize {
    let block = real::calloc(n, size);
    given(Allocator::Calloc, block, n.wrapping_mul(size));
    block
}

/// Replaces `realloc`.
pub(crate) extern "C" fn realloc(ptr: usize, size: usize) -> usize {
    change(Allocator::Realloc, ptr, size)
}

/// Replaces `reallocarray`.
pub(crate) extern "C" fn reallocarray(ptr: usize, n: usize, size: usize) -> usize {
    match n.checked_mul(size) {
        Some(n_bytes) => change(Allocator::Realloc, ptr, n_bytes),
        // SAFETY: fails, with errno as it should be.
        None => unsafe { real::call(&real::REALLOCARRAY, [ptr, n, size, 0, 0, 0]) },
    }
}

/// Replaces `free`.
pub(crate) extern "C" fn free(ptr: usize) {
    taken(Allocator::Malloc, ptr);
    // SAFETY: the caller's block.
    unsafe { real::free(ptr) };
}

/// Replaces `posix_memalign`.
pub(crate) extern "C" fn posix_memalign(out: usize, alignment: usize, size: usize) -> usize {
    // SAFETY: the caller's arguments.
    let failed = unsafe { real::call(&real::POSIX_MEMALIGN, [out, alignment, size, 0, 0, 0]) };
    if failed as u32 == 0 {
        // SAFETY: the function has put the block there.
        given(Allocator::Memalign, unsafe { load(out) }, size);
    }
    failed
}

/// Replaces `aligned_alloc`.
pub(crate) extern "C" fn aligned_alloc(alignment: usize, size: usize) -> usize {
    // SAFETY: the caller's arguments.
    let block = unsafe { real::call(&real::ALIGNED_ALLOC, [alignment, size, 0, 0, 0, 0]) };
    given(Allocator::Memalign, block, size);
    block
}

/// Replaces `memalign`.
pub(crate) extern "C" fn memalign(alignment: usize, size: usize) -> usize {
    // SAFETY: the caller's arguments.
    let block = unsafe { real::call(&real::MEMALIGN, [alignment, size, 0, 0, 0, 0]) };
    given(Allocator::Memalign, block, size);
    block
}

/// Replaces `valloc`.
pub(crate) extern "C" fn valloc(size: usize) -> usize {
    // SAFETY: the caller's argument.
    let block = unsafe { real::call(&real::VALLOC, [size, 0, 0, 0, 0, 0]) };
    given(Allocator::Memalign, block, size);
    block
}

/// Replaces `pvalloc`.
pub(crate) extern "C" fn pvalloc(size: usize) -> usize {
    // SAFETY: the caller's argument.
    let block = unsafe { real::call(&real::PVALLOC, [size, 0, 0, 0, 0, 0]) };
    given(Allocator::Memalign, block, size);
    block
}

/// Replaces `PyMem_RawMalloc`, which is `malloc` but for size 0 (Objects/obmalloc.c, `_PyMem_RawMalloc`).
pub(crate) extern "C" fn raw_malloc(_ctx: usize, size: usize) -> usize {
    let block = real::malloc(size.max(1));
    given(Allocator::PythonRaw, block, size);
    block
}

/// Replaces `PyMem_RawCalloc`.
pub(crate) extern "C" fn raw_calloc(_ctx: usize, n: usize, size: usize) -> usize {
    let (n, size) = if n == 0 || size == 0 { (1, 1) } else { (n, size) };
    let block = real::calloc(n, size);
    given(Allocator::PythonRaw, block, n.wrapping_mul(size));
    block
}

/// Replaces `PyMem_RawRealloc`.
pub(crate) extern "C" fn raw_realloc(_ctx: usize, ptr: usize, size: usize) -> usize {
    change(Allocator::PythonRaw, ptr, size.max(1))
}

/// Replaces `PyMem_RawFree`.
pub(crate) extern "C" fn raw_free(_ctx: usize, ptr: usize) {
    taken(Allocator::PythonRaw, ptr);
    // SAFETY: the caller's block.
    unsafe { real::free(ptr) };
}
