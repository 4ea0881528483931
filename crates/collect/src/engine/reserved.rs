//! Reserved address space: what allocators inside libraries live in. It counts as far as it is seen in use.
//!
//! What comes into use between two looks is born there, at the place that reserved the space; what goes out of use is taken from
//! the newest of that. A part that is unmapped is out of use at the next look, the whole of it at once.

use std::collections::BTreeMap;

use super::ranges::{Cut, Ranges};

/// Address space that one call reserved.
#[derive(Clone, Debug)]
struct Space {
    node: u32,
    /// Bytes that came into use, by the cohort that they are of, oldest first; none is 0.
    used: Vec<(u32, u64)>,
}

/// A part of a reservation that is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservedRange {
    /// Number of the reservation.
    pub reservation: u32,
    /// First address.
    pub start: u64,
    /// The address behind the last.
    pub end: u64,
}

/// What a look changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// So many bytes more are in use, at the place of this node.
    Grown { node: u32, bytes: u64 },
    /// So many bytes of a cohort are not in use any more; with the last of them goes the block.
    Shrunk { cohort: u32, bytes: u64, is_last: bool },
}

/// The reservations of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reserved {
    ranges: Ranges,
    spaces: BTreeMap<u32, Space>,
    next: u32,
}

impl Reserved {
    /// Adds a reservation, of which nothing is in use. What it replaces must have been unmapped before.
    pub(crate) fn map(&mut self, addr: u64, size: u64, node: u32) {
        self.ranges.map(addr, size, self.next);
        self.spaces.insert(self.next, Space { node, used: Vec::new() });
        self.next = self.next.wrapping_add(1);
    }

    /// Unmaps; answers what that ends at once. O(log n + pieces).
    pub(crate) fn unmap(&mut self, addr: u64, size: u64) -> Vec<Change> {
        if self.spaces.is_empty() {
            return Vec::new();
        }
        let cuts = self.ranges.unmap(addr, size);
        let over = cuts.into_iter().filter(|cut| cut.is_last);
        let over = over.filter_map(|Cut { mapping, .. }| self.spaces.remove(&mapping.cohort));
        let ends = |(cohort, bytes)| Change::Shrunk { cohort, bytes, is_last: true };
        over.flat_map(|space| space.used).map(ends).collect()
    }

    /// Bytes that were in use when it was looked last.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.spaces.values().flat_map(|space| &space.used).map(|(_, bytes)| bytes).sum()
    }

    /// Where to look.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = ReservedRange> {
        self.ranges.pieces().map(|(start, end, reservation)| ReservedRange { reservation, start, end })
    }

    /// A look has found so many bytes of a reservation in use; answers what has changed.
    pub(crate) fn look(&mut self, reservation: u32, bytes: u64) -> Vec<Change> {
        let Some(space) = self.spaces.get_mut(&reservation) else { return Vec::new() };
        let before: u64 = space.used.iter().map(|(_, bytes)| bytes).sum();
        if bytes > before {
            return vec![Change::Grown { node: space.node, bytes: bytes - before }];
        }
        let mut gone = before - bytes;
        let mut changes = Vec::new();
        while gone > 0
            && let Some((cohort, held)) = space.used.last_mut()
        {
            let part = gone.min(*held);
            (*held, gone) = (*held - part, gone - part);
            changes.push(Change::Shrunk { cohort: *cohort, bytes: part, is_last: *held == 0 });
            if *held == 0 {
                space.used.pop();
            }
        }
        changes
    }

    /// What has grown is of this cohort; whether it is the first there of this reservation.
    pub(crate) fn grown(&mut self, reservation: u32, cohort: u32, bytes: u64) -> bool {
        let Some(space) = self.spaces.get_mut(&reservation) else { return false };
        match space.used.last_mut() {
            Some((last, held)) if *last == cohort => {
                *held += bytes;
                false
            }
            _ => {
                space.used.push((cohort, bytes));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shrunk(cohort: u32, bytes: u64, is_last: bool) -> Change {
        Change::Shrunk { cohort, bytes, is_last }
    }

    #[test]
    fn what_comes_into_use_last_goes_first() {
        let mut reserved = Reserved::default();
        reserved.map(0x1000, 0x10_0000, 7);
        assert_eq!(reserved.look(0, 0x3000), [Change::Grown { node: 7, bytes: 0x3000 }]);
        assert!(reserved.grown(0, 1, 0x3000));
        assert_eq!(reserved.look(0, 0x4000), [Change::Grown { node: 7, bytes: 0x1000 }]);
        assert!(!reserved.grown(0, 1, 0x1000), "the same slice");
        assert_eq!(reserved.look(0, 0x6000), [Change::Grown { node: 7, bytes: 0x2000 }]);
        assert!(reserved.grown(0, 2, 0x2000));
        assert_eq!(reserved.look(0, 0x5000), [shrunk(2, 0x1000, false)]);
        assert_eq!(reserved.look(0, 0x5000), []);
        assert_eq!(reserved.look(0, 0x1000), [shrunk(2, 0x1000, true), shrunk(1, 0x3000, false)]);
        assert_eq!(reserved.unmap(0, 0x2000), [], "a part is out of use at the next look");
        let left: Vec<_> = reserved.ranges().collect();
        assert_eq!(left, [ReservedRange { reservation: 0, start: 0x2000, end: 0x10_1000 }]);
        assert_eq!(reserved.unmap(0, u64::MAX), [shrunk(1, 0x1000, true)]);
        assert_eq!(reserved.look(0, 0x9000), [], "it is over");
    }

    #[test]
    fn reservations_are_told_apart() {
        let mut reserved = Reserved::default();
        reserved.map(0x1000, 0x1000, 7);
        reserved.map(0x2000, 0x1000, 8);
        assert_eq!(reserved.used_bytes(), 0);
        assert_eq!(reserved.look(1, 0x1000), [Change::Grown { node: 8, bytes: 0x1000 }]);
        assert!(reserved.grown(1, 3, 0x1000));
        assert_eq!(reserved.look(0, 0x800), [Change::Grown { node: 7, bytes: 0x800 }]);
        assert!(reserved.grown(0, 3, 0x800), "a block of its own, though of the same cohort");
        assert_eq!(reserved.used_bytes(), 0x1800);
        assert_eq!(reserved.unmap(0x1000, 0x2000), [shrunk(3, 0x800, true), shrunk(3, 0x1000, true)]);
    }
}
