//! Mapped ranges of a process. Unlike a block, a range can go piece by piece, and one call can take several.

use std::collections::BTreeMap;

/// One mapping that was recorded; several pieces of it may be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// Cohort that it belongs to.
    pub(crate) cohort: u32,
    /// Bytes as first mapped: what its weight follows from.
    pub(crate) size: u64,
    /// Bytes left.
    left: u64,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    end: u64,
    mapping: u64,
}

/// What an unmapping took from one mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The mapping, as it was mapped.
    pub(crate) mapping: Mapping,
    /// Bytes taken.
    pub(crate) bytes: u64,
    /// Nothing of it is left.
    pub(crate) is_last: bool,
}

/// Mapped ranges by address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges {
    pieces: BTreeMap<u64, Piece>,
    mappings: BTreeMap<u64, Mapping>,
    next: u64,
}

impl Ranges {
    /// Adds a mapping of `size` bytes at `addr`. What it replaces must have been unmapped before.
    pub(crate) fn map(&mut self, addr: u64, size: u64, cohort: u32) {
        let end = addr.saturating_add(size);
        if size == 0 || end - addr != size {
            return;
        }
        let mapping = self.next;
        self.next += 1;
        self.mappings.insert(mapping, Mapping { cohort, size, left: size });
        self.pieces.insert(addr, Piece { end, mapping });
    }

    /// Unmaps `size` bytes at `addr` and answers what that took, in address order. O(log n + pieces).
    pub(crate) fn unmap(&mut self, addr: u64, size: u64) -> Vec<Cut> {
        let end = addr.saturating_add(size);
        let mut cuts = Vec::new();
        let first = self.pieces.range(..=addr).next_back().map_or(addr, |(start, _)| *start);
        let hit: Vec<(u64, Piece)> =
            self.pieces.range(first..end).map(|(start, piece)| (*start, *piece)).collect();
        for (start, piece) in hit {
            if piece.end <= addr {
                continue;
            }
            self.pieces.remove(&start);
            if start < addr {
                self.pieces.insert(start, Piece { end: addr, ..piece });
            }
            if piece.end > end {
                self.pieces.insert(end, piece);
            }
            let bytes = piece.end.min(end) - start.max(addr);
            cuts.extend(self.take(piece.mapping, bytes));
        }
        cuts
    }

    /// What is left, in address order: begin, end, and the cohort of the mapping.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (u64, u64, u32)> {
        let of = |(start, piece): (&u64, &Piece)| {
            Some((*start, piece.end, self.mappings.get(&piece.mapping)?.cohort))
        };
        self.pieces.iter().filter_map(of)
    }

    fn take(&mut self, number: u64, bytes: u64) -> Option<Cut> {
        let mapping = self.mappings.get_mut(&number)?;
        mapping.left -= bytes;
        let cut = Cut { mapping: *mapping, bytes, is_last: mapping.left == 0 };
        if cut.is_last {
            self.mappings.remove(&number);
        }
        Some(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn taken(cuts: &[Cut]) -> Vec<(u32, u64, bool)> {
        cuts.iter().map(|cut| (cut.mapping.cohort, cut.bytes, cut.is_last)).collect()
    }

    #[test]
    fn a_hole_leaves_two_pieces_and_the_last_one_ends_the_mapping() {
        let mut ranges = Ranges::default();
        ranges.map(0x1000, 0x4000, 7);
        assert_eq!(taken(&ranges.unmap(0x2000, 0x1000)), [(7, 0x1000, false)]);
        assert_eq!(taken(&ranges.unmap(0x2000, 0x1000)), []);
        assert_eq!(taken(&ranges.unmap(0x1000, 0x1000)), [(7, 0x1000, false)]);
        assert_eq!(taken(&ranges.unmap(0, u64::MAX)), [(7, 0x2000, true)]);
    }

    #[test]
    fn one_call_takes_several_mappings() {
        let mut ranges = Ranges::default();
        ranges.map(0x1000, 0x1000, 1);
        ranges.map(0x2000, 0x1000, 2);
        ranges.map(0x4000, 0x1000, 3);
        let cuts = ranges.unmap(0x1800, 0x3000);
        assert_eq!(taken(&cuts), [(1, 0x800, false), (2, 0x1000, true), (3, 0x800, false)]);
    }

    proptest! {
        /// Byte by byte: the owner of each cell of a small address space.
        #[test]
        fn agrees_with_an_owner_per_byte(
            steps in prop::collection::vec((any::<bool>(), 0u64..64, 1u64..40), 1..80)
        ) {
            let mut ranges = Ranges::default();
            let mut owner: Vec<Option<u32>> = vec![None; 128];
            for (step, (maps, addr, size)) in steps.into_iter().enumerate() {
                let cuts = ranges.unmap(addr, size);
                let mut expected = std::collections::BTreeMap::<u32, u64>::new();
                for byte in addr..addr + size {
                    if let Some(cohort) = owner[byte as usize].take() {
                        *expected.entry(cohort).or_default() += 1;
                    }
                }
                let mut found = std::collections::BTreeMap::<u32, u64>::new();
                for cut in &cuts {
                    *found.entry(cut.mapping.cohort).or_default() += cut.bytes;
                    if cut.is_last {
                        prop_assert!(!owner.contains(&Some(cut.mapping.cohort)));
                    }
                }
                prop_assert_eq!(found, expected);
                if maps {
                    ranges.map(addr, size, step as u32);
                    owner[addr as usize..(addr + size) as usize].fill(Some(step as u32));
                }
            }
        }
    }
}
