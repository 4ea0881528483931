//! The memory of an image, loaded in chunks of 1 MiB when first touched.
//!
//! Two tables lead from an address to its chunk, so that a read that hits costs some nanoseconds; loading happens behind
//! `&self`. Nothing is ever evicted behind a caller's back: [`heapray_cpython::Memory::trim`] does, down to the budget,
//! when nobody borrows. What cannot be read reads as nothing and is counted.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use heapray_cpython::Memory;
use heapray_linux::Mapping;

use crate::chunk::{CHUNK_BYTES, CHUNK_SHIFT, Chunk, Spares};
use crate::source::Source;

/// Binary logarithm of the number of chunks in a second-level table (8 GiB each).
const TABLE_SHIFT: u32 = 13;
/// User addresses have 47 bits on x86-64 and 48 on AArch64 unless a program asks for more, which CPython does not.
const ADDRESS_BITS: u32 = 48;
const ROOT_LEN: usize = 1 << (ADDRESS_BITS - CHUNK_SHIFT - TABLE_SHIFT);

/// Memory that heapray keeps of an image, unless told otherwise.
pub const DEFAULT_BUDGET_BYTES: u64 = 512 << 20;

const TABLE_LEN: usize = 1 << TABLE_SHIFT;

type Table = Box<[OnceLock<Chunk>; TABLE_LEN]>;

/// What reading an image has cost, and what it could not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Bytes copied from the image, again after an eviction.
    pub loaded_bytes: u64,
    /// Bytes kept right now.
    pub kept_bytes: u64,
    /// Largest `kept_bytes` so far.
    pub peak_bytes: u64,
    /// Bytes inside mappings that could not be read.
    pub unreadable_bytes: u64,
    /// Reads that hit nothing readable.
    pub missed_reads: u64,
}

#[derive(Debug, Default)]
struct Counters {
    loaded: AtomicU64,
    kept: AtomicU64,
    peak: AtomicU64,
    unreadable: AtomicU64,
    missed: AtomicU64,
}

/// The memory of an image: a frozen copy, a stopped process, or a core file.
#[derive(Debug)]
pub struct ImageMemory {
    root: Box<[Option<Table>]>,
    /// Mappings worth reading, in address order.
    mappings: Vec<Mapping>,
    source: Source,
    budget_bytes: u64,
    /// Chunks that cost something, in the order in which they were loaded.
    order: Mutex<VecDeque<u64>>,
    evictions: u64,
    spares: Spares,
    counters: Counters,
}

impl ImageMemory {
    /// The readable memory of `mappings` (in address order) as `source` has it.
    pub(crate) fn new(source: Source, mappings: &[Mapping], budget_bytes: u64) -> Self {
        let mappings: Vec<Mapping> = mappings
            .iter()
            .filter(|mapping| mapping.read && !mapping.is_special() && mapping.end <= 1 << ADDRESS_BITS)
            .cloned()
            .collect();
        let mut root: Box<[Option<Table>]> = (0..ROOT_LEN).map(|_| None).collect();
        for mapping in &mappings {
            let first = mapping.start >> (CHUNK_SHIFT + TABLE_SHIFT);
            let last = (mapping.end - 1) >> (CHUNK_SHIFT + TABLE_SHIFT);
            for table in first..=last {
                root[table as usize].get_or_insert_with(empty_table);
            }
        }
        let (order, spares, counters) = (Mutex::default(), Spares::default(), Counters::default());
        Self { root, mappings, source, budget_bytes, order, evictions: 0, spares, counters }
    }

    /// What reading has cost so far.
    pub fn stats(&self) -> MemoryStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MemoryStats {
            loaded_bytes: get(&self.counters.loaded),
            kept_bytes: get(&self.counters.kept),
            peak_bytes: get(&self.counters.peak),
            unreadable_bytes: get(&self.counters.unreadable),
            missed_reads: get(&self.counters.missed),
        }
    }

    /// Whether the image went away under us (the copy was killed, the stopped process ended): reads since then miss.
    pub fn is_gone(&self) -> bool {
        self.source.is_gone()
    }

    /// Loads what of `range` is not loaded yet. Costs about 0.5 ms a MiB; the budget is not looked at.
    pub fn prefetch(&self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        for number in range.start >> CHUNK_SHIFT..=(range.end - 1) >> CHUNK_SHIFT {
            self.chunk(number << CHUNK_SHIFT);
        }
    }

    #[inline]
    fn slot(&self, addr: u64) -> Option<&OnceLock<Chunk>> {
        let table = self.root.get((addr >> (CHUNK_SHIFT + TABLE_SHIFT)) as usize)?.as_ref()?;
        Some(&table[(addr >> CHUNK_SHIFT) as usize % TABLE_LEN])
    }

    #[inline]
    fn chunk(&self, addr: u64) -> Option<&Chunk> {
        let slot = self.slot(addr)?;
        match slot.get() {
            Some(chunk) => Some(chunk),
            None => Some(self.load(slot, addr >> CHUNK_SHIFT)),
        }
    }

    #[cold]
    #[inline(never)]
    fn load<'a>(&'a self, slot: &'a OnceLock<Chunk>, number: u64) -> &'a Chunk {
        slot.get_or_init(|| {
            let start = number << CHUNK_SHIFT;
            let first = self.mappings.partition_point(|mapping| mapping.end <= start);
            let inside: Vec<&Mapping> = self.mappings[first..]
                .iter()
                .take_while(|mapping| mapping.start < start + CHUNK_BYTES)
                .collect();
            let (chunk, unreadable) = self.source.load(start, &inside, &self.spares);
            self.count(&chunk, unreadable);
            if chunk.cost_bytes() > 0 {
                self.order.lock().unwrap_or_else(PoisonError::into_inner).push_back(number);
            }
            chunk
        })
    }

    fn count(&self, chunk: &Chunk, unreadable: u64) {
        let cost = chunk.cost_bytes();
        self.counters.loaded.fetch_add(cost, Ordering::Relaxed);
        self.counters.unreadable.fetch_add(unreadable, Ordering::Relaxed);
        let kept = self.counters.kept.fetch_add(cost, Ordering::Relaxed) + cost;
        self.counters.peak.fetch_max(kept, Ordering::Relaxed);
    }

    #[cold]
    #[inline(never)]
    fn missed(&self) -> &[u8] {
        self.counters.missed.fetch_add(1, Ordering::Relaxed);
        &[]
    }

    /// The chunk to evict next. The walker sweeps over the heap several times, in address order: of a heap that is larger
    /// than the budget, the oldest chunk is always the one it needs soonest. So the newest quarter stays (what is being
    /// read), of the others the newest goes; every eighth time the oldest, lest what nobody reads stays for ever.
    fn next_victim(&mut self) -> Option<u64> {
        let order = self.order.get_mut().unwrap_or_else(PoisonError::into_inner);
        let last = order.len().checked_sub(1)?;
        self.evictions += 1;
        order.remove(if self.evictions.is_multiple_of(8) { 0 } else { last - last / 4 })
    }

    fn evict(&mut self, number: u64) {
        let table = self.root.get_mut((number >> TABLE_SHIFT) as usize).and_then(Option::as_mut);
        if let Some(chunk) = table.and_then(|table| table[number as usize % TABLE_LEN].take()) {
            self.counters.kept.fetch_sub(chunk.cost_bytes(), Ordering::Relaxed);
            self.spares.give(chunk);
        }
    }
}

fn empty_table() -> Table {
    let slots: Box<[OnceLock<Chunk>]> = (0..TABLE_LEN).map(|_| OnceLock::new()).collect();
    slots.try_into().expect("it has this length")
}

impl Memory for ImageMemory {
    #[inline]
    fn tail(&self, addr: u64) -> &[u8] {
        match self.chunk(addr) {
            Some(chunk) => {
                let tail = chunk.tail((addr & (CHUNK_BYTES - 1)) as u32);
                if tail.is_empty() { self.missed() } else { tail }
            }
            None => self.missed(),
        }
    }

    /// Evicts chunks until the budget holds.
    fn trim(&mut self) {
        while self.counters.kept.load(Ordering::Relaxed) > self.budget_bytes {
            match self.next_victim() {
                Some(number) => self.evict(number),
                None => return,
            }
        }
    }
}
