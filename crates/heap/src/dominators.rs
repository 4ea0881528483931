//! Immediate dominators by Semi-NCA (Georgiadis, Tarjan, Werneck: Finding Dominators in Practice, 2006).
//!
//! Three regions with a virtual root each: the live heap, what only lost objects hold, and garbage. An edge from a
//! later region to an earlier one counts for nothing: garbage does not share in what lives. No recursion.

use heapray_capture::HeapTables;
use heapray_wire::{NO_NODE, NodeFlags};

use crate::PhaseSink;
use crate::graph::Graph;
use crate::roots::Roots;

/// Immediate dominators, and where garbage begins.
#[derive(Debug, Default)]
pub(crate) struct Dominators {
    /// Immediate dominator of each node; [`NO_NODE`] where only the virtual root is.
    pub(crate) idom: Vec<u32>,
    /// One node of each part of the garbage that no other garbage refers to.
    pub(crate) garbage_heads: Vec<u32>,
}

/// Leaves that one object holds once: it dominates them, no search needs to see them. Half of a real heap.
struct Leaves(Vec<u64>);

impl Leaves {
    fn new(tables: &HeapTables, graph: &Graph) -> Leaves {
        let mut bits = vec![0u64; tables.n_nodes() as usize / 64 + 1];
        let roots = NodeFlags::ROOT | NodeFlags::ORPHAN;
        for node in 0..tables.n_nodes() {
            let is_leaf = tables.targets(node).is_empty()
                && tables.flags[node as usize].0 & roots == 0
                && graph.holders(node).len() == 1
                && graph.shapes.rows[tables.shape[node as usize] as usize].type_node == NO_NODE;
            bits[node as usize / 64] |= u64::from(is_leaf) << (node % 64);
        }
        Leaves(bits)
    }

    #[inline]
    fn has(&self, node: u32) -> bool {
        self.0[node as usize / 64] >> (node % 64) & 1 == 1
    }
}

/// Depth-first numbers. Number 0 and the two later entries of `bounds` are virtual roots.
struct Numbering {
    /// Number of each node; 0: not visited.
    number: Vec<u32>,
    /// Node of each number.
    node: Vec<u32>,
    /// Number of the tree parent of each number.
    parent: Vec<u32>,
    /// Numbers of the three virtual roots and one past the last number.
    bounds: [u32; 4],
    /// Nodes that get no number.
    leaves: Leaves,
}

impl Dominators {
    /// Dominators of all nodes. Near O(nodes + edges) on real heaps; 28 bytes a node while it runs.
    pub(crate) fn new(tables: &HeapTables, graph: &Graph, roots: &Roots, phase: PhaseSink<'_>) -> Dominators {
        phase("numbering");
        let n_nodes = tables.n_nodes() as usize;
        let mut numbering = Numbering {
            number: vec![0; n_nodes],
            node: Vec::with_capacity(n_nodes + 3),
            parent: Vec::with_capacity(n_nodes + 3),
            bounds: [0; 4],
            leaves: Leaves::new(tables, graph),
        };
        numbering.region(tables, graph, 0, roots.live.iter().map(|(node, _)| *node));
        numbering.region(tables, graph, 1, roots.lost.iter().copied());
        let garbage_heads = numbering.garbage_heads(tables, graph);
        numbering.region(tables, graph, 2, garbage_heads.iter().copied());
        numbering.bounds[3] = numbering.node.len() as u32;
        let starts = [
            roots.live.iter().map(|(node, _)| *node).collect::<Vec<_>>(),
            roots.lost.clone(),
            garbage_heads.clone(),
        ];
        phase("dominators");
        let idom = semi_nca(graph, numbering, &starts);
        Dominators { idom, garbage_heads }
    }
}

impl Numbering {
    /// Numbers a virtual root and all unvisited nodes that `starts` reach.
    fn region(
        &mut self,
        tables: &HeapTables,
        graph: &Graph,
        region: usize,
        starts: impl Iterator<Item = u32>,
    ) {
        let root = self.visit_root();
        self.bounds[region] = root;
        let mut cursors = Vec::new();
        for start in starts {
            if self.number[start as usize] == 0 {
                self.descend(tables, graph, (start, root), &mut cursors);
            }
        }
    }

    fn visit_root(&mut self) -> u32 {
        self.node.push(NO_NODE);
        self.parent.push(0);
        self.node.len() as u32 - 1
    }

    /// Depth-first search from one start; the stack is a cursor for each number on the way down.
    fn descend(
        &mut self,
        tables: &HeapTables,
        graph: &Graph,
        (start, parent): (u32, u32),
        cursors: &mut Vec<u32>,
    ) {
        let n_nodes = tables.n_nodes();
        let mut current = self.visit(start, parent);
        let (mut node, mut cursor) = (start, 0u32);
        loop {
            let row = &graph.shapes.rows[tables.shape[node as usize] as usize];
            let targets = tables.targets(node);
            let mut next = NO_NODE;
            while (cursor as usize) < targets.len() {
                let target = targets[cursor as usize];
                cursor += 1;
                if target < n_nodes
                    && !self.leaves.has(target)
                    && self.number[target as usize] == 0
                    && graph.shapes.holds(row, cursor - 1)
                {
                    next = target;
                    break;
                }
            }
            if next == NO_NODE && cursor as usize == targets.len() {
                cursor += 1;
                if row.type_node != NO_NODE && self.number[row.type_node as usize] == 0 {
                    next = row.type_node;
                }
            }
            if next != NO_NODE {
                cursors.push(cursor);
                current = self.visit(next, current);
                (node, cursor) = (next, 0);
                continue;
            }
            current = self.parent[current as usize];
            match cursors.pop() {
                Some(above) => (node, cursor) = (self.node[current as usize], above),
                None => return,
            }
        }
    }

    #[inline]
    fn visit(&mut self, node: u32, parent: u32) -> u32 {
        let number = self.node.len() as u32;
        self.number[node as usize] = number;
        self.node.push(node);
        self.parent.push(parent);
        number
    }

    /// A smallest set of unvisited nodes that reach all unvisited ones: the starts of a first search, tried again
    /// backwards, of which each not yet reached is in a part that nothing else refers to. Leaves no trace.
    fn garbage_heads(&mut self, tables: &HeapTables, graph: &Graph) -> Vec<u32> {
        let done = self.node.len();
        let is_unseen = |node: &u32| self.number[*node as usize] == 0 && !self.leaves.has(*node);
        let candidates: Vec<u32> = (0..tables.n_nodes()).filter(is_unseen).collect();
        let mut cursors = Vec::new();
        let mut starts = Vec::new();
        for is_instance in [true, false] {
            for &node in &candidates {
                let kind = crate::roots::kind(tables, node);
                let instance =
                    matches!(kind, heapray_wire::TypeKind::Instance | heapray_wire::TypeKind::Other);
                if instance == is_instance && self.number[node as usize] == 0 {
                    starts.push(node);
                    self.descend(tables, graph, (node, 0), &mut cursors);
                }
            }
        }
        self.forget(done);
        let mut heads = Vec::new();
        for &node in starts.iter().rev() {
            if self.number[node as usize] == 0 {
                heads.push(node);
                self.descend(tables, graph, (node, 0), &mut cursors);
            }
        }
        self.forget(done);
        heads.sort_unstable();
        heads
    }

    fn forget(&mut self, done: usize) {
        for &node in &self.node[done..] {
            self.number[node as usize] = 0;
        }
        self.node.truncate(done);
        self.parent.truncate(done);
    }
}

/// The forest that `eval` compresses: for each number its ancestor, and the least semidominator on the way to it.
struct Forest {
    link: Vec<(u32, u32)>,
    path: Vec<u32>,
}

impl Forest {
    /// The least semidominator from `number` up to, not including, the first ancestor below `linked`.
    #[inline]
    fn eval(&mut self, number: u32, linked: u32) -> u32 {
        let (ancestor, least) = self.link[number as usize];
        if ancestor < linked {
            return least;
        }
        self.compress(number, linked)
    }

    fn compress(&mut self, number: u32, linked: u32) -> u32 {
        let mut at = number;
        while self.link[at as usize].0 >= linked {
            self.path.push(at);
            at = self.link[at as usize].0;
        }
        let (top, mut least) = self.link[at as usize];
        while let Some(below) = self.path.pop() {
            let link = &mut self.link[below as usize];
            least = least.min(link.1);
            *link = (top, least);
        }
        least
    }
}

/// Semidominators from the last number to the first, then nearest common ancestors from the first to the last.
fn semi_nca(graph: &Graph, numbering: Numbering, starts: &[Vec<u32>; 3]) -> Vec<u32> {
    let Numbering { number, node, parent, bounds, leaves } = numbering;
    let mut semi = parent.clone();
    for (region, starts) in starts.iter().enumerate() {
        for &start in starts {
            let at = number[start as usize];
            if at >= bounds[region] && at < bounds[region + 1] {
                semi[at as usize] = bounds[region];
            }
        }
    }
    let mut forest =
        Forest { link: parent.iter().zip(&semi).map(|(p, s)| (*p, *s)).collect(), path: Vec::new() };
    for region in (0..3).rev() {
        let (first, end) = (bounds[region] + 1, bounds[region + 1]);
        for at in (first..end).rev() {
            let mut least = semi[at as usize];
            let holders = graph.holders(node[at as usize]);
            // Its one holder is its parent.
            let holders = if holders.len() == 1 { &[] } else { holders };
            for &holder in holders {
                let from = number[holder as usize];
                if from < end {
                    least = least.min(if from < at { from } else { forest.eval(from, at + 1) });
                }
                if least == bounds[region] {
                    break;
                }
            }
            semi[at as usize] = least;
            forest.link[at as usize].1 = least;
        }
    }
    drop(forest);
    let n_nodes = number.len();
    drop(number);
    let mut idom = nearest_common_ancestors(n_nodes, &node, (parent, &semi), &bounds);
    for node in (0..n_nodes as u32).filter(|node| leaves.has(*node)) {
        idom[node as usize] = graph.holders(node)[0];
    }
    idom
}

fn nearest_common_ancestors(
    n_nodes: usize,
    node: &[u32],
    (mut idom, semi): (Vec<u32>, &[u32]),
    bounds: &[u32; 4],
) -> Vec<u32> {
    let mut by_node = vec![NO_NODE; n_nodes];
    for at in 0..node.len() as u32 {
        if bounds.contains(&at) {
            continue;
        }
        let mut above = idom[at as usize];
        while above > semi[at as usize] {
            above = idom[above as usize];
        }
        idom[at as usize] = above;
        by_node[node[at as usize] as usize] = node[above as usize];
    }
    by_node
}

#[cfg(test)]
mod tests {
    use heapray_wire::{NO_NODE, NodeFlags, TypeKind};

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
        }
    }

    #[test]
    fn dominators_equal_iterative_sweeps_on_larger_graphs() {
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
        let expected = sweeps(&heap);
        assert_eq!(heap.idom[1..], expected[1..]);
    }

    /// Cooper, Harvey and Kennedy over a single root 0, with the order of the trail tree.
    fn sweeps(heap: &Heap) -> Vec<u32> {
        let n = heap.n_nodes() as usize;
        let mut rank = vec![0; n];
        heap.order().iter().enumerate().for_each(|(at, node)| rank[*node as usize] = at);
        let mut idom = vec![NO_NODE; n];
        idom[0] = 0;
        loop {
            let mut changed = false;
            for &node in heap.order().iter().filter(|node| **node != 0) {
                let holders = heap.graph().holders(node).iter().copied();
                let new =
                    holders.filter(|holder| idom[*holder as usize] != NO_NODE).reduce(|mut a, mut b| {
                        while a != b {
                            if rank[a as usize] > rank[b as usize] {
                                a = idom[a as usize];
                            } else {
                                b = idom[b as usize];
                            }
                        }
                        a
                    });
                let new = new.unwrap_or(NO_NODE);
                changed |= idom[node as usize] != new;
                idom[node as usize] = new;
            }
            if !changed {
                return idom;
            }
        }
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
