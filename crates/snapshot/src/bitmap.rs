//! A set of 8-byte aligned addresses as a two-level bitmap, with ranks.
//!
//! One bit stands for 8 bytes; a leaf covers 1 MiB and exists only where a bit was set. After [`Bitmap::seal`]
//! the rank of an address (its position in address order) costs a popcount. It does not know what it marks.

const LEAF_SHIFT: u32 = 20;
const WORDS: usize = 1 << (LEAF_SHIFT - 3 - 6);
const TOP_SHIFT: u32 = 30;
const TOP_ENTRIES: usize = 1 << (47 - TOP_SHIFT);
const MIDDLE_ENTRIES: usize = 1 << (TOP_SHIFT - LEAF_SHIFT);
const ABSENT: u32 = u32::MAX;

/// 1 MiB of addresses.
#[derive(Debug)]
struct Leaf {
    base: u64,
    bits: [u64; WORDS],
    /// Rank of the first bit of each group of 8 words; filled by `seal`.
    ranks: [u32; WORDS / 8],
}

/// A set of addresses below 2^47. 20 KiB for each MiB that holds a member.
#[derive(Debug)]
pub(crate) struct Bitmap {
    top: Vec<u32>,
    middle: Vec<[u32; MIDDLE_ENTRIES]>,
    leaves: Vec<Box<Leaf>>,
    /// Leaf indices in address order; filled by `seal`.
    order: Vec<u32>,
    len: u64,
}

impl Bitmap {
    pub(crate) fn new() -> Self {
        Self {
            top: vec![ABSENT; TOP_ENTRIES],
            middle: Vec::new(),
            leaves: Vec::new(),
            order: Vec::new(),
            len: 0,
        }
    }

    /// Number of members.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    #[inline]
    fn leaf(&self, addr: u64) -> Option<&Leaf> {
        let middle = *self.top.get((addr >> TOP_SHIFT) as usize)?;
        let middle = self.middle.get(middle as usize)?;
        let leaf = middle[(addr >> LEAF_SHIFT) as usize % MIDDLE_ENTRIES];
        self.leaves.get(leaf as usize).map(Box::as_ref)
    }

    fn leaf_or_new(&mut self, addr: u64) -> Option<&mut Leaf> {
        let top = self.top.get_mut((addr >> TOP_SHIFT) as usize)?;
        if *top == ABSENT {
            *top = self.middle.len() as u32;
            self.middle.push([ABSENT; MIDDLE_ENTRIES]);
        }
        let slot = &mut self.middle[*top as usize][(addr >> LEAF_SHIFT) as usize % MIDDLE_ENTRIES];
        if *slot == ABSENT {
            *slot = self.leaves.len() as u32;
            let base = addr >> LEAF_SHIFT << LEAF_SHIFT;
            self.leaves.push(Box::new(Leaf { base, bits: [0; WORDS], ranks: [0; WORDS / 8] }));
        }
        let at = *slot as usize;
        Some(&mut self.leaves[at])
    }

    /// Adds an address; `true` when it is new. An address that is unaligned or out of range is never a member.
    #[inline]
    pub(crate) fn insert(&mut self, addr: u64) -> bool {
        if addr & 7 != 0 {
            return false;
        }
        let Some(leaf) = self.leaf_or_new(addr) else { return false };
        let (word, bit) = position(addr);
        let new = leaf.bits[word] & bit == 0;
        leaf.bits[word] |= bit;
        self.len += u64::from(new);
        new
    }

    /// Takes an address out again.
    pub(crate) fn remove(&mut self, addr: u64) {
        if self.contains(addr)
            && let Some(leaf) = self.leaf_or_new(addr)
        {
            let (word, bit) = position(addr);
            leaf.bits[word] &= !bit;
            self.len -= 1;
        }
    }

    /// Whether `addr` is a member.
    #[inline]
    pub(crate) fn contains(&self, addr: u64) -> bool {
        let (word, bit) = position(addr);
        addr & 7 == 0 && self.leaf(addr).is_some_and(|leaf| leaf.bits[word] & bit != 0)
    }

    /// Whether there is a member in `start..end`.
    pub(crate) fn any_in(&self, start: u64, end: u64) -> bool {
        self.last_before(start, end).is_some()
    }

    /// The highest member in `start..end`.
    pub(crate) fn last_before(&self, start: u64, end: u64) -> Option<u64> {
        let mut at = end.checked_sub(1)? & !511;
        loop {
            if let Some(leaf) = self.leaf(at) {
                let mut word = leaf.bits[position(at).0];
                word &= below((end - at).div_ceil(8)) & !below(start.saturating_sub(at).div_ceil(8));
                if word != 0 {
                    let found = at + 8 * u64::from(63 - word.leading_zeros());
                    return (found >= start).then_some(found);
                }
            }
            if at <= start {
                return None;
            }
            at -= 512;
        }
    }

    /// Computes ranks; call once, after the last insert and before [`Bitmap::rank`].
    pub(crate) fn seal(&mut self) {
        let mut order: Vec<u32> = (0..self.leaves.len() as u32).collect();
        order.sort_by_key(|leaf| self.leaves[*leaf as usize].base);
        let mut rank = 0;
        for &at in &order {
            let leaf = &mut self.leaves[at as usize];
            for (group, first) in leaf.ranks.iter_mut().enumerate() {
                *first = rank;
                rank += leaf.bits[group * 8..group * 8 + 8].iter().map(|word| word.count_ones()).sum::<u32>();
            }
        }
        self.order = order;
    }

    /// Position of a member in address order; `None` for others.
    #[inline]
    pub(crate) fn rank(&self, addr: u64) -> Option<u32> {
        if addr & 7 != 0 {
            return None;
        }
        let leaf = self.leaf(addr)?;
        let (word, bit) = position(addr);
        if leaf.bits[word] & bit == 0 {
            return None;
        }
        let group = word / 8;
        let before: u32 = leaf.bits[group * 8..word].iter().map(|word| word.count_ones()).sum();
        Some(leaf.ranks[group] + before + (leaf.bits[word] & (bit - 1)).count_ones())
    }

    /// Number of leaves; with [`Bitmap::leaf_members`] a caller can walk all members in address order and keep no borrow.
    pub(crate) fn n_leaves(&self) -> usize {
        self.order.len()
    }

    /// Appends the members of leaf number `i` (in address order) to `out`.
    pub(crate) fn leaf_members(&self, i: usize, out: &mut Vec<u64>) {
        let leaf = &self.leaves[self.order[i] as usize];
        for (at, &word) in leaf.bits.iter().enumerate() {
            let mut word = word;
            while word != 0 {
                out.push(leaf.base + (at as u64 * 64 + u64::from(word.trailing_zeros())) * 8);
                word &= word - 1;
            }
        }
    }
}

/// The lowest `n` bits.
fn below(n: u64) -> u64 {
    if n < 64 { (1 << n) - 1 } else { u64::MAX }
}

#[inline]
fn position(addr: u64) -> (usize, u64) {
    let bit = (addr >> 3) as usize & ((1 << (LEAF_SHIFT - 3)) - 1);
    (bit / 64, 1 << (bit % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn scattered() -> Vec<u64> {
        let mut seed = 7_u64;
        (0..20_000)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                0x7f00_0000_0000 * (seed >> 63) + ((seed >> 20) & 0xff_ffff) * 8
            })
            .collect()
    }

    #[test]
    fn rank_is_position_in_address_order() {
        let (mut bitmap, mut oracle) = (Bitmap::new(), BTreeSet::new());
        for addr in scattered() {
            assert_eq!(bitmap.insert(addr), oracle.insert(addr));
        }
        bitmap.seal();
        assert_eq!(bitmap.len(), oracle.len() as u64);
        for (rank, addr) in oracle.iter().enumerate() {
            assert_eq!(bitmap.rank(*addr), Some(rank as u32));
            assert_eq!(bitmap.contains(addr + 8), oracle.contains(&(addr + 8)));
        }
        let mut members = Vec::new();
        (0..bitmap.n_leaves()).for_each(|leaf| bitmap.leaf_members(leaf, &mut members));
        assert!(members.iter().eq(oracle.iter()));
    }

    #[test]
    fn last_before_equals_an_ordered_set() {
        let (mut bitmap, mut oracle) = (Bitmap::new(), BTreeSet::new());
        for addr in scattered() {
            bitmap.insert(addr);
            oracle.insert(addr);
        }
        for (start, len) in
            scattered().into_iter().zip([1, 8, 16, 500, 512, 4096, 70_000].into_iter().cycle())
        {
            assert_eq!(
                bitmap.last_before(start, start + len),
                oracle.range(start..start + len).next_back().copied()
            );
        }
    }

    #[test]
    fn foreign_addresses_are_never_members() {
        let mut bitmap = Bitmap::new();
        assert!(!bitmap.insert(u64::MAX) && !bitmap.insert(1 << 47) && !bitmap.insert(0x1001));
        assert!(!bitmap.contains(u64::MAX - 7) && bitmap.rank(1 << 50).is_none());
    }
}
