//! Immediate dominators: by sweeps over the tree of trails, by Semi-NCA where those do not end soon.
//!
//! Sweeps (Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm, 2001) take each node's dominator as the nearest
//! common ancestor of its holders, until none changes. In the order of the trails (breadth first, near that of the
//! addresses) two or three do for the heaps of programs, and memory is read in order, where a depth-first numbering jumps.
//! Their steps are counted: a graph that needs too many is left to [`crate::semi_nca`], near linear for any graph.

use std::ops::Range;

use heapray_capture::HeapTables;
use heapray_wire::NO_NODE;

use crate::graph::Graph;
use crate::semi_nca;
use crate::tree::Tree;

/// Steps for each node and edge after which sweeps are given up: about the cost of Semi-NCA.
const STEPS_MAX: u64 = 6;
/// A dominator that is not known yet.
const UNSET: u32 = u32::MAX;

/// Dominators of all nodes by the starts of each region (live, lost, garbage); [`NO_NODE`] where only the roots are above.
/// An edge from a later region to an earlier one counts for nothing: garbage does not share in what lives.
///
/// # Cost
/// O(nodes + edges) on real heaps, with at most 12 bytes a node while it runs, 28 where it takes Semi-NCA.
pub(crate) fn dominators(
    tables: &HeapTables,
    graph: &Graph,
    tree: &Tree,
    starts: &[Vec<u32>; 3],
) -> Vec<u32> {
    let n_steps = (u64::from(tables.n_nodes()) + graph.n_edges() as u64) * STEPS_MAX;
    by_sweeps(graph, tree, starts, n_steps).unwrap_or_else(|| semi_nca::dominators(tables, graph, starts))
}

/// Dominators by sweeps; `None` where they need more than `n_steps`.
fn by_sweeps(graph: &Graph, tree: &Tree, starts: &[Vec<u32>; 3], n_steps: u64) -> Option<Vec<u32>> {
    let mut sweeps = Sweeps::new(graph, tree, n_steps);
    for (region, starts) in tree.regions().into_iter().zip(starts) {
        sweeps.settle(region.start + 1..region.end + 1, starts)?;
    }
    Some(sweeps.by_node())
}

/// Ranks count from 1 in the order of the tree; 0 is the root above all roots.
struct Sweeps<'a> {
    graph: &'a Graph,
    order: &'a [u32],
    /// Rank of each node.
    rank: Vec<u32>,
    /// Dominator of each rank, by rank.
    idom: Vec<u32>,
    /// Steps that are left.
    n_steps: u64,
}

impl<'a> Sweeps<'a> {
    fn new(graph: &'a Graph, tree: &'a Tree, n_steps: u64) -> Sweeps<'a> {
        let order = &tree.order[..];
        let mut rank = vec![0; order.len()];
        for (at, &node) in (1..).zip(order) {
            rank[node as usize] = at;
        }
        let mut idom = vec![UNSET; order.len() + 1];
        idom[0] = 0;
        Sweeps { graph, order, rank, idom, n_steps }
    }

    /// Sweeps over the ranks of a region until nothing changes. A start that an earlier region reaches is none.
    fn settle(&mut self, region: Range<u32>, starts: &[u32]) -> Option<()> {
        for at in starts.iter().map(|start| self.rank[*start as usize]).filter(|at| region.contains(at)) {
            self.idom[at as usize] = 0;
        }
        let mut open = Vec::new();
        let mut is_final = true;
        for at in region.clone() {
            let (_, all_known) = self.revise(at, region.end)?;
            is_final &= all_known;
            if self.idom[at as usize] != 0 && self.holders(at).len() > 1 {
                open.push(at);
            }
        }
        while !is_final {
            is_final = true;
            for &at in &open {
                let (changed, _) = self.revise(at, region.end)?;
                is_final &= !changed;
            }
        }
        Some(())
    }

    fn holders(&self, at: u32) -> &'a [u32] {
        self.graph.holders(self.order[at as usize - 1])
    }

    /// Computes one dominator from those of the holders, as far as they are known: whether it changed, and whether they
    /// all were. `None` when the steps are used up.
    #[inline]
    fn revise(&mut self, at: u32, end: u32) -> Option<(bool, bool)> {
        let old = self.idom[at as usize];
        if old == 0 {
            return Some((false, true));
        }
        let holders = self.holders(at);
        let (mut new, mut all_known) = (UNSET, true);
        let mut n_steps = holders.len() as u64;
        for &holder in holders {
            let from = self.rank[holder as usize];
            if from >= end {
                continue;
            }
            if self.idom[from as usize] == UNSET {
                all_known = false;
            } else if new == UNSET {
                new = from;
            } else {
                let (common, n) = self.common(new, from);
                (new, n_steps) = (common, n_steps + n);
            }
            if new == 0 {
                all_known = true;
                break;
            }
        }
        self.n_steps = self.n_steps.checked_sub(n_steps)?;
        self.idom[at as usize] = new;
        Some((new != old, all_known))
    }

    /// The nearest that is above both, or one of them, and the number of steps to it.
    #[inline]
    fn common(&self, mut a: u32, mut b: u32) -> (u32, u64) {
        let mut n_steps = 0;
        while a != b {
            let lower = if a > b { &mut a } else { &mut b };
            *lower = self.idom[*lower as usize];
            n_steps += 1;
        }
        (a, n_steps)
    }

    fn by_node(self) -> Vec<u32> {
        let mut by_node = self.rank;
        for (at, &node) in (1usize..).zip(self.order) {
            by_node[node as usize] = match self.idom[at] {
                0 => NO_NODE,
                above => self.order[above as usize - 1],
            };
        }
        by_node
    }
}

#[cfg(test)]
mod tests {
    use heapray_wire::{NO_NODE, NodeFlags, TypeKind};

    use super::by_sweeps;
    use crate::roots::Roots;
    use crate::synthetic::{Builder, Dice};
    use crate::{Heap, Region};

    /// Which nodes the starts reach when `without` is taken out, by the plainest search.
    fn reach(heap: &Heap, starts: &[u32], without: u32, banned: &[bool]) -> Vec<bool> {
        let mut seen = vec![false; heap.n_nodes() as usize];
        let mut todo: Vec<u32> = starts.to_vec();
        while let Some(node) = todo.pop() {
            if node == without || banned[node as usize] || seen[node as usize] {
                continue;
            }
            seen[node as usize] = true;
            heap.graph().for_each_held(heap.tables(), node, |target| todo.push(target));
        }
        seen
    }

    /// The quadratic reference: a dominator of `b` is a node without which `b` is not reached.
    fn reference(heap: &Heap, starts: &[u32], banned: &[bool]) -> Vec<Vec<u32>> {
        let n = heap.n_nodes();
        let all = reach(heap, starts, NO_NODE, banned);
        let mut dominators = vec![Vec::new(); n as usize];
        for a in 0..n {
            let rest = reach(heap, starts, a, banned);
            for b in 0..n {
                if b != a && all[b as usize] && !rest[b as usize] {
                    dominators[b as usize].push(a);
                }
            }
        }
        dominators
    }

    fn random_heap(seed: u64) -> Heap {
        let mut dice = Dice::new(seed);
        let n = 2 + dice.below(40) as u32;
        let mut builder = Builder::new();
        for _ in 0..n {
            builder.object("list", TypeKind::List);
        }
        for _ in 0..dice.below(u64::from(n) * 3) {
            let (from, to) = (dice.below(u64::from(n)) as u32, dice.below(u64::from(n)) as u32);
            builder.push(from, to);
        }
        for _ in 0..1 + dice.below(3) {
            builder.flag(dice.below(u64::from(n)) as u32, NodeFlags::ROOT);
        }
        if dice.below(3) == 0 {
            builder.flag(dice.below(u64::from(n)) as u32, NodeFlags::ORPHAN);
        }
        Heap::load(builder.build())
    }

    fn nearest(dominators: &[Vec<u32>], node: u32) -> u32 {
        let own = &dominators[node as usize];
        own.iter().copied().max_by_key(|d| dominators[*d as usize].len()).unwrap_or(NO_NODE)
    }

    #[test]
    fn dominators_and_retained_equal_a_quadratic_reference() {
        for seed in 0..400 {
            let heap = random_heap(seed);
            let n = heap.n_nodes() as usize;
            let flag = |bit| move |node: &u32, heap: &Heap| heap.tables().flags[*node as usize].has(bit);
            let (is_root, is_lost) = (flag(NodeFlags::ROOT), flag(NodeFlags::ORPHAN));
            let nodes: Vec<u32> = (0..n as u32).collect();
            let live: Vec<u32> =
                nodes.iter().copied().filter(|v| is_root(v, &heap) && !is_lost(v, &heap)).collect();
            let lost: Vec<u32> = nodes.iter().copied().filter(|v| is_lost(v, &heap)).collect();
            let mut banned = vec![false; n];
            let regions = [
                (Region::Live, live),
                (Region::Lost, lost),
                (Region::Garbage, heap.garbage_heads().to_vec()),
            ];
            for (region, starts) in regions {
                let seen = reach(&heap, &starts, NO_NODE, &banned);
                let dominators = reference(&heap, &starts, &banned);
                for &node in nodes.iter().filter(|node| seen[**node as usize]) {
                    assert_eq!(heap.region(node), region, "seed {seed} node {node}");
                    let above = heap.dominator(node).unwrap_or(NO_NODE);
                    assert_eq!(above, nearest(&dominators, node), "seed {seed} node {node}");
                    let retained = 1 + dominators.iter().filter(|own| own.contains(&node)).count() as u64;
                    assert_eq!(heap.retained(node), retained * 64, "seed {seed} node {node}");
                }
                seen.iter().zip(&mut banned).for_each(|(seen, banned)| *banned |= seen);
            }
            assert!(banned.iter().all(|seen| *seen), "every node is in a region, seed {seed}");
            assert_eq!(heap.idom, by_semi_nca(&heap), "both ways, seed {seed}");
        }
    }

    #[test]
    fn sweeps_equal_semi_nca_on_larger_graphs() {
        let mut dice = Dice::new(7);
        let n = 3000u32;
        let mut builder = Builder::new();
        let nodes: Vec<u32> = (0..n).map(|_| builder.object("list", TypeKind::List)).collect();
        for &node in &nodes[1..] {
            builder.push(dice.below(u64::from(node)) as u32, node);
        }
        for _ in 0..n {
            builder.push(dice.below(u64::from(n)) as u32, dice.below(u64::from(n)) as u32);
        }
        builder.flag(0, NodeFlags::ROOT);
        let heap = Heap::load(builder.build());
        assert_eq!(heap.idom, by_semi_nca(&heap));
        let starts = [vec![0], Vec::new(), Vec::new()];
        assert_eq!(by_sweeps(heap.graph(), &heap.tree, &starts, u64::from(n)), None, "too few steps");
    }

    /// What sweeps that are given up leave to Semi-NCA, computed by it alone.
    fn by_semi_nca(heap: &Heap) -> Vec<u32> {
        let roots = Roots::new(heap.tables());
        let live = roots.live.iter().map(|(node, _)| *node).collect();
        let starts = [live, roots.lost, heap.garbage_heads().to_vec()];
        crate::semi_nca::dominators(heap.tables(), heap.graph(), &starts)
    }

    #[test]
    fn a_linked_list_of_a_million_is_ranked() {
        let mut builder = Builder::new();
        let n = 1_000_000;
        let head = builder.list(&[]);
        for node in 1..n {
            let next = builder.list(&[]);
            builder.push(node - 1, next);
            builder.push(next, node - 1);
        }
        builder.global("app", "head", head);
        let heap = Heap::load(builder.build());
        assert_eq!(heap.retained(head), u64::from(n) * 64);
        assert_eq!(heap.dominator(n - 1), Some(n - 2));
    }

    #[test]
    fn garbage_does_not_share_in_what_lives() {
        let mut builder = Builder::new();
        let config = builder.dict();
        builder.global("app", "config", config);
        let garbage = builder.instance("app.Node");
        builder.attribute(garbage, "me", garbage);
        builder.attribute(garbage, "config", config);
        let dict = builder.module("app");
        let heap = Heap::load(builder.build());
        assert_eq!(heap.dominator(config), Some(dict));
        assert_eq!(heap.region(garbage), Region::Garbage);
        assert_eq!(heap.retained(garbage), 64);
    }
}
