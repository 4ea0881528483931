//! Python's object and mem domains: what happens in each mode.
//!
//! Sampled mode on CPython's own small-object allocator hooks what gives blocks, never `free`: a sampled block is made large, so that
//! the interpreter asks its raw domain for it, where it gets a page-aligned block; its `free` finds no arena around
//! the address and asks the raw domain, whose hook sees the mark. Larger requests go that way by themselves, and
//! are sampled there. On another allocator (`PYTHONMALLOC=debug`, a tracer that came first) every function is hooked.
//!
//! Exact mode hooks every function. A large request holds the agent's lock, so that the block is not counted
//! again where the interpreter passes it on.
//!
//! Unsafe: calls the interpreter's own allocators with the caller's arguments.
#![allow(unsafe_code)]

use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

use heapray_wire::ring::cells::Allocator;

use crate::arch::thread_pointer;
use crate::hooks::exact::lose_free;
use crate::hooks::mappings::as_arena;
use crate::hooks::sampled::{record, record_free};
use crate::mem::{call2, call3, copy, zero};
use crate::pages::PAGE_BYTES;
use crate::sampler::{Countdown, MEM_LEFT, OBJECT_LEFT, may_be_sampled, shard};
use crate::stack::python::Holds;
use crate::window::expect;
use crate::{lock, sampler};

/// Largest request that the small-object allocator serves itself (Objects/obmalloc.c, `SMALL_REQUEST_THRESHOLD`).
const SMALL_BYTES: usize = 512;

/// A domain's functions as the interpreter had them (`PyMemAllocatorEx`). The entries in `arch` know the shape.
#[repr(C)]
pub(crate) struct Domain {
    pub(crate) ctx: AtomicUsize,
    pub(crate) malloc: AtomicUsize,
    pub(crate) calloc: AtomicUsize,
    pub(crate) realloc: AtomicUsize,
    pub(crate) free: AtomicUsize,
}

impl Domain {
    const fn new() -> Domain {
        Domain {
            ctx: AtomicUsize::new(0),
            malloc: AtomicUsize::new(0),
            calloc: AtomicUsize::new(0),
            realloc: AtomicUsize::new(0),
            free: AtomicUsize::new(0),
        }
    }

    fn malloc(&self, ctx: usize, size: usize) -> usize {
        // SAFETY: the interpreter's function, with its own context.
        unsafe { call2(self.malloc.load(Relaxed), ctx, size) }
    }

    fn calloc(&self, ctx: usize, n: usize, size: usize) -> usize {
        // SAFETY: as in `malloc`.
        unsafe { call3(self.calloc.load(Relaxed), ctx, n, size) }
    }

    fn realloc(&self, ctx: usize, ptr: usize, size: usize) -> usize {
        // SAFETY: as in `malloc`; the block is the caller's.
        unsafe { call3(self.realloc.load(Relaxed), ctx, ptr, size) }
    }

    fn free(&self, ctx: usize, ptr: usize) {
        // SAFETY: as in `malloc`; the block is the caller's.
        unsafe { call2(self.free.load(Relaxed), ctx, ptr) };
    }
}

/// The raw domain's own functions.
pub(crate) static RAW: Domain = Domain::new();
/// The mem domain's own functions.
pub(crate) static MEM: Domain = Domain::new();
/// The object domain's own functions.
pub(crate) static OBJECT: Domain = Domain::new();
/// The arena allocator's own functions: context, alloc, free.
pub(crate) static ARENA: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];

/// The thread whose next raw request is to get a marked block, 0 none. The interpreter's lock protects it; where
/// there are several interpreters with a lock each, one of them may lose a sample.
static SERVED_THREAD: AtomicUsize = AtomicUsize::new(0);
/// Requests of at most this many bytes, and more than none, are not passed on by the domain's allocator: 512, or 0 where nothing is
/// known.
pub(crate) static SELF_SERVED_BYTES: AtomicUsize = AtomicUsize::new(SMALL_BYTES);

/// Whether this raw request is one that is to get a marked block. Asked once for each.
pub(crate) fn is_served() -> bool {
    let thread = SERVED_THREAD.load(Relaxed);
    if thread == 0 || thread != thread_pointer() {
        if thread == 0 && shard().left.load(Relaxed) < sampler::FORCED {
            shard().redraw();
        }
        return false;
    }
    SERVED_THREAD.store(0, Relaxed);
    true
}

/// A block of the domain that starts at a page; 0 where that fails.
fn marked(domain: &Domain, ctx: usize, size: usize) -> usize {
    let shard = shard();
    let left = shard.left.load(Relaxed);
    SERVED_THREAD.store(thread_pointer(), Relaxed);
    shard.left.store(i64::MIN / 2, Relaxed);
    let block = domain.malloc(ctx, size.max(SMALL_BYTES + 1));
    SERVED_THREAD.store(0, Relaxed);
    shard.left.store(left, Relaxed);
    if block.is_multiple_of(PAGE_BYTES) {
        return block;
    }
    domain.free(ctx, block);
    0
}

/// Whether the domain's allocator perhaps asks the raw domain for a block of this size: also for one of no bytes.
#[inline]
fn is_passed_on(size: usize) -> bool {
    size.wrapping_sub(1) >= SELF_SERVED_BYTES.load(Relaxed)
}

/// What the two domains do differently.
struct Place {
    domain: &'static Domain,
    left: &'static Countdown,
    allocator: Allocator,
}

const OBJECTS: Place = Place { domain: &OBJECT, left: &OBJECT_LEFT, allocator: Allocator::PythonObject };
const MEMS: Place = Place { domain: &MEM, left: &MEM_LEFT, allocator: Allocator::PythonMem };

impl Place {
    /// Whether a request with a countdown run out is to be sampled here. Larger ones are in the raw domain.
    fn is_due(&self, size: usize) -> bool {
        self.left.is_due() && size <= SMALL_BYTES
    }

    fn malloc(&self, ctx: usize, size: usize) -> usize {
        let block = if self.is_due(size) { marked(self.domain, ctx, size) } else { 0 };
        if block == 0 {
            return self.domain.malloc(ctx, size);
        }
        record(self.allocator, block, size);
        block
    }

    fn calloc(&self, ctx: usize, n: usize, size: usize) -> usize {
        let n_bytes = n.saturating_mul(size);
        let block = if self.is_due(n_bytes) { marked(self.domain, ctx, n_bytes) } else { 0 };
        if block == 0 {
            return self.domain.calloc(ctx, n, size);
        }
        // SAFETY: a block of at least this size that nobody has yet.
        unsafe { zero(block, n_bytes) };
        record(self.allocator, block, n_bytes);
        block
    }

    fn realloc(&self, ctx: usize, ptr: usize, size: usize) -> usize {
        let is_due = self.is_due(size);
        let plain = self.domain.realloc(ctx, ptr, size);
        if !is_due || plain == 0 {
            return plain;
        }
        if plain.is_multiple_of(PAGE_BYTES) && !may_be_sampled(plain) {
            record(self.allocator, plain, size);
            return plain;
        }
        let block = marked(self.domain, ctx, size);
        if block == 0 {
            return plain;
        }
        // SAFETY: both have at least `size` bytes and are this caller's.
        unsafe { copy(plain, block, size) };
        self.domain.free(ctx, plain);
        record(self.allocator, block, size);
        block
    }

    fn other_malloc(&self, ctx: usize, size: usize) -> usize {
        let is_due = self.left.passes(size) && size <= SMALL_BYTES;
        let block = self.domain.malloc(ctx, size);
        if is_due && block != 0 {
            record(self.allocator, block, size);
        }
        block
    }

    fn other_calloc(&self, ctx: usize, n: usize, size: usize) -> usize {
        let n_bytes = n.saturating_mul(size);
        let is_due = self.left.passes(n_bytes) && n_bytes <= SMALL_BYTES;
        let block = self.domain.calloc(ctx, n, size);
        if is_due && block != 0 {
            record(self.allocator, block, n_bytes);
        }
        block
    }

    fn other_realloc(&self, ctx: usize, ptr: usize, size: usize) -> usize {
        let is_due = self.left.passes(size) && size <= SMALL_BYTES;
        if ptr != 0 && may_be_sampled(ptr) {
            record_free(self.allocator, ptr);
        }
        let block = self.domain.realloc(ctx, ptr, size);
        if is_due && block != 0 {
            record(self.allocator, block, size);
        }
        block
    }

    fn other_free(&self, ctx: usize, ptr: usize) {
        if ptr != 0 && may_be_sampled(ptr) {
            record_free(self.allocator, ptr);
        }
        self.domain.free(ctx, ptr);
    }

    /// Runs `get` so that what it passes on to other allocators is not recorded there, then records its block.
    #[cold]
    #[inline(never)]
    fn exact_passed_on(&self, size: usize, get: impl FnOnce() -> usize) -> usize {
        let Some(mut agent) = lock::enter() else { return get() };
        let block = agent.nest(get);
        if block != 0 {
            agent.alloc(Holds::Interpreter, self.allocator, block, size);
        }
        block
    }

    #[inline]
    fn exact_given(&self, block: usize, size: usize) -> usize {
        expect(block);
        if block != 0
            && let Some(mut agent) = lock::enter()
        {
            agent.alloc(Holds::Interpreter, self.allocator, block, size);
        }
        block
    }

    #[inline]
    fn exact_malloc(&self, ctx: usize, size: usize) -> usize {
        if is_passed_on(size) {
            return self.exact_passed_on(size, || self.domain.malloc(ctx, size));
        }
        self.exact_given(self.domain.malloc(ctx, size), size)
    }

    #[inline]
    fn exact_calloc(&self, ctx: usize, n: usize, size: usize) -> usize {
        let n_bytes = n.saturating_mul(size);
        if is_passed_on(n_bytes) {
            return self.exact_passed_on(n_bytes, || self.domain.calloc(ctx, n, size));
        }
        self.exact_given(self.domain.calloc(ctx, n, size), n_bytes)
    }

    #[inline]
    fn exact_realloc(&self, ctx: usize, ptr: usize, size: usize) -> usize {
        let Some(mut agent) = lock::enter() else { return self.domain.realloc(ctx, ptr, size) };
        let block = agent.nest(|| self.domain.realloc(ctx, ptr, size));
        if block != 0 {
            if ptr != 0 {
                agent.free(ptr, self.allocator);
            }
            agent.alloc(Holds::Interpreter, self.allocator, block, size);
        }
        block
    }

    /// A large block, or one that was large when it was given, goes back through the raw domain, which must not record it once more.
    #[inline]
    fn exact_free(&self, ctx: usize, ptr: usize) {
        if ptr == 0 {
            return self.domain.free(ctx, ptr);
        }
        expect(ptr);
        let Some(mut agent) = lock::enter() else {
            lose_free();
            return self.domain.free(ctx, ptr);
        };
        agent.free(ptr, self.allocator);
        agent.nest(|| self.domain.free(ctx, ptr));
    }
}

macro_rules! functions {
    ($($malloc:ident $calloc:ident $realloc:ident of $place:ident by $to:ident, $toc:ident, $tor:ident;)*) => {$(
        pub(crate) extern "C" fn $malloc(ctx: usize, size: usize) -> usize {
            $place.$to(ctx, size)
        }

        pub(crate) extern "C" fn $calloc(ctx: usize, n: usize, size: usize) -> usize {
            $place.$toc(ctx, n, size)
        }

        pub(crate) extern "C" fn $realloc(ctx: usize, ptr: usize, size: usize) -> usize {
            $place.$tor(ctx, ptr, size)
        }
    )*};
}

functions! {
    slow_object_malloc slow_object_calloc slow_object_realloc of OBJECTS by malloc, calloc, realloc;
    slow_mem_malloc slow_mem_calloc slow_mem_realloc of MEMS by malloc, calloc, realloc;
    other_object_malloc other_object_calloc other_object_realloc
        of OBJECTS by other_malloc, other_calloc, other_realloc;
    other_mem_malloc other_mem_calloc other_mem_realloc of MEMS by other_malloc, other_calloc, other_realloc;
    exact_object_malloc exact_object_calloc exact_object_realloc
        of OBJECTS by exact_malloc, exact_calloc, exact_realloc;
    exact_mem_malloc exact_mem_calloc exact_mem_realloc of MEMS by exact_malloc, exact_calloc, exact_realloc;
}

/// Frees in the object domain of another allocator, sampled.
pub(crate) extern "C" fn other_object_free(ctx: usize, ptr: usize) {
    OBJECTS.other_free(ctx, ptr);
}

/// Frees in the mem domain of another allocator, sampled.
pub(crate) extern "C" fn other_mem_free(ctx: usize, ptr: usize) {
    MEMS.other_free(ctx, ptr);
}

/// Frees in the object domain, exact.
pub(crate) extern "C" fn exact_object_free(ctx: usize, ptr: usize) {
    OBJECTS.exact_free(ctx, ptr);
}

/// Frees in the mem domain, exact.
pub(crate) extern "C" fn exact_mem_free(ctx: usize, ptr: usize) {
    MEMS.exact_free(ctx, ptr);
}

/// Gets an arena, so that its mapping is known as one.
pub(crate) extern "C" fn arena_alloc(ctx: usize, size: usize) -> usize {
    // SAFETY: the interpreter's function, with its own context.
    as_arena(|| unsafe { call2(ARENA[1].load(Relaxed), ctx, size) })
}
