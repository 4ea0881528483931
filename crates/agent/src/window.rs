//! Exact mode's window: blocks that were given a moment ago, so that those that go back at once leave only a count.
//!
//! It lies in the shared file, in the form of the records that it stands for (see `heapray_wire::ring`), so the collector can
//! read it after the process's death. An address has its place in one set of four cells, which is one line of the caches; where the
//! set is full, one of its blocks makes room and goes to the ring. Frees of older blocks go to the ring at once: in what leaves a
//! window, a free of an address always comes before an allocation at that address, because the other order would have cancelled.

use core::sync::atomic::Ordering::{Relaxed, Release};

use heapray_wire::ring::cells::{Cell, LOW_MASK, TAG_ALLOC, TAG_TEMPORARY, word};
use heapray_wire::ring::{MAX_TEMPORARIES, WINDOW_CELLS, WINDOW_OFFSET};

use crate::arch::prefetch;
use crate::ring::{Pair, Ring, add, header, mapped};
use crate::view::{TemporaryPairs, WindowPairs};

/// Cells of a set.
const WAYS: usize = 4;
const N_SETS: usize = WINDOW_CELLS / WAYS;
/// One block in `Window::held`; the bytes of all are fewer.
const BLOCK: u64 = 1 << 32;
const SIZE_MASK: u64 = BLOCK - 1;
/// Bytes in the window when it is emptied.
pub(crate) const MAX_BYTES: u64 = 1 << 20;
/// So many bytes are never worth emptying the window for.
const FEW_BYTES: u64 = 64 << 10;
/// A block from this size on does not go through the window.
pub(crate) const LARGE_BYTES: u64 = 256 << 10;
/// Different temporaries when they are told.
const MAX_KEYS: u64 = MAX_TEMPORARIES as u64 / 2;

const HASH: u64 = 0x9e37_79b9_7f4a_7c15;

/// See the module.
pub(crate) struct Window {
    pairs: &'static WindowPairs,
    temporaries: &'static TemporaryPairs,
    /// Its blocks ([`BLOCK`] each) and their bytes in one word, which every event changes.
    held: u64,
    /// Bytes that would make a new high-water mark; after that one, so many more make the next.
    crest: u64,
    crest_step: u64,
    /// Most bytes in the window since it was emptied.
    high: u64,
    /// Says which block of a full set makes room: one after the other.
    n_evicted: usize,
    /// Different temporaries, and pairs in all of them.
    n_keys: u64,
    n_pairs: u64,
}

/// The first cell of the set of a block with this address.
#[inline]
fn set_of(ptr: u64) -> usize {
    WAYS * ((ptr >> 4).wrapping_mul(HASH) >> (64 - N_SETS.trailing_zeros())) as usize
}

/// Has the processor fetch the window's set of a block, which a hook will look at once it has the lock and the stack.
#[inline]
pub(crate) fn expect(ptr: usize) {
    let (_, slot) = mapped();
    prefetch(slot + WINDOW_OFFSET + set_of(ptr as u64) * size_of::<Cell>());
}

impl Window {
    /// The window of a fresh slot.
    pub(crate) const fn new(pairs: &'static WindowPairs, temporaries: &'static TemporaryPairs) -> Window {
        Window {
            pairs,
            temporaries,
            held: 0,
            crest: FEW_BYTES,
            crest_step: FEW_BYTES,
            high: 0,
            n_evicted: 0,
            n_keys: 0,
            n_pairs: 0,
        }
    }

    /// The set of a block with this address.
    #[inline]
    fn set(&self, ptr: u64) -> &'static [Pair] {
        let first = set_of(ptr);
        self.pairs.get(first..first + WAYS).unwrap_or_default()
    }

    /// Takes a block of less than [`LARGE_BYTES`] in; `cell` is its record.
    #[inline]
    pub(crate) fn insert(&mut self, cell: Cell, ring: &mut Ring) {
        let set = self.set(cell.a & LOW_MASK);
        match set.iter().find(|pair| pair.a.load(Relaxed) == 0) {
            Some(pair) => pair.put(cell),
            None => self.replace(set, cell, ring),
        }
        self.held += BLOCK + (cell.b & SIZE_MASK);
        if self.held & SIZE_MASK >= MAX_BYTES {
            self.flush_blocks(ring);
        }
    }

    /// Moves a block of a full set into the ring and puts another one in its place. A kill in between leaves it in both, as the
    /// ring's last record, which who reads the window takes for one.
    #[inline]
    fn replace(&mut self, set: &[Pair], cell: Cell, ring: &mut Ring) {
        self.n_evicted = self.n_evicted.wrapping_add(1);
        let Some(pair) = set.get(self.n_evicted % WAYS) else { return };
        let old = pair.get();
        ring.event(&[old]);
        pair.a.store(0, Release);
        pair.put(cell);
        let size = old.b & SIZE_MASK;
        self.held -= BLOCK + size;
        self.high = self.high.saturating_sub(size);
    }

    /// Takes over from the collector how many bytes would make a new high-water mark, and how exact it is to be.
    pub(crate) fn set_crest(&mut self, n_bytes: u64, step: u64) {
        self.crest_step = step.clamp(FEW_BYTES, MAX_BYTES);
        self.crest = n_bytes.max(self.crest_step);
    }

    /// To be called before live bytes fall by a block that is not in the window: a high-water mark is told with its blocks before it
    /// is over.
    #[inline]
    pub(crate) fn fall(&mut self, ring: &mut Ring) {
        if self.held & SIZE_MASK > self.crest {
            self.tell_crest(ring);
        }
    }

    /// To be called before a block of so many bytes goes past the window.
    #[inline]
    pub(crate) fn rise(&mut self, n_bytes: u64, ring: &mut Ring) {
        let held_bytes = self.held & SIZE_MASK;
        if held_bytes > FEW_BYTES && held_bytes.saturating_add(n_bytes) > self.crest {
            self.tell_crest(ring);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_crest(&mut self, ring: &mut Ring) {
        self.flush_blocks(ring);
        // Whether what comes is a new mark is not known until the collector says so, and it may be none: hence ever more.
        self.crest = self.crest_step;
        self.crest_step = (2 * self.crest_step).min(MAX_BYTES);
    }

    /// Whether a new high-water mark is over with the end of a block of this size, but for little.
    #[inline]
    fn is_over(&mut self, size: u64) -> bool {
        let held_bytes = self.held & SIZE_MASK;
        self.high = self.high.max(held_bytes);
        self.high > self.crest && self.high - (held_bytes - size) > self.crest_step / 4
    }

    /// Cancels a block that is in the window; whether it was, and still is.
    #[inline]
    pub(crate) fn cancel(&mut self, ptr: u64, ring: &mut Ring) -> bool {
        let is_it = |pair: &&Pair| pair.a.load(Relaxed) & LOW_MASK == ptr;
        let Some(pair) = self.set(ptr).iter().find(is_it) else { return false };
        let cell = pair.get();
        let size = cell.b & SIZE_MASK;
        if self.is_over(size) {
            self.tell_crest(ring);
            return false;
        }
        pair.a.store(0, Relaxed);
        self.held -= BLOCK + size;
        let allocator = (cell.a >> 56) - u64::from(TAG_ALLOC);
        self.count(word(TAG_TEMPORARY, cell.b >> 32 | allocator << 32), size);
        if self.n_keys >= MAX_KEYS {
            self.flush_temporaries(ring);
        }
        true
    }

    /// Adds one pair to a temporary.
    #[inline]
    fn count(&mut self, key: u64, size: u64) {
        self.n_pairs += 1;
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
        ring.take_all::<1>(self.pairs, self.held / BLOCK);
        (self.held, self.high) = (0, 0);
    }

    #[cold]
    #[inline(never)]
    fn flush_temporaries(&mut self, ring: &mut Ring) {
        if self.n_keys == 0 {
            return;
        }
        add(&header().n_cancelled, self.n_pairs);
        ring.take_all::<2>(self.temporaries, self.n_keys);
        (self.n_keys, self.n_pairs) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapray_wire::ring::cells::{Allocator, Record, alloc, decode, free};
    use std::collections::BTreeMap;

    /// A table of empty cells.
    fn pairs<const N: usize>() -> &'static [Pair; N] {
        let pairs: Vec<Pair> = (0..N).map(|_| Pair { a: 0.into(), b: 0.into() }).collect();
        Box::leak(pairs.into_boxed_slice().try_into().unwrap_or_else(|_| panic!("N of them")))
    }

    #[test]
    fn what_leaves_a_window_is_what_happened() {
        let cells = pairs::<{ 1 << 16 }>();
        let mut ring = Ring::new(cells, false);
        let mut window = Window::new(pairs(), pairs());
        let mut alive = BTreeMap::new();
        let (mut state, mut n_died) = (5_u64, 0);
        for step in 0..30_000_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Often one of a few addresses, so that they are used again; more blocks live than there is room for.
            let n_addresses = if step % 3 == 0 { 50 } else { 3 * WINDOW_CELLS as u64 };
            let ptr = 0x7f00_0000_0000 + (state >> 33) % n_addresses * 16;
            if alive.remove(&ptr).is_some() {
                n_died += 1;
                if !window.cancel(ptr, &mut ring) {
                    ring.free(&[free(ptr, Allocator::PythonObject)]);
                }
            } else {
                let size = (state >> 20) as u32 % 500;
                alive.insert(ptr, (step % 4000, u64::from(size)));
                window.insert(alloc(Allocator::PythonObject, ptr, step % 4000, size), &mut ring);
            }
        }
        window.flush(&mut ring);
        let cells: Vec<Cell> = cells.iter().map(Pair::get).collect();
        let (mut told, mut at, mut n_gone) = (BTreeMap::new(), 0, 0);
        while cells[at].a != 0 {
            let (record, n_cells) = decode(&cells[at..]).expect("whole records");
            at += n_cells;
            match record {
                Record::Alloc { ptr, node, size, .. } => {
                    assert_eq!(told.insert(ptr, (node, size)), None, "a block where one is alive");
                }
                Record::Free { ptr, .. } => {
                    assert!(told.remove(&ptr).is_some(), "a free of nothing");
                    n_gone += 1;
                }
                Record::Temporary { n_pairs, .. } => n_gone += n_pairs,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((told, n_gone), (alive, n_died));
    }
}
