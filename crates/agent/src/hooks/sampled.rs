//! Sampled mode, the system's allocator: what happens when a countdown has run out.
//!
//! A sampled block starts at a page, or it is a large one of glibc, which says its size in the word before it: so a free looks at
//! the low bits of the address and at that word, and at nothing else. Large blocks are never moved to a page: glibc would then
//! take each from the kernel and give it back. The block is the allocator's own: it stays good when the hooks are gone.
//!
//! Unsafe: reallocates, copies and frees the caller's blocks on its behalf.
#![allow(unsafe_code)]

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

use heapray_wire::ring::cells::Allocator;

use crate::hooks::exact::lose_free;
use crate::mem::{copy, load, store, zero};
use crate::pages::PAGE_BYTES;
use crate::ring::{add, header};
use crate::sampler::{forget, may_be_sampled, note, shard};
use crate::{hooks, lock, real};

/// Blocks from this size on are large. The entries in `arch` know the number.
const LARGE_BYTES: usize = 128 << 10;
/// What glibc keeps in the low bits of the size before a block (malloc.c, `SIZE_BITS`).
const SIZE_BITS: usize = 7;

/// Whether the allocator is glibc's. Its blocks may be recognised by the word before them.
pub(crate) static IS_GLIBC: AtomicBool = AtomicBool::new(false);

/// Whether a block is one that samples may have: at a page, or large.
fn is_marked(ptr: usize) -> bool {
    ptr.is_multiple_of(PAGE_BYTES) || is_large(ptr)
}

/// Whether glibc says that a block that is not at a page is large.
fn is_large(ptr: usize) -> bool {
    // SAFETY: the word before a block of glibc is its size; it lies in the same page here.
    IS_GLIBC.load(Relaxed) && unsafe { load::<usize>(ptr - 8) } & !SIZE_BITS >= LARGE_BYTES
}

/// Whether the block is perhaps a sample.
pub(crate) fn is_candidate(ptr: usize) -> bool {
    ptr != 0 && is_marked(ptr) && may_be_sampled(ptr)
}

/// Records a block that has the mark of a sample.
pub(crate) fn record(allocator: Allocator, ptr: usize, size: usize) {
    match lock::enter() {
        Some(mut agent) => {
            note(ptr);
            agent.sample(allocator, ptr, size);
        }
        None if lock::is_armed() => add(&header().lost_events, 1),
        None => {}
    }
}

/// Records that a candidate goes back. Before it does: afterwards another thread may get the address.
pub(crate) fn record_free(allocator: Allocator, ptr: usize) {
    match lock::enter() {
        Some(mut agent) => {
            agent.sampled_free(ptr, allocator);
            forget(ptr);
        }
        None => lose_free(),
    }
}

/// A block with the mark of a sample, or a plain one where there is none: (block, whether it is marked).
pub(crate) fn marked_block(size: usize) -> (usize, bool) {
    if size >= LARGE_BYTES && IS_GLIBC.load(Relaxed) {
        let block = real::malloc(size);
        return (block, block != 0);
    }
    match real::aligned(PAGE_BYTES, size) {
        0 => (real::malloc(size), false),
        block => (block, true),
    }
}

fn sample(allocator: Allocator, size: usize) -> usize {
    let (block, is_marked) = marked_block(size);
    if is_marked {
        record(allocator, block, size);
    }
    block
}

fn give(allocator: Allocator, size: usize) -> usize {
    if shard().is_due() && size != 0 { sample(allocator, size) } else { real::malloc(size) }
}

fn give_zeroed(allocator: Allocator, n: usize, size: usize) -> usize {
    let Some(n_bytes) = n.checked_mul(size).filter(|_| shard().is_due()) else {
        return real::calloc(n, size);
    };
    if n_bytes >= LARGE_BYTES && IS_GLIBC.load(Relaxed) {
        let block = real::calloc(n, size);
        if block != 0 {
            record(allocator, block, n_bytes);
        }
        return block;
    }
    let (block, is_marked) = marked_block(n_bytes);
    if block == 0 {
        return 0;
    }
    // SAFETY: a block of this size that nobody has yet.
    unsafe { zero(block, n_bytes) };
    if is_marked {
        record(allocator, block, n_bytes);
    }
    block
}

/// Reallocates; the old block's sample ends, the new block may be one.
fn change(allocator: Allocator, ptr: usize, size: usize, is_due: bool) -> usize {
    let was_candidate = is_candidate(ptr);
    if was_candidate {
        record_free(allocator, ptr);
    }
    // SAFETY: the caller's block.
    let block = unsafe { real::realloc(ptr, size) };
    if block == 0 {
        if was_candidate && size != 0 {
            // It is still there. What it was is forgotten: it counts as new.
            // SAFETY: a failed realloc leaves the block alone.
            record(allocator, ptr, unsafe { real::usable_size(ptr) });
        }
        return 0;
    }
    if !is_due || size == 0 {
        return block;
    }
    if is_marked(block) {
        record(allocator, block, size);
        return block;
    }
    let (marked, is_marked) = marked_block(size);
    if marked == 0 {
        return block;
    }
    // SAFETY: both blocks are ours alone and have `size` bytes.
    unsafe { copy(block, marked, size) };
    // SAFETY: copied, given to nobody.
    unsafe { real::free(block) };
    if is_marked {
        record(allocator, marked, size);
    }
    marked
}

/// `malloc` with its countdown run out.
pub(crate) extern "C" fn slow_malloc(size: usize) -> usize {
    give(Allocator::Malloc, size)
}

/// `calloc` with its countdown run out.
pub(crate) extern "C" fn slow_calloc(n: usize, size: usize) -> usize {
    give_zeroed(Allocator::Calloc, n, size)
}

/// `realloc` with its countdown run out.
pub(crate) extern "C" fn slow_realloc(ptr: usize, size: usize) -> usize {
    let is_due = shard().is_due();
    change(Allocator::Realloc, ptr, size, is_due)
}

/// `realloc` of what may be a sample.
pub(crate) extern "C" fn marked_realloc(ptr: usize, size: usize) -> usize {
    change(Allocator::Realloc, ptr, size, false)
}

/// `free` of what may be a sample.
pub(crate) extern "C" fn marked_free(ptr: usize) {
    if is_candidate(ptr) {
        record_free(Allocator::Malloc, ptr);
    }
    // SAFETY: the caller's block.
    unsafe { real::free(ptr) };
}

/// `PyMem_RawMalloc` with its countdown run out; size 0 is 1 already.
pub(crate) extern "C" fn slow_raw_malloc(size: usize) -> usize {
    if hooks::python::is_served() {
        return marked_block(size).0;
    }
    give(Allocator::PythonRaw, size)
}

/// `PyMem_RawCalloc` with its countdown run out.
pub(crate) extern "C" fn slow_raw_calloc(n: usize, size: usize) -> usize {
    give_zeroed(Allocator::PythonRaw, n, size)
}

/// `PyMem_RawCalloc` of a product that is 0, or looks like it: nothing is one byte (Objects/obmalloc.c, `_PyMem_RawCalloc`).
pub(crate) extern "C" fn zero_raw_calloc(n: usize, size: usize) -> usize {
    if n == 0 || size == 0 { real::calloc(1, 1) } else { real::calloc(n, size) }
}

/// `PyMem_RawRealloc` with its countdown run out.
pub(crate) extern "C" fn slow_raw_realloc(ptr: usize, size: usize) -> usize {
    let is_due = shard().is_due();
    change(Allocator::PythonRaw, ptr, size, is_due)
}

/// `PyMem_RawRealloc` of what may be a sample.
pub(crate) extern "C" fn marked_raw_realloc(ptr: usize, size: usize) -> usize {
    change(Allocator::PythonRaw, ptr, size, false)
}

/// `PyMem_RawFree` of what may be a sample.
pub(crate) extern "C" fn marked_raw_free(ptr: usize) {
    if is_candidate(ptr) {
        record_free(Allocator::PythonRaw, ptr);
    }
    // SAFETY: the caller's block.
    unsafe { real::free(ptr) };
}

/// Replaces `reallocarray`.
pub(crate) extern "C" fn reallocarray(ptr: usize, n: usize, size: usize) -> usize {
    match n.checked_mul(size) {
        Some(n_bytes) if shard().passes(n_bytes) => change(Allocator::Realloc, ptr, n_bytes, true),
        Some(n_bytes) => change(Allocator::Realloc, ptr, n_bytes, false),
        // SAFETY: fails, with errno as it should be.
        None => unsafe { real::call(&real::REALLOCARRAY, [ptr, n, size, 0, 0, 0]) },
    }
}

/// An aligned block, sampled where due; 0 where the plain function is to be asked.
fn aligned(alignment: usize, size: usize) -> usize {
    if !shard().passes(size) || !alignment.is_power_of_two() {
        return 0;
    }
    let block = real::aligned(alignment.max(PAGE_BYTES), size);
    if block != 0 {
        record(Allocator::Memalign, block, size);
    }
    block
}

/// Replaces `posix_memalign`.
pub(crate) extern "C" fn posix_memalign(out: usize, alignment: usize, size: usize) -> usize {
    let is_valid = alignment.is_power_of_two() && alignment >= 8;
    match if is_valid { aligned(alignment, size) } else { 0 } {
        // SAFETY: the caller's arguments.
        0 => unsafe { real::call(&real::POSIX_MEMALIGN, [out, alignment, size, 0, 0, 0]) },
        block => {
            // SAFETY: the caller wants the block there.
            unsafe { store(out, block) };
            0
        }
    }
}

/// Replaces `aligned_alloc`.
pub(crate) extern "C" fn aligned_alloc(alignment: usize, size: usize) -> usize {
    match aligned(alignment, size) {
        // SAFETY: the caller's arguments.
        0 => unsafe { real::call(&real::ALIGNED_ALLOC, [alignment, size, 0, 0, 0, 0]) },
        block => block,
    }
}

/// Replaces `memalign`.
pub(crate) extern "C" fn memalign(alignment: usize, size: usize) -> usize {
    match aligned(alignment, size) {
        // SAFETY: the caller's arguments.
        0 => unsafe { real::call(&real::MEMALIGN, [alignment, size, 0, 0, 0, 0]) },
        block => block,
    }
}

/// Replaces `valloc`.
pub(crate) extern "C" fn valloc(size: usize) -> usize {
    match aligned(PAGE_BYTES, size) {
        // SAFETY: the caller's argument.
        0 => unsafe { real::call(&real::VALLOC, [size, 0, 0, 0, 0, 0]) },
        block => block,
    }
}

/// Replaces `pvalloc`.
pub(crate) extern "C" fn pvalloc(size: usize) -> usize {
    match aligned(PAGE_BYTES, size.saturating_add(PAGE_BYTES - 1) & !(PAGE_BYTES - 1)) {
        // SAFETY: the caller's argument.
        0 => unsafe { real::call(&real::PVALLOC, [size, 0, 0, 0, 0, 0]) },
        block => block,
    }
}
