//! Where garbage begins: one node of each part of it that no other garbage refers to.

use heapray_capture::HeapTables;
use heapray_wire::TypeKind;

use crate::graph::Graph;
use crate::roots;

/// What is searched, and what has been reached.
struct Search<'a> {
    tables: &'a HeapTables,
    graph: &'a Graph,
    seen: Vec<u64>,
    todo: Vec<u32>,
}

/// A smallest set of nodes of `garbage` that reach all of it, rising: the starts of a first search, tried again
/// backwards, of which each not yet reached is in a part that nothing else refers to. Instances are preferred.
///
/// # Cost
/// O(nodes), and twice the garbage's edges.
pub(crate) fn heads(tables: &HeapTables, graph: &Graph, is_garbage: impl Fn(u32) -> bool) -> Vec<u32> {
    let candidates: Vec<u32> = (0..tables.n_nodes()).filter(|node| is_garbage(*node)).collect();
    if candidates.is_empty() {
        return Vec::new();
    }
    let mut search =
        Search { tables, graph, seen: vec![0; tables.n_nodes() as usize / 64 + 1], todo: Vec::new() };
    let is_instance = |node: &u32| matches!(roots::kind(tables, *node), TypeKind::Instance | TypeKind::Other);
    let (instances, others): (Vec<u32>, Vec<u32>) = candidates.iter().partition(|node| is_instance(node));
    let starts: Vec<u32> =
        instances.into_iter().chain(others).filter(|node| search.reach(*node, &is_garbage)).collect();
    search.seen.fill(0);
    let mut heads: Vec<u32> =
        starts.into_iter().rev().filter(|node| search.reach(*node, &is_garbage)).collect();
    heads.sort_unstable();
    heads
}

impl Search<'_> {
    /// Reaches all garbage below a node; `false` where it was reached before.
    fn reach(&mut self, start: u32, is_garbage: &impl Fn(u32) -> bool) -> bool {
        if !see(&mut self.seen, start) {
            return false;
        }
        self.todo.push(start);
        while let Some(node) = self.todo.pop() {
            let (seen, todo) = (&mut self.seen, &mut self.todo);
            self.graph.for_each_held(self.tables, node, |target| {
                if is_garbage(target) && see(seen, target) {
                    todo.push(target);
                }
            });
        }
        true
    }
}

/// Marks a node; `false` where it was marked before.
fn see(seen: &mut [u64], node: u32) -> bool {
    let (word, bit) = (&mut seen[node as usize / 64], 1 << (node % 64));
    let is_new = *word & bit == 0;
    *word |= bit;
    is_new
}
