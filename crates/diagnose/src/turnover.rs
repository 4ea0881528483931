//! How much of what was at a place was replaced since an earlier snapshot.
//!
//! Addresses alone mislead: a cache in balance gets the memory of what it dropped back for what it takes in. The
//! *order* of elements lies far less: in a container that only gains, the old elements stay where they were. What
//! hangs in a slot is compared by the slot: a buffer that is flushed by `buffer = []` is another object each time.

use crate::history::History;
use crate::places::Place;
use crate::tree::{kind, under};
use heapray_capture::HeapTables;
use heapray_wire::TypeKind;

/// What became of that which was at a place in earlier snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Turnover {
    /// Part of the earlier elements that are gone or elsewhere, 0 to 1, by the earlier snapshot with most; 0 where
    /// nothing can be told.
    pub(crate) gone: f64,
    /// The object in the slot is another one, and does not hold the earlier one either.
    pub(crate) is_replaced: bool,
}

/// Compares each earlier snapshot with the last. O(nodes + elements) each.
pub(crate) fn turnover(history: &History<'_>, place: &Place) -> Turnover {
    let mut all = Turnover::default();
    for k in 0..history.len() - 1 {
        let since = since(history, place, k);
        all.gone = all.gone.max(since.gone);
        all.is_replaced |= since.is_replaced;
    }
    all
}

fn since(history: &History<'_>, place: &Place, k: usize) -> Turnover {
    let then = place.tops(history, k);
    let now = place.tops(history, history.len() - 1);
    if then.is_empty() || now.is_empty() {
        return Turnover::default();
    }
    let below = Below::new(history, &now, k);
    let gone_below = below.gone(history, &then);
    let ([old], [new]) = (then.as_slice(), now.as_slice()) else {
        return Turnover { gone: gone_below, is_replaced: false };
    };
    let is_same = history.in_snap(k, *new) == Some(*old);
    if !is_same && below.has(*old) {
        // The earlier object hangs below the new one: a chain that grows at its head.
        return Turnover { gone: gone_below, is_replaced: false };
    }
    let (before, after) = (elements(history.snaps[k].tables, *old), elements(history.last().tables, *new));
    let moved = if kind(history.last().tables, *new) == TypeKind::Set {
        lost(&before, &after)
    } else if is_same {
        moved(&before, &after)
    } else {
        // `items + [item]`, `[item] + items`
        let (old_end, new_end) = (before.iter().rev(), after.iter().rev());
        moved(&before, &after).min(unequal(old_end.zip(new_end), before.len()))
    };
    Turnover { gone: moved.max(gone_below), is_replaced: !is_same }
}

fn elements(tables: &HeapTables, node: u32) -> Vec<u64> {
    tables.targets(node).iter().map(|target| tables.address(*target)).collect()
}

fn moved(before: &[u64], after: &[u64]) -> f64 {
    unequal(before.iter().zip(after), before.len())
}

/// Part of `n` elements that have no equal partner; 0 of none.
fn unequal<'a>(pairs: impl Iterator<Item = (&'a u64, &'a u64)>, n: usize) -> f64 {
    let stayed = pairs.filter(|(old, new)| old == new).count();
    if n == 0 { 0.0 } else { 1.0 - stayed as f64 / n as f64 }
}

/// Part of the elements that are not there any more, in whatever order.
fn lost(before: &[u64], after: &[u64]) -> f64 {
    let mut after = after.to_vec();
    after.sort_unstable();
    let kept = before.iter().filter(|address| after.binary_search(address).is_ok()).count();
    if before.is_empty() { 0.0 } else { 1.0 - kept as f64 / before.len() as f64 }
}

/// What is below a place in the last snapshot, as nodes of an earlier one.
struct Below {
    k: usize,
    nodes: Vec<u32>,
}

impl Below {
    fn new(history: &History<'_>, tops: &[u32], k: usize) -> Self {
        let under = under(history.last().heap, tops);
        let is_under = (0..under.len() as u32).filter(|at| under[*at as usize]);
        let mut nodes: Vec<u32> = is_under.filter_map(|at| history.in_snap(k, at)).collect();
        nodes.sort_unstable();
        Below { k, nodes }
    }

    fn has(&self, old: u32) -> bool {
        self.nodes.binary_search(&old).is_ok()
    }

    /// Part of the subtrees of `then` that is no longer there.
    fn gone(&self, history: &History<'_>, then: &[u32]) -> f64 {
        let count = &history.snaps[self.k].sizes.count;
        let n_before: f64 = then.iter().map(|top| f64::from(count[*top as usize])).sum();
        (1.0 - self.nodes.len() as f64 / n_before.max(1.0)).max(0.0)
    }
}
