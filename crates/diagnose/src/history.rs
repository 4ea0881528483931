//! The snapshots of one process side by side: each with its tree of trails, and who is who in the last one.
//!
//! Everything is told from the last snapshot: its nodes, its places. Invariant: at least two snapshots, in order of time.

use crate::lineage::same_in;
use crate::steady::Series;
use crate::tree::Sizes;
use heapray_capture::HeapTables;
use heapray_heap::Heap;
use heapray_wire::NO_NODE;

/// One snapshot with the time at which it was taken.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The object graph with its trails and facts.
    pub heap: &'a Heap,
    /// Seconds since any fixed moment; only differences matter.
    pub at_seconds: f64,
}

/// One snapshot and what was derived from it.
#[derive(Debug)]
pub(crate) struct Snap<'a> {
    pub(crate) heap: &'a Heap,
    pub(crate) tables: &'a HeapTables,
    pub(crate) sizes: Sizes,
    pub(crate) seconds: f64,
}

/// All snapshots.
#[derive(Debug)]
pub(crate) struct History<'a> {
    pub(crate) snaps: Vec<Snap<'a>>,
    /// For each snapshot but the last, by node of the last: the node it was.
    same: Vec<Vec<u32>>,
    persistent: Vec<bool>,
}

impl<'a> History<'a> {
    /// Adds up trees and matches objects; `None` for fewer than two observations. Cost: O(nodes + edges) each.
    pub(crate) fn new(observations: &[Observation<'a>]) -> Option<Self> {
        let first = observations.first()?;
        let last = observations.last().filter(|_| observations.len() >= 2)?;
        let snap = |seen: &Observation<'a>| Snap {
            heap: seen.heap,
            tables: seen.heap.tables(),
            sizes: Sizes::new(seen.heap),
            seconds: seen.at_seconds - first.at_seconds,
        };
        let snaps: Vec<Snap<'a>> = observations.iter().map(snap).collect();
        let earlier = &observations[..observations.len() - 1];
        let same: Vec<Vec<u32>> =
            earlier.iter().map(|seen| same_in(seen.heap.tables(), last.heap.tables())).collect();
        let stays = |node: u32| same.iter().all(|same| same[node as usize] != NO_NODE);
        let persistent = (0..last.heap.n_nodes()).map(stays).collect();
        Some(History { snaps, same, persistent })
    }

    /// The last snapshot.
    pub(crate) fn last(&self) -> &Snap<'a> {
        &self.snaps[self.snaps.len() - 1]
    }

    /// How many snapshots there are.
    pub(crate) fn len(&self) -> usize {
        self.snaps.len()
    }

    /// Whether a node of the last snapshot is in all of them.
    pub(crate) fn is_persistent(&self, node: u32) -> bool {
        self.persistent[node as usize]
    }

    /// What a node of the last snapshot was in snapshot `k`.
    pub(crate) fn in_snap(&self, k: usize, node: u32) -> Option<u32> {
        if k + 1 == self.snaps.len() {
            return Some(node);
        }
        Some(self.same[k][node as usize]).filter(|old| *old != NO_NODE)
    }

    /// A series of a figure of each snapshot.
    pub(crate) fn series(&self, level: impl Fn(usize) -> f64) -> Series {
        Series {
            seconds: self.snaps.iter().map(|snap| snap.seconds).collect(),
            level: (0..self.snaps.len()).map(level).collect(),
        }
    }
}

impl Snap<'_> {
    /// All nodes that roots hold, each after the one above it.
    pub(crate) fn held(&self) -> &[u32] {
        &self.heap.order()[..self.sizes.n_held]
    }
}
