//! The types met in one target, each read once.
//!
//! Whether an address is an object is decided here: its type must be a type. It does not read objects.

use heapray_cpython::{Memory, Runtime, TypeInfo};
use rustc_hash::FxHashMap;

const CACHE_ENTRIES: usize = 1024;

/// All types met so far, numbered in the order of meeting.
#[derive(Debug)]
pub(crate) struct Types {
    rows: Vec<TypeInfo>,
    by_address: FxHashMap<u64, Option<u32>>,
    /// Direct-mapped: (address, row) of types seen lately.
    cache: Box<[(u64, u32); CACHE_ENTRIES]>,
}

impl Types {
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new(), by_address: FxHashMap::default(), cache: Box::new([(0, 0); CACHE_ENTRIES]) }
    }

    /// Number of types met.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// A type by number.
    #[inline]
    pub(crate) fn get(&self, i: u32) -> &TypeInfo {
        &self.rows[i as usize]
    }

    /// The type of the object at `object`; `None` where there is no object. O(1).
    #[inline]
    pub(crate) fn of_object<M: Memory>(&mut self, memory: &M, runtime: &Runtime, object: u64) -> Option<u32> {
        let address = memory.u64(object + 8)?;
        let slot = (address >> 4) as usize % CACHE_ENTRIES;
        if self.cache[slot].0 == address && address != 0 {
            return Some(self.cache[slot].1);
        }
        let found = self.at(memory, runtime, address)?;
        self.cache[slot] = (address, found);
        Some(found)
    }

    /// The type of an object that was found before; `None` where its memory can no longer be read.
    #[inline]
    pub(crate) fn known<M: Memory>(&self, memory: &M, object: u64) -> Option<u32> {
        let address = memory.u64(object + 8).unwrap_or(0);
        let (cached, found) = self.cache[(address >> 4) as usize % CACHE_ENTRIES];
        if cached == address && address != 0 {
            return Some(found);
        }
        self.by_address.get(&address).copied().flatten()
    }

    /// The type object at `address`.
    fn at<M: Memory>(&mut self, memory: &M, runtime: &Runtime, address: u64) -> Option<u32> {
        if !address.is_multiple_of(8) || address < 0x1000 {
            return None;
        }
        if let Some(known) = self.by_address.get(&address) {
            return *known;
        }
        let found = TypeInfo::read(memory, runtime, address).map(|info| {
            self.rows.push(info);
            self.rows.len() as u32 - 1
        });
        self.by_address.insert(address, found);
        found
    }
}
