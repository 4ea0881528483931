//! Records that were taken from the window of a process that stands still, before its agent puts them into the ring.
//!
//! An agent empties its window before the first event after a pause, so the next records are the very same and are passed over. At
//! most one event was under way when the window was read; a block that it took back is among those that never come.

use hashbrown::HashMap;
use heapray_wire::ring::cells::{Cell, Record, decode};

/// Cells more than those of the window that may come before the last of them: one event, and places that it tells of.
const SLACK_CELLS: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Early {
    /// Node and size by allocator and address.
    blocks: HashMap<(u8, u64), (u32, u64)>,
    /// Pairs and bytes by node and allocator.
    temporaries: HashMap<(u32, u8), (u64, u64)>,
    /// Cells until all have come again.
    n_cells: usize,
}

impl Early {
    /// What was taken.
    pub(crate) fn of(cells: &[Cell]) -> Self {
        let mut early = Self { n_cells: cells.len() + SLACK_CELLS, ..Self::default() };
        let mut at = 0;
        while let Ok((record, n)) = decode(&cells[at..]) {
            match record {
                Record::Alloc { allocator, ptr, node, size } => {
                    early.blocks.insert((allocator as u8, ptr), (node, size));
                }
                Record::Temporary { node, allocator, n_pairs, bytes } => {
                    early.temporaries.insert((node, allocator as u8), (n_pairs, bytes));
                }
                _ => {}
            }
            at += n;
        }
        early
    }

    /// Nothing is waited for.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.n_cells == 0
    }

    /// What of a record of `n` cells is new.
    pub(crate) fn rest(&mut self, record: Record, n: usize) -> Option<Record> {
        let rest = match record {
            Record::Alloc { allocator, ptr, node, size } => {
                let known = self.blocks.get(&(allocator as u8, ptr)) == Some(&(node, size));
                if known {
                    self.blocks.remove(&(allocator as u8, ptr));
                }
                (!known).then_some(record)
            }
            Record::Temporary { node, allocator, n_pairs, bytes } => {
                let (known_pairs, known_bytes) =
                    self.temporaries.remove(&(node, allocator as u8)).unwrap_or_default();
                let (n_pairs, bytes) =
                    (n_pairs.saturating_sub(known_pairs), bytes.saturating_sub(known_bytes));
                (n_pairs > 0).then_some(Record::Temporary { node, allocator, n_pairs, bytes })
            }
            other => Some(other),
        };
        let is_over = self.blocks.is_empty() && self.temporaries.is_empty();
        self.n_cells = if is_over { 0 } else { self.n_cells.saturating_sub(n) };
        rest
    }

    /// Addresses of blocks that have not come although all was waited for.
    pub(crate) fn take_missing(&mut self) -> Vec<u64> {
        if self.n_cells > 0 {
            return Vec::new();
        }
        self.temporaries.clear();
        std::mem::take(&mut self.blocks).into_keys().map(|(_, ptr)| ptr).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapray_wire::ring::cells::{Allocator, alloc, free, temporary};

    const OBJECT: Allocator = Allocator::PythonObject;

    #[test]
    fn what_comes_again_is_passed_over() {
        let mut cells = vec![alloc(OBJECT, 0x1000, 7, 32), alloc(OBJECT, 0x2000, 8, 48)];
        cells.extend(temporary(7, OBJECT, 10, 320));
        let mut early = Early::of(&cells);
        let mut rest = |cell: &[Cell]| decode(cell).ok().and_then(|(record, n)| early.rest(record, n));
        assert_eq!(rest(&cells[..1]), None);
        // Pairs that were counted after the window was read are new.
        let new = Record::Temporary { node: 7, allocator: OBJECT, n_pairs: 2, bytes: 64 };
        assert_eq!(rest(&temporary(7, OBJECT, 12, 384)), Some(new));
        assert!(rest(&[free(0x2000, OBJECT)]).is_some());
        assert_eq!(rest(&cells[1..2]), None);
        assert!(early.is_empty());
    }

    #[test]
    fn what_never_comes_is_told() {
        let mut early = Early::of(&[alloc(OBJECT, 0x1000, 7, 32)]);
        while !early.is_empty() {
            assert!(early.take_missing().is_empty());
            let (record, n) = decode(&[free(0x5000, OBJECT)]).expect("a record");
            assert!(early.rest(record, n).is_some());
        }
        assert_eq!(early.take_missing(), [0x1000]);
    }
}
