//! Immediate dominators by Semi-NCA (Georgiadis, Tarjan, Werneck: Finding Dominators in Practice, 2006): near linear
//! whatever the graph, for those that sweeps do not settle soon.
//!
//! Three regions with a virtual root each: the live heap, what only lost objects hold, and garbage. An edge from a
//! later region to an earlier one counts for nothing: garbage does not share in what lives. No recursion.

use heapray_capture::HeapTables;
use heapray_wire::{NO_NODE, NodeFlags};

use crate::graph::Graph;

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

/// Dominators of all nodes by the starts of each region; [`NO_NODE`] where only the virtual root is. 28 bytes a node
/// while it runs.
pub(crate) fn dominators(tables: &HeapTables, graph: &Graph, starts: &[Vec<u32>; 3]) -> Vec<u32> {
    let n_nodes = tables.n_nodes() as usize;
    let mut numbering = Numbering {
        number: vec![0; n_nodes],
        node: Vec::with_capacity(n_nodes + 3),
        parent: Vec::with_capacity(n_nodes + 3),
        bounds: [0; 4],
        leaves: Leaves::new(tables, graph),
    };
    for (region, starts) in starts.iter().enumerate() {
        numbering.region(tables, graph, region, starts);
    }
    numbering.bounds[3] = numbering.node.len() as u32;
    semi_nca(graph, numbering, starts)
}

impl Numbering {
    /// Numbers a virtual root and all unvisited nodes that `starts` reach.
    fn region(&mut self, tables: &HeapTables, graph: &Graph, region: usize, starts: &[u32]) {
        let root = self.visit_root();
        self.bounds[region] = root;
        let mut cursors = Vec::new();
        for &start in starts {
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
