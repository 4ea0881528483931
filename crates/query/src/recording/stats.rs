//! `stats`: totals, allocators, sizes.

use super::Allocations;
use super::rows::{estimate, part, per_second, whole};
use crate::answer::{AllocatorRow, SizeRow, StatsAnswer};
use heapray_profile::{AllocatorTotals, Figures, Histogram, allocator_totals, histogram};
use heapray_wire::allocator;

impl Allocations {
    /// Figures of the recording as a whole.
    pub fn stats(&self) -> StatsAnswer {
        let sites = self.sites(&self.whole);
        let mut all = Figures::default();
        for site in &sites {
            all.add(&site.figures);
        }
        let mut totals = allocator_totals(&sites);
        totals.sort_by(|a, b| b.figures.allocated.bytes.total_cmp(&a.figures.allocated.bytes));
        let mut stacks: Vec<u32> = sites.iter().map(|site| site.node).collect();
        stacks.dedup();
        StatsAnswer {
            recording: self.recorded_with_peaks(&self.whole, all.allocated.n_records),
            live: estimate(all.live),
            allocated: estimate(all.allocated),
            temporary: estimate(all.temporary),
            bytes_per_second: per_second(all.allocated.bytes, self.whole.seconds()),
            allocators: totals.iter().map(|row| allocator_row(row, all.allocated.bytes)).collect(),
            sizes: sizes(&histogram(&self.recording, &self.selection)),
            n_sites: sites.len() as u64,
            n_stacks: stacks.len() as u64,
        }
    }
}

/// What an allocator is called.
pub(super) fn allocator_name(number: u8) -> String {
    allocator::name(number).map_or_else(|| format!("allocator {number}"), str::to_owned)
}

fn allocator_row(row: &AllocatorTotals, all: f64) -> AllocatorRow {
    AllocatorRow {
        allocator: allocator_name(row.allocator),
        allocated: estimate(row.figures.allocated),
        live: estimate(row.figures.live),
        share: part(row.figures.allocated.bytes, all),
    }
}

/// From the first size that there is to the last.
fn sizes(histogram: &Histogram) -> Vec<SizeRow> {
    let row = |(bucket, count): (usize, &f64)| SizeRow {
        from_bytes: if bucket == 0 { 0 } else { 1 << bucket },
        to_bytes: 1_u64.checked_shl(bucket as u32 + 1).unwrap_or(u64::MAX),
        count: whole(*count),
        share: part(*count, histogram.count),
    };
    let mut rows: Vec<SizeRow> = histogram.counts.iter().enumerate().map(row).collect();
    let is_empty = |row: &SizeRow| row.count == 0;
    while rows.last().is_some_and(is_empty) {
        rows.pop();
    }
    let first = rows.iter().position(|row| !is_empty(row)).unwrap_or(0);
    rows.split_off(first)
}
