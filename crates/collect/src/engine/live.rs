//! The live blocks of a process by address.
//!
//! Small blocks stand in tables that follow the address: a leaf for each page of 4 KiB, with four bytes for each place
//! where a block can begin, so that a look needs no search, and blocks that a program allocates one after the other share
//! lines of the caches. Leaves of 256 KiB are a region, which a fork shares until one side writes. What such a place does not
//! hold (large blocks, samples, which begin at a page) is in a hash table; a region says which of its pages have any.

use std::sync::Arc;

use hashbrown::HashMap;

const REGION_SHIFT: u32 = 18;
const PAGE_SHIFT: u32 = 12;
const PLACE_SHIFT: u32 = 4;
const N_LEAVES: usize = 1 << (REGION_SHIFT - PAGE_SHIFT);
const N_PLACES: usize = 1 << (PAGE_SHIFT - PLACE_SHIFT);

/// Bits of a place that are the size; the others are the cohort and 1.
const SIZE_BITS: u32 = 11;
/// Largest size of a block that has a place, in bytes.
const MAX_SIZE: u64 = (1 << SIZE_BITS) - 1;
/// Largest cohort of a block that has a place.
const MAX_COHORT: u32 = (1 << (32 - SIZE_BITS)) - 2;

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

/// Blocks that begin in one page, packed; 0 where none begins.
type Leaf = [u32; N_PLACES];

/// Blocks that begin in 256 KiB of addresses.
#[derive(Clone, Debug)]
struct Region {
    leaves: [Option<Box<Leaf>>; N_LEAVES],
    /// Blocks in each: not in the leaf, whose lines are many.
    n_blocks: [u16; N_LEAVES],
    /// Pages, a bit each, in which a block of `LiveMap::wide` began at some time.
    wide: u64,
}

#[derive(Clone, Debug)]
enum Held {
    Own(Box<Region>),
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
    /// Blocks that have no place in a leaf, by address.
    wide: Arc<HashMap<u64, Block>>,
    n_blocks: u64,
}

impl Block {
    /// As it stands in a leaf; `None` where it has no place in one.
    #[inline]
    fn packed(self, addr: u64) -> Option<u32> {
        let has_place = is_place(addr) && addr & ((1 << PAGE_SHIFT) - 1) != 0;
        let fits = self.size <= MAX_SIZE && self.cohort <= MAX_COHORT;
        (has_place && fits).then(|| (self.cohort + 1) << SIZE_BITS | self.size as u32)
    }

    /// The block of a place that is not empty.
    #[inline]
    fn unpacked(place: u32) -> Self {
        Self { cohort: (place >> SIZE_BITS) - 1, size: u64::from(place) & MAX_SIZE }
    }
}

impl Region {
    const EMPTY: Self = Self { leaves: [const { None }; N_LEAVES], n_blocks: [0; N_LEAVES], wide: 0 };

    #[inline]
    fn is_wide(&self, addr: u64) -> bool {
        self.wide >> page_of(addr) & 1 != 0
    }

    /// Puts a packed block at its place; answers what was there, 0 for nothing.
    #[inline]
    fn put(&mut self, addr: u64, packed: u32) -> u32 {
        let page = page_of(addr);
        let leaf = self.leaves[page].get_or_insert_with(|| Box::new([0; N_PLACES]));
        let old = std::mem::replace(&mut leaf[place_of(addr)], packed);
        self.n_blocks[page] += u16::from(old == 0);
        old
    }

    /// Takes what is at a place, 0 for nothing.
    #[inline]
    fn take(&mut self, addr: u64) -> u32 {
        let page = page_of(addr);
        let Some(leaf) = self.leaves[page].as_mut().filter(|_| is_place(addr)) else { return 0 };
        let old = std::mem::take(&mut leaf[place_of(addr)]);
        self.n_blocks[page] -= u16::from(old != 0);
        old
    }

    /// Gives back the leaves of pages where nothing is alive.
    fn trim(&mut self) {
        for (leaf, n) in self.leaves.iter_mut().zip(self.n_blocks) {
            if n == 0 {
                *leaf = None;
            }
        }
    }

    /// The place of an address, where its page has a leaf.
    #[inline]
    fn place(&self, addr: u64) -> Option<&u32> {
        self.leaves[page_of(addr)].as_ref().map(|leaf| &leaf[place_of(addr)])
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
        if let Self::Shared(region) = std::mem::replace(self, Self::Own(Box::new(Region::EMPTY))) {
            *self = Self::Own(Box::new(Arc::unwrap_or_clone(region)));
        }
    }

    fn heap_bytes(&self) -> usize {
        let n_sharers = if let Self::Shared(region) = self { Arc::strong_count(region) } else { 1 };
        let leaves = self.region().leaves.iter().flatten().count() * size_of::<Leaf>();
        (size_of::<Region>() + leaves) / n_sharers
    }

    fn share(&mut self) -> Arc<Region> {
        let region = match std::mem::replace(self, Self::Own(Box::new(Region::EMPTY))) {
            Self::Own(region) => Arc::from(region),
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
        let packed = block.packed(addr);
        let region = self.region_for(addr);
        let place = match packed {
            Some(packed) => region.put(addr, packed),
            None => region.take(addr),
        };
        let old = match place {
            0 if region.is_wide(addr) => self.forget_wide(addr),
            0 => None,
            place => Some(Block::unpacked(place)),
        };
        if packed.is_none() {
            self.insert_wide(addr, block);
        }
        self.n_blocks += u64::from(old.is_none());
        old
    }

    #[inline(never)]
    fn insert_wide(&mut self, addr: u64, block: Block) {
        self.region_for(addr).wide |= 1 << page_of(addr);
        Arc::make_mut(&mut self.wide).insert(addr, block);
    }

    #[inline(never)]
    fn forget_wide(&mut self, addr: u64) -> Option<Block> {
        Arc::make_mut(&mut self.wide).remove(&addr)
    }

    /// Takes a block out.
    #[inline]
    pub(crate) fn remove(&mut self, addr: u64) -> Option<Block> {
        let region = self.region(addr)?.own();
        let block = match region.take(addr) {
            0 if region.is_wide(addr) => self.forget_wide(addr)?,
            0 => return None,
            place => Block::unpacked(place),
        };
        self.n_blocks -= 1;
        Some(block)
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
                self.regions.push(Held::Own(Box::new(Region::EMPTY)));
            }
            self.last = (number, idx);
        }
        self.regions[self.last.1 as usize].own()
    }

    /// Looks at what accesses to these addresses will need, all of a step before the next and the last step with nothing between two
    /// looks, so that the machine waits for memory once a step and not once an access. Answers the cohorts of the blocks that are there.
    pub(crate) fn warm(&self, addrs: &[u64; WARM], cohorts: &mut [u32; WARM]) {
        let mut places = [const { None }; WARM];
        let mut last = (u64::MAX, None);
        for (place, addr) in places.iter_mut().zip(addrs) {
            let number = addr >> REGION_SHIFT;
            if last.0 != number {
                let idx = self.index.get(&number);
                last = (number, idx.and_then(|idx| self.regions.get(*idx as usize)));
            }
            *place = last.1.and_then(|held| held.region().place(*addr));
        }
        for (cohort, place) in cohorts.iter_mut().zip(&places) {
            *cohort = place.map_or(u32::MAX, |place| (place >> SIZE_BITS).wrapping_sub(1));
        }
    }

    /// The same map for a forked child; both sides copy a region, and what has no place, when they first change it.
    /// Cost: O(regions), about 4,000 a GiB of heap.
    pub(crate) fn fork(&mut self) -> Self {
        let regions = self.regions.iter_mut().map(|held| Held::Shared(held.share())).collect();
        Self {
            regions,
            index: self.index.clone(),
            last: self.last,
            wide: Arc::clone(&self.wide),
            n_blocks: self.n_blocks,
        }
    }

    /// Gives back the leaves of pages where nothing is alive.
    /// Cost: O(pages).
    pub(crate) fn trim(&mut self) {
        for held in &mut self.regions {
            if let Held::Own(region) = held {
                region.trim();
            }
        }
    }

    /// Bytes of memory that the map takes; what is shared is shared out evenly.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.regions.capacity() * size_of::<Held>()
            + self.regions.iter().map(Held::heap_bytes).sum::<usize>()
            + self.index.allocation_size()
            + self.wide.allocation_size() / Arc::strong_count(&self.wide)
    }
}

/// Whether a block that has a place can begin here.
#[inline]
fn is_place(addr: u64) -> bool {
    addr & ((1 << PLACE_SHIFT) - 1) == 0
}

#[inline]
fn page_of(addr: u64) -> usize {
    (addr >> PAGE_SHIFT) as usize % N_LEAVES
}

#[inline]
fn place_of(addr: u64) -> usize {
    (addr >> PLACE_SHIFT) as usize % N_PLACES
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
    fn blocks_are_packed_where_they_have_a_place() {
        let most = block(MAX_COHORT, MAX_SIZE);
        assert_eq!(most.packed(16).map(Block::unpacked), Some(most));
        assert_eq!(block(0, 0).packed(4080).map(Block::unpacked), Some(block(0, 0)));
        let none = [(0, 1, 1), (4096, 1, 1), (24, 1, 1), (16, MAX_COHORT + 1, 1), (16, 1, MAX_SIZE + 1)];
        for (addr, cohort, size) in none {
            assert_eq!(block(cohort, size).packed(addr), None);
        }
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
                // Pages' beginnings, places, and addresses that are neither.
                let addr = (region << 30) + slot * [4096, 16, 1000][value as usize % 3];
                let new = block(value >> (value % 5 * 4), u64::from(value) >> (value % 7 * 4));
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
