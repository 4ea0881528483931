//! `tree`: who called whom until memory was allocated.

use super::rows::{estimate, part, whole};
use super::{Allocations, Names, What};
use crate::answer::{TreeAnswer, TreeRow};
use heapray_profile::{Amount, Detail};

/// Where the tree ends.
#[derive(Clone, Copy, Debug)]
pub struct TreeCut {
    /// Part of all below which a place is not listed, 0 to 1.
    pub part_min: f64,
    /// Callers above a place at most.
    pub depth_max: u32,
    /// Lines or functions.
    pub detail: Detail,
}

/// The tree while it is listed.
struct Walk<'a> {
    names: &'a Names,
    totals: Vec<Amount>,
    own: Vec<f64>,
    children: Vec<Vec<u32>>,
    all: f64,
    cut: TreeCut,
}

impl Allocations {
    /// The tree of calls.
    pub fn tree(&self, what: What, cut: TreeCut) -> TreeAnswer {
        let (sites, _) = self.weighed(what);
        let names = self.names(cut.detail);
        let (own, unknown) = names.tree.own(&sites);
        let weights: Vec<Amount> = own.iter().map(|figures| what.of(figures)).collect();
        let unknown = what.of(&unknown);
        let shrunk: f64 = weights.iter().chain([&unknown]).map(|amount| amount.bytes.min(0.0)).sum();
        let mut totals: Vec<Amount> = weights.iter().map(|amount| grown(*amount)).collect();
        let own: Vec<f64> = totals.iter().map(|amount| amount.bytes).collect();
        let mut children = vec![Vec::new(); totals.len()];
        for node in (0..totals.len()).rev() {
            if let Some(parent) = names.tree.nodes[node].parent {
                let amount = totals[node];
                totals[parent as usize] += amount;
                children[parent as usize].push(node as u32);
            }
        }
        let unknown = grown(unknown);
        let roots: Vec<u32> = (0..totals.len() as u32)
            .filter(|node| names.tree.nodes[*node as usize].parent.is_none())
            .collect();
        let mut all = unknown;
        for root in &roots {
            all += totals[*root as usize];
        }
        let walk = Walk { names: &names, totals, own, children, all: all.bytes, cut };
        let rows = self.listed(&walk, roots);
        TreeAnswer {
            recording: self.weighed_of(what, all.n_records),
            what: what.name().to_owned(),
            total: estimate(all),
            unknown: estimate(unknown),
            shrunk_bytes: whole(shrunk),
            rows,
        }
    }

    /// Lists the tree from its roots, the largest first, callers before what they called.
    fn listed(&self, walk: &Walk<'_>, roots: Vec<u32>) -> Vec<TreeRow> {
        let mut rows: Vec<TreeRow> = Vec::new();
        // The number of a node, and the row of its caller.
        let mut pending: Vec<(u32, Option<u32>)> = Vec::new();
        let (shown, _) = self.split(walk, roots, 0);
        pending.extend(shown.into_iter().rev().map(|node| (node, None)));
        while let Some((node, parent)) = pending.pop() {
            let depth = parent.map_or(0, |parent| rows[parent as usize].depth + 1);
            let (shown, hidden) = self.split(walk, walk.children[node as usize].clone(), depth + 1);
            let total = walk.totals[node as usize];
            let hidden_bytes: f64 = hidden.iter().map(|node| walk.totals[*node as usize].bytes).sum();
            let at = rows.len() as u32;
            rows.push(TreeRow {
                place: self.place(walk.names.places.get(walk.names.tree.nodes[node as usize].place)),
                parent,
                depth,
                total: estimate(total),
                own_bytes: whole(walk.own[node as usize]),
                share: part(total.bytes, walk.all),
                n_hidden: hidden.len() as u64,
                hidden_bytes: whole(hidden_bytes),
            });
            pending.extend(shown.into_iter().rev().map(|node| (node, Some(at))));
        }
        rows
    }

    /// Siblings to list, the largest first, and those to leave out.
    fn split(&self, walk: &Walk<'_>, mut nodes: Vec<u32>, depth: u32) -> (Vec<u32>, Vec<u32>) {
        nodes.retain(|node| walk.totals[*node as usize].bytes >= 0.5);
        let name =
            |node: &u32| self.place(walk.names.places.get(walk.names.tree.nodes[*node as usize].place));
        nodes.sort_by(|a, b| {
            let (total_a, total_b) = (walk.totals[*a as usize].bytes, walk.totals[*b as usize].bytes);
            total_b.total_cmp(&total_a).then_with(|| name(a).cmp(&name(b)))
        });
        let is_shown = |node: &u32| {
            depth <= walk.cut.depth_max && walk.totals[*node as usize].bytes >= walk.cut.part_min * walk.all
        };
        nodes.into_iter().partition(is_shown)
    }
}

/// What is there, or grew; nothing of what shrank. Blocks may be empty: these are told by their number.
pub(super) fn grown(amount: Amount) -> Amount {
    let is_there = amount.bytes > 0.0 || (amount.bytes == 0.0 && amount.count > 0.0);
    if is_there { amount } else { Amount::default() }
}

/// Whether there is less than before; what rounds to nothing did not shrink.
pub(super) fn has_shrunk(amount: Amount) -> bool {
    amount.bytes <= -0.5 || (amount.bytes < 0.5 && amount.count <= -0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapray_profile::Figures;

    #[test]
    fn what_shrank_is_no_weight() {
        let shrunk = Amount { bytes: -3.0, count: -1.0, ..Amount::default() };
        assert_eq!(grown(shrunk), Amount::default());
        let empty = Amount { count: 1.0, ..Amount::default() };
        assert_eq!(grown(empty), empty);
        assert_eq!(grown(-empty), Amount::default());
        assert!(has_shrunk(shrunk) && has_shrunk(-empty) && !has_shrunk(empty));
        assert!(!has_shrunk(Amount { bytes: -1e-9, ..Amount::default() }));
        assert_eq!(What::Growth.of(&Figures { died: shrunk, ..Figures::default() }).bytes, 3.0);
    }
}
