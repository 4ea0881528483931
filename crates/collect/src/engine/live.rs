//! The live blocks of a process by address.
//!
//! Blocks that a program allocates one after the other lie near each other, so the map follows the address: each region
//! of 256 KiB has a small hash table of its own (open addressing), which an access leaves in the caches for the next. A
//! slot takes 12 bytes; at most 0.7 of them are in use. The slot of a dead block stays its address's, as allocators give
//! the same address again soon; the dead go when the table is made anew. A fork shares regions until one side writes.

use std::sync::Arc;

use hashbrown::HashMap;

const REGION_SHIFT: u32 = 18;
const LOW_MASK: u64 = (1 << REGION_SHIFT) - 1;

/// Stands for a size that 32 bits do not hold: the true one is in `LiveMap::large`.
const LARGE: u32 = u32::MAX;

/// Addresses that are looked at together by [`LiveMap::warm`].
pub(crate) const WARM: usize = 32;

/// A live block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Cohort that it belongs to.
    pub(crate) cohort: u32,
    /// Bytes as requested.
    pub(crate) size: u64,
}

/// `key` is the address's place in its region plus 1, or 0 where nothing is.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: u32,
    /// `DEAD` where the block is gone.
    cohort: u32,
    size: u32,
}

/// Regions of fewer blocks grow to twice their size, others by half.
const SMALL: usize = 4096;

/// No cohort has this number.
const DEAD: u32 = u32::MAX;

/// Blocks that begin in one region.
#[derive(Clone, Debug, Default)]
struct Region {
    slots: Vec<Slot>,
    /// Live blocks.
    n: usize,
    /// Slots that have a key: live and dead.
    n_used: usize,
}

#[derive(Clone, Debug)]
enum Held {
    Own(Region),
    Shared(Arc<Region>),
}

/// Live blocks by address.
#[derive(Debug, Default)]
pub(crate) struct LiveMap {
    regions: Vec<Held>,
    /// Region number (address >> 18) to index in `regions`.
    index: HashMap<u64, u32>,
    /// The region of the last access.
    last: (u64, u32),
    /// Sizes of 4 GiB and more, by address.
    large: HashMap<u64, u64>,
    n_blocks: u64,
}

impl Region {
    /// Where a key belongs: 512 bytes of addresses together by Fibonacci hashing, put in proportion (Lemire 2019) so that any
    /// number of slots will do, and in these bytes each 32 a slot further. So neighbours, which programs often allocate and free
    /// together, are found together.
    #[inline]
    fn home(&self, key: u32) -> usize {
        let hash = (key >> 9).wrapping_mul(0x9e37_79b1);
        let n_slots = self.slots.len();
        let start = ((u64::from(hash) * n_slots as u64) >> 32) as usize;
        let at = start + (key >> 5 & 15) as usize;
        if at < n_slots { at } else { at % n_slots.max(1) }
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    /// The slot of `key`, or the empty one where it would be. There must be an empty one.
    #[inline]
    fn find(&self, key: u32) -> usize {
        let mut at = self.home(key);
        while self.slots[at].key != key && self.slots[at].key != 0 {
            at = self.after(at);
        }
        at
    }

    #[inline]
    fn insert(&mut self, slot: Slot) -> Option<Slot> {
        if (self.n_used + 1) * 10 > self.slots.len() * 7 {
            let room = if self.n < SMALL { 2 * self.n } else { self.n + self.n / 2 };
            self.resize(room.max(8) * 10 / 7 + 1);
        }
        let at = self.find(slot.key);
        let old = std::mem::replace(&mut self.slots[at], slot);
        self.n_used += usize::from(old.key == 0);
        if old.key != 0 && old.cohort != DEAD {
            return Some(old);
        }
        self.n += 1;
        None
    }

    #[inline]
    fn remove(&mut self, key: u32) -> Option<Slot> {
        if self.n == 0 {
            return None;
        }
        let at = self.find(key);
        let found = self.slots[at];
        if found.key == 0 || found.cohort == DEAD {
            return None;
        }
        self.slots[at].cohort = DEAD;
        self.n -= 1;
        Some(found)
    }

    /// A heap that has shrunk gives its memory back.
    fn trim(&mut self) {
        match self.n {
            0 => *self = Self::default(),
            n if self.slots.len() > (n * 8).max(64) => self.resize(n * 3 + 4),
            _ => {}
        }
    }

    #[cold]
    fn resize(&mut self, n_slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); n_slots]);
        self.n_used = self.n;
        for slot in old {
            if slot.key != 0 && slot.cohort != DEAD {
                let at = self.find(slot.key);
                self.slots[at] = slot;
            }
        }
    }
}

impl Held {
    #[inline]
    fn region(&self) -> &Region {
        match self {
            Self::Own(region) => region,
            Self::Shared(region) => region,
        }
    }

    #[inline]
    fn own(&mut self) -> &mut Region {
        if let Self::Shared(_) = self {
            self.unshare();
        }
        match self {
            Self::Own(region) => region,
            Self::Shared(_) => unreachable!("it was made our own just now"),
        }
    }

    /// A copy of the region, or the region itself where nobody else holds it any more.
    #[cold]
    fn unshare(&mut self) {
        if let Self::Shared(region) = std::mem::replace(self, Self::Own(Region::default())) {
            *self = Self::Own(Arc::unwrap_or_clone(region));
        }
    }

    fn share(&mut self) -> Arc<Region> {
        let region = match std::mem::replace(self, Self::Own(Region::default())) {
            Self::Own(region) => Arc::new(region),
            Self::Shared(region) => region,
        };
        *self = Self::Shared(Arc::clone(&region));
        region
    }
}

impl LiveMap {
    /// Number of blocks.
    pub(crate) fn len(&self) -> u64 {
        self.n_blocks
    }

    /// Adds a block; answers the one that was at this address, whose free was never seen.
    #[inline]
    pub(crate) fn insert(&mut self, addr: u64, block: Block) -> Option<Block> {
        let size = u32::try_from(block.size).unwrap_or(LARGE);
        let old = self.region_for(addr).insert(Slot { key: key_of(addr), cohort: block.cohort, size });
        let old = old.map(|old| self.widen(addr, old));
        self.n_blocks += u64::from(old.is_none());
        if size == LARGE {
            self.large.insert(addr, block.size);
        }
        old
    }

    /// Takes a block out.
    #[inline]
    pub(crate) fn remove(&mut self, addr: u64) -> Option<Block> {
        let slot = self.region(addr)?.own().remove(key_of(addr))?;
        self.n_blocks -= 1;
        Some(self.widen(addr, slot))
    }

    #[inline]
    fn widen(&mut self, addr: u64, slot: Slot) -> Block {
        let size = if slot.size == LARGE { self.take_large(addr) } else { u64::from(slot.size) };
        Block { cohort: slot.cohort, size }
    }

    #[cold]
    fn take_large(&mut self, addr: u64) -> u64 {
        self.large.remove(&addr).unwrap_or(u64::from(LARGE))
    }

    #[inline]
    fn region(&mut self, addr: u64) -> Option<&mut Held> {
        let number = addr >> REGION_SHIFT;
        if self.last.0 != number || self.regions.is_empty() {
            self.last = (number, *self.index.get(&number)?);
        }
        self.regions.get_mut(self.last.1 as usize)
    }

    #[inline]
    fn region_for(&mut self, addr: u64) -> &mut Region {
        let number = addr >> REGION_SHIFT;
        if self.last.0 != number || self.regions.is_empty() {
            let next = self.regions.len() as u32;
            let idx = *self.index.entry(number).or_insert(next);
            if idx == next {
                self.regions.push(Held::Own(Region::default()));
            }
            self.last = (number, idx);
        }
        self.regions[self.last.1 as usize].own()
    }

    /// Looks at what accesses to these addresses will need, all of a step before the next, so that the machine waits for memory
    /// once a step and not once an access. Answers the cohorts of the blocks that seem to be there.
    pub(crate) fn warm(&self, addrs: &[u64; WARM], cohorts: &mut [u32; WARM]) {
        let mut regions = [u32::MAX; WARM];
        let mut last = (u64::MAX, u32::MAX);
        for (region, addr) in regions.iter_mut().zip(addrs) {
            let number = addr >> REGION_SHIFT;
            if last.0 != number {
                last = (number, self.index.get(&number).copied().unwrap_or(u32::MAX));
            }
            *region = last.1;
        }
        for ((cohort, region), addr) in cohorts.iter_mut().zip(&regions).zip(addrs) {
            let Some(held) = self.regions.get(*region as usize) else { continue };
            let region = held.region();
            let slot = region.slots.get(region.home(key_of(*addr)));
            *cohort = slot.map_or(u32::MAX, |slot| slot.cohort);
        }
    }

    /// The same map for a forked child; both sides copy a region when they first change it.
    /// Cost: O(regions), about 4,000 a GiB of heap.
    pub(crate) fn fork(&mut self) -> Self {
        let regions = self.regions.iter_mut().map(|held| Held::Shared(held.share())).collect();
        Self {
            regions,
            index: self.index.clone(),
            last: self.last,
            large: self.large.clone(),
            n_blocks: self.n_blocks,
        }
    }

    /// Gives back what a heap that has shrunk does not need. Blocks that came and went in the same places until now found their slots
    /// again.
    /// Cost: O(regions).
    pub(crate) fn trim(&mut self) {
        for held in &mut self.regions {
            if let Held::Own(region) = held {
                region.trim();
            }
        }
    }

    /// Bytes of memory that the map takes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let slots = |held: &Held| held.region().slots.capacity() * size_of::<Slot>();
        self.regions.capacity() * size_of::<Held>()
            + self.index.allocation_size()
            + self.regions.iter().map(slots).sum::<usize>()
    }
}

#[inline]
fn key_of(addr: u64) -> u32 {
    (addr & LOW_MASK) as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn block(cohort: u32, size: u64) -> Block {
        Block { cohort, size }
    }

    #[test]
    fn a_block_is_found_once_and_only_at_its_address() {
        let mut map = LiveMap::default();
        assert_eq!(map.remove(0), None);
        assert_eq!(map.insert(0x7f00_0000_1010, block(1, 5 << 32)), None);
        assert_eq!(map.remove(0x7f00_0000_1018), None);
        assert_eq!(map.insert(0x7f00_0000_1010, block(2, 7)), Some(block(1, 5 << 32)));
        assert_eq!(map.remove(0x7f00_0000_1010), Some(block(2, 7)));
        assert_eq!((map.remove(0x7f00_0000_1010), map.len()), (None, 0));
    }

    proptest! {
        #[test]
        fn agrees_with_a_tree_also_after_forks(
            steps in prop::collection::vec((0u8..10, 0u64..3, 0u64..700, any::<u32>()), 1..600)
        ) {
            let mut sides = vec![(LiveMap::default(), BTreeMap::<u64, Block>::new())];
            for (what, region, slot, value) in steps {
                let n = sides.len();
                let (map, model) = &mut sides[value as usize % n];
                let addr = (region << 30) + slot * 1000;
                let new = block(value, u64::from(value) << (value % 3 * 10));
                match what {
                    0 if n < 4 => {
                        let child = (map.fork(), model.clone());
                        sides.push(child);
                    }
                    0..=5 => prop_assert_eq!(map.insert(addr, new), model.insert(addr, new)),
                    6 if value % 16 == 0 => map.trim(),
                    _ => prop_assert_eq!(map.remove(addr), model.remove(&addr)),
                }
            }
            for (mut map, model) in sides {
                prop_assert_eq!(map.len(), model.len() as u64);
                for (addr, block) in model {
                    prop_assert_eq!(map.remove(addr), Some(block));
                }
            }
        }
    }
}
