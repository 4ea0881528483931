//! One best way from the roots to every node: the tree of trails.
//!
//! Shortest paths by the cost of names (Dial's buckets), not by number of edges: `app.cache` beats a shorter way
//! through a frame's globals. The cost of a node is above that of every node on its way, so the order in which
//! nodes settle has dominators and parents first.

use std::ops::Range;

use heapray_capture::HeapTables;
use heapray_wire::NO_NODE;

use crate::garbage;
use crate::graph::Graph;
use crate::roots::Roots;
use crate::shapes::COST_MAX;

const RING: usize = COST_MAX as usize + 1;

/// The tree of trails: parents, costs, order.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// The node before on the trail; [`NO_NODE`] at roots.
    pub(crate) parent: Vec<u32>,
    /// Cost of the trail; rising from region to region.
    pub(crate) cost: Vec<u32>,
    /// All nodes; parents and dominators before those below them.
    pub(crate) order: Vec<u32>,
    /// Costs from here on are of the lost part.
    pub(crate) lost_from: u32,
    /// Costs from here on are garbage.
    pub(crate) garbage_from: u32,
}

impl Tree {
    /// Settles the live part, then what only lost objects hold, then garbage by its heads, which are answered too.
    pub(crate) fn grow(tables: &HeapTables, graph: &Graph, roots: &Roots) -> (Tree, Vec<u32>) {
        let n_nodes = tables.n_nodes() as usize;
        let mut tree = Tree {
            parent: vec![NO_NODE; n_nodes],
            cost: vec![u32::MAX; n_nodes],
            order: Vec::with_capacity(n_nodes),
            lost_from: 0,
            garbage_from: 0,
        };
        tree.lost_from = tree.settle(tables, graph, roots.live.iter().copied(), 0);
        tree.garbage_from =
            tree.settle(tables, graph, roots.lost.iter().map(|node| (*node, 0)), tree.lost_from);
        let heads = garbage::heads(tables, graph, |node| tree.cost[node as usize] == u32::MAX);
        tree.settle(tables, graph, heads.iter().map(|node| (*node, 0)), tree.garbage_from);
        (tree, heads)
    }

    /// Where in `order` the live part, what only lost objects hold, and garbage stand.
    pub(crate) fn regions(&self) -> [Range<u32>; 3] {
        let before = |cost| self.order.partition_point(|node| self.cost[*node as usize] < cost) as u32;
        let (lost, garbage) = (before(self.lost_from), before(self.garbage_from));
        [0..lost, lost..garbage, garbage..self.order.len() as u32]
    }

    /// Settles all that the starts reach at costs from `base` on; answers a cost above all of them.
    fn settle(
        &mut self,
        tables: &HeapTables,
        graph: &Graph,
        starts: impl Iterator<Item = (u32, u8)>,
        base: u32,
    ) -> u32 {
        let mut ring: [Vec<u32>; RING] = Default::default();
        let mut pending = 0usize;
        for (node, cost) in starts {
            let cost = base + u32::from(cost);
            if self.cost[node as usize] > cost {
                self.cost[node as usize] = cost;
                ring[cost as usize % RING].push(node);
                pending += 1;
            }
        }
        let mut now = base;
        while pending > 0 {
            let bucket = std::mem::take(&mut ring[now as usize % RING]);
            pending -= bucket.len();
            for &node in &bucket {
                if self.cost[node as usize] != now {
                    continue;
                }
                self.order.push(node);
                graph.shapes.for_each(tables, node, |target, cost| {
                    let reached = now + u32::from(cost);
                    if reached < self.cost[target as usize] {
                        self.cost[target as usize] = reached;
                        self.parent[target as usize] = node;
                        ring[reached as usize % RING].push(target);
                        pending += 1;
                    }
                });
            }
            now += 1;
        }
        now
    }
}
