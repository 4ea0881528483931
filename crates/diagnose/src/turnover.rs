//! How much of a container's content was replaced between the first and the last snapshot.
//!
//! Addresses alone mislead: a cache in balance gets the memory of what it dropped back for what it takes in. The
//! *order* of elements does not lie: in a container that only gains, the old elements stay where they were.

use crate::history::History;
use crate::places::Place;
use crate::tree::{kind, under};
use heapray_wire::{NO_NODE, TypeKind};

/// Part of the first snapshot's elements that are gone or elsewhere, 0 to 1; 0 where nothing can be told.
pub(crate) fn turnover(history: &History<'_>, place: &Place) -> f64 {
    let node = place.target();
    let (first, last) = (history.snaps[0].tables, history.last().tables);
    let Some(then) = history.in_snap(0, node) else { return 0.0 };
    let before: Vec<u64> = first.targets(then).iter().map(|target| first.address(*target)).collect();
    let after: Vec<u64> = last.targets(node).iter().map(|target| last.address(*target)).collect();
    if before.is_empty() {
        return 0.0;
    }
    if kind(last, node) == TypeKind::Set {
        return gone(&before, &after);
    }
    let stayed = before.iter().zip(&after).filter(|(old, new)| old == new).count();
    let moved = 1.0 - stayed as f64 / before.len() as f64;
    moved.max(gone_below(history, node, then))
}

fn gone(before: &[u64], after: &[u64]) -> f64 {
    let mut after = after.to_vec();
    after.sort_unstable();
    let kept = before.iter().filter(|address| after.binary_search(address).is_ok()).count();
    1.0 - kept as f64 / before.len() as f64
}

/// Part of the subtree of `then` in the first snapshot that has no successor in the last.
fn gone_below(history: &History<'_>, node: u32, then: u32) -> f64 {
    let under = under(history.last().heap, &[node]);
    let n_kept = (0..under.len() as u32)
        .filter(|at| under[*at as usize])
        .filter(|at| history.in_snap(0, *at).is_some_and(|old| old != NO_NODE))
        .count();
    let n_before = f64::from(history.snaps[0].sizes.count[then as usize]).max(1.0);
    (1.0 - n_kept as f64 / n_before).max(0.0)
}
