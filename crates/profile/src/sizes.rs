//! How large allocations were, and how they spread over allocators.

use crate::{Figures, Selection, Site};
use heapray_capture::Recording;
use heapray_wire::{SizesRow, allocator};

/// Blocks by size since the recording began, freed or not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Blocks by `floor(log2(bytes))`, empty ones in the first.
    pub counts: Vec<f64>,
    /// Blocks in all.
    pub count: f64,
    /// Bytes in all.
    pub bytes: f64,
}

/// The histogram of a selection's processes; of everything in them, whatever else the selection asks for.
pub fn histogram(recording: &Recording, selection: &Selection) -> Histogram {
    let mut all = Histogram { counts: vec![0.0; SizesRow::N_BUCKETS], ..Histogram::default() };
    for (_, task) in selection.tasks(recording) {
        for row in task.sizes.iter().filter(|row| selection.counts_allocator(row.allocator)) {
            for (sum, count) in all.counts.iter_mut().zip(&row.buckets) {
                *sum += count;
            }
            all.count += row.count;
            all.bytes += row.bytes;
        }
    }
    all
}

/// What one allocator gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AllocatorTotals {
    /// Its number.
    pub allocator: u8,
    /// The sum over its sites.
    pub figures: Figures,
}

/// Sites summed by allocator, by its number.
pub fn allocator_totals(sites: &[Site]) -> Vec<AllocatorTotals> {
    let mut all: Vec<AllocatorTotals> = Vec::new();
    for site in sites {
        let at = all.partition_point(|row| row.allocator < site.allocator);
        if all.get(at).is_none_or(|row| row.allocator != site.allocator) {
            all.insert(at, AllocatorTotals { allocator: site.allocator, figures: Figures::default() });
        }
        all[at].figures.add(&site.figures);
    }
    all
}

impl Selection {
    /// Whether blocks of an allocator count: arenas do only where the objects in them are not seen.
    pub fn counts_allocator(&self, number: u8) -> bool {
        number != allocator::ARENA || self.counts_arenas()
    }
}
