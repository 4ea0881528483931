//! Cohorts to rows of a file: nodes in the file's numbers, rows of the same site merged, in the order of their keys.

use heapray_wire::{AllocRow, FreeRow, LiveRow, Slice};

use super::cohort::{Cohort, CohortKey};
use super::weight::Sum;

/// A slice that ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) index: u32,
    /// Begin and end, ns since the recording's start.
    pub(crate) times: (u64, u64),
}

/// Rows of one process and slice while they are gathered; nodes are the agent's until `with_nodes`.
#[derive(Default)]
pub(crate) struct SliceRows {
    allocs: Vec<AllocRow>,
    frees: Vec<FreeRow>,
}

impl SliceRows {
    /// Takes what a cohort did in slice `slice`; an inherited one was born in the parent.
    pub(crate) fn take(&mut self, cohort: &Cohort, slice: u32, is_inherited: bool) {
        let CohortKey { node, allocator, birth, interval } = cohort.key;
        if birth == slice && !is_inherited {
            let mut born = cohort.live();
            born += cohort.freed();
            if born.is_empty() {
                return;
            }
            let born = born.told(interval);
            self.allocs.push(AllocRow {
                node,
                allocator,
                n_records: born.n_records,
                count: born.count,
                bytes: born.bytes,
                count_variance: born.count_variance,
                bytes_variance: born.bytes_variance,
                temporary_count: cohort.temporary().0,
                temporary_bytes: cohort.temporary().1,
            });
        }
        if !cohort.freed().is_empty() {
            self.frees.push(live_row(&cohort.key, &cohort.freed().told(interval)));
        }
    }

    /// Adds those of the slice after slice `index`, as if that had not begun.
    pub(crate) fn join(&mut self, next: SliceRows, index: u32) {
        self.allocs.extend(next.allocs);
        self.frees.extend(next.frees.into_iter().map(|row| LiveRow { birth: row.birth.min(index), ..row }));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.allocs.is_empty() && self.frees.is_empty()
    }

    /// The slice's chunk, with every node replaced.
    pub(crate) fn finish(mut self, span: &Span, node: impl FnMut(u32) -> u32) -> Slice {
        let Span { index, times: (start_ns, end_ns) } = *span;
        let mut node = node;
        for row in &mut self.allocs {
            row.node = node(row.node);
        }
        self.allocs.sort_unstable_by_key(|row| (row.node, row.allocator));
        self.allocs.dedup_by(|row, kept| {
            let same = (row.node, row.allocator) == (kept.node, kept.allocator);
            if same {
                kept.n_records += row.n_records;
                kept.count += row.count;
                kept.bytes += row.bytes;
                kept.count_variance += row.count_variance;
                kept.bytes_variance += row.bytes_variance;
                kept.temporary_count += row.temporary_count;
                kept.temporary_bytes += row.temporary_bytes;
            }
            same
        });
        Slice { index, start_ns, end_ns, allocs: self.allocs, frees: merged(self.frees, node) }
    }
}

/// Rows of live blocks, by cohort.
pub(crate) fn live_rows(
    cohorts: impl Iterator<Item = (CohortKey, Sum)>,
    node: impl FnMut(u32) -> u32,
) -> Vec<LiveRow> {
    merged(cohorts.map(|(key, sum)| live_row(&key, &sum)).collect(), node)
}

fn live_row(key: &CohortKey, sum: &Sum) -> LiveRow {
    LiveRow {
        node: key.node,
        allocator: key.allocator,
        birth: key.birth,
        n_records: sum.n_records,
        count: sum.count,
        bytes: sum.bytes,
        count_variance: sum.count_variance,
        bytes_variance: sum.bytes_variance,
    }
}

fn merged(mut rows: Vec<LiveRow>, mut node: impl FnMut(u32) -> u32) -> Vec<LiveRow> {
    for row in &mut rows {
        row.node = node(row.node);
    }
    rows.sort_unstable_by_key(|row| (row.node, row.allocator, row.birth));
    rows.dedup_by(|row, kept| {
        let same = (row.node, row.allocator, row.birth) == (kept.node, kept.allocator, kept.birth);
        if same {
            kept.n_records += row.n_records;
            kept.count += row.count;
            kept.bytes += row.bytes;
            kept.count_variance += row.count_variance;
            kept.bytes_variance += row.bytes_variance;
        }
        same
    });
    rows
}
