//! Exact mode's window: blocks that were given a moment ago, so that those that go back at once leave only a count.
//!
//! It lies in the shared file, in the form of the records that it stands for (see `heapray_wire::ring`), so the collector can
//! read it after the process's death. Frees of older blocks go to the ring at once: in what leaves a window, a free of an
//! address always comes before an allocation at that address, because the other order would have cancelled.

use core::sync::atomic::Ordering::Relaxed;

use heapray_wire::ring::cells::{Cell, LOW_MASK, TAG_ALLOC, TAG_TEMPORARY, word};
use heapray_wire::ring::{MAX_TEMPORARIES, WINDOW_CELLS, WINDOW_OFFSET};

use crate::arch::prefetch;
use crate::ring::{Ring, add, header, mapped};
use crate::view::{TemporaryPairs, WindowPairs};

/// Blocks in the window when it is emptied.
const MAX_BLOCKS: u64 = WINDOW_CELLS as u64 / 2;
/// Bytes in the window when it is emptied: the high-water mark is right to this much.
pub(crate) const MAX_BYTES: u64 = 1 << 20;
/// A block from this size on does not go through the window.
pub(crate) const LARGE_BYTES: u64 = 256 << 10;
/// Different temporaries when they are told.
const MAX_KEYS: u64 = MAX_TEMPORARIES as u64 / 2;

const MASK: usize = WINDOW_CELLS - 1;
const HASH: u64 = 0x9e37_79b9_7f4a_7c15;

/// See the module.
pub(crate) struct Window {
    pairs: &'static WindowPairs,
    temporaries: &'static TemporaryPairs,
    n_blocks: u64,
    n_bytes: u64,
    n_keys: u64,
}

/// Where a block with this address wants to be.
#[inline]
fn home(ptr: u64) -> usize {
    ((ptr >> 4).wrapping_mul(HASH) >> (64 - WINDOW_CELLS.trailing_zeros())) as usize
}

/// Has the processor fetch the window's place of a block, which a hook will look at once it has the lock and the stack.
#[inline]
pub(crate) fn expect(ptr: usize) {
    let (_, slot) = mapped();
    prefetch(slot + WINDOW_OFFSET + home(ptr as u64) % WINDOW_CELLS * size_of::<Cell>());
}

impl Window {
    /// The window of a fresh slot.
    pub(crate) const fn new(pairs: &'static WindowPairs, temporaries: &'static TemporaryPairs) -> Window {
        Window { pairs, temporaries, n_blocks: 0, n_bytes: 0, n_keys: 0 }
    }

    /// Takes a block of less than [`LARGE_BYTES`] in; `cell` is its record.
    #[inline]
    pub(crate) fn insert(&mut self, cell: Cell, ring: &mut Ring) {
        let mut idx = home(cell.a & LOW_MASK);
        while self.pairs[idx & MASK].a.load(Relaxed) != 0 {
            idx += 1;
        }
        self.pairs[idx & MASK].put(cell);
        self.n_blocks += 1;
        self.n_bytes += cell.b & 0xffff_ffff;
        if self.n_blocks >= MAX_BLOCKS || self.n_bytes >= MAX_BYTES {
            self.flush_blocks(ring);
        }
    }

    /// Cancels a block that is in the window; whether it was.
    #[inline]
    pub(crate) fn cancel(&mut self, ptr: u64, ring: &mut Ring) -> bool {
        let mut idx = home(ptr);
        let cell = loop {
            let a = self.pairs[idx & MASK].a.load(Relaxed);
            if a == 0 {
                return false;
            }
            if a & LOW_MASK == ptr {
                break self.pairs[idx & MASK].get();
            }
            idx += 1;
        };
        self.close_gap(idx & MASK);
        let size = cell.b & 0xffff_ffff;
        self.n_blocks -= 1;
        self.n_bytes -= size;
        let allocator = (cell.a >> 56) - u64::from(TAG_ALLOC);
        self.count(word(TAG_TEMPORARY, cell.b >> 32 | allocator << 32), size);
        if self.n_keys >= MAX_KEYS {
            self.flush_temporaries(ring);
        }
        true
    }

    /// Empties a place and moves back what had to go past it.
    #[inline]
    fn close_gap(&mut self, mut gap: usize) {
        let mut idx = gap;
        loop {
            idx = (idx + 1) & MASK;
            let cell = self.pairs[idx].get();
            if cell.a == 0 {
                break;
            }
            let wanted = home(cell.a & LOW_MASK);
            if idx.wrapping_sub(wanted) & MASK >= idx.wrapping_sub(gap) & MASK {
                self.pairs[gap].put(cell);
                gap = idx;
            }
        }
        self.pairs[gap].a.store(0, Relaxed);
    }

    /// Adds one pair to a temporary.
    #[inline]
    fn count(&mut self, key: u64, size: u64) {
        let mut idx = (key.wrapping_mul(HASH) >> (64 - MAX_TEMPORARIES.trailing_zeros())) as usize;
        loop {
            let at = 2 * (idx % MAX_TEMPORARIES);
            let (pair, bytes) = (&self.temporaries[at], &self.temporaries[at + 1]);
            let found = pair.a.load(Relaxed);
            if found == key {
                add(&pair.b, 1);
                add(&bytes.a, size);
                return;
            }
            if found == 0 {
                bytes.a.store(size, Relaxed);
                pair.b.store(1, Relaxed);
                pair.a.store(key, Relaxed);
                self.n_keys += 1;
                return;
            }
            idx += 1;
        }
    }

    /// Moves everything into the ring.
    pub(crate) fn flush(&mut self, ring: &mut Ring) {
        self.flush_blocks(ring);
        self.flush_temporaries(ring);
    }

    #[cold]
    #[inline(never)]
    fn flush_blocks(&mut self, ring: &mut Ring) {
        ring.take_all::<1>(self.pairs, self.n_blocks);
        (self.n_blocks, self.n_bytes) = (0, 0);
    }

    #[cold]
    #[inline(never)]
    fn flush_temporaries(&mut self, ring: &mut Ring) {
        if self.n_keys == 0 {
            return;
        }
        let n_pairs: u64 =
            self.temporaries.as_chunks::<2>().0.iter().map(|pair| pair[0].b.load(Relaxed)).sum();
        add(&header().n_cancelled, n_pairs);
        ring.take_all::<2>(self.temporaries, self.n_keys);
        self.n_keys = 0;
    }
}
