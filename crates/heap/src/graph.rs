//! The retaining graph: forward edges as the tables have them, backward edges by counting sort.
//!
//! Weak and borrowed references are not in it. The edge from an object to its heap type is.

use heapray_capture::HeapTables;
use heapray_wire::NO_NODE;

use crate::shapes::Shapes;

/// Who holds whom. Forward edges stay in the tables; a copy of them would cost 8 bytes a node.
///
/// # Cost
/// 4 bytes a node and 4 an edge.
#[derive(Debug, Default)]
pub struct Graph {
    pub(crate) shapes: Shapes,
    /// `n + 1` offsets into `sources`.
    start: Vec<u32>,
    /// Holders of each node, rising.
    sources: Vec<u32>,
}

impl Graph {
    /// Builds the backward edges. O(nodes + edges).
    pub fn build(tables: &HeapTables) -> Graph {
        let shapes = Shapes::new(tables);
        let n_nodes = tables.n_nodes();
        let mut start = vec![0u32; n_nodes as usize + 1];
        let mut of_type = vec![0u32; shapes.rows.len()];
        for node in 0..n_nodes {
            let row = &shapes.rows[tables.shape[node as usize] as usize];
            of_type[tables.shape[node as usize] as usize] += u32::from(row.type_node != NO_NODE);
            let targets = tables.targets(node);
            if row.all_held {
                for &target in targets.iter().filter(|target| **target < n_nodes) {
                    start[target as usize] += 1;
                }
            } else {
                for (i, &target) in targets.iter().enumerate() {
                    start[target.min(n_nodes) as usize] += u32::from(shapes.holds(row, i as u32));
                }
            }
        }
        for (row, count) in shapes.rows.iter().zip(&of_type).filter(|(row, _)| row.type_node != NO_NODE) {
            start[row.type_node as usize] += count;
        }
        let mut sum = 0;
        for slot in &mut start[..n_nodes as usize] {
            sum += *slot;
            *slot = sum;
        }
        start[n_nodes as usize] = sum;
        let mut sources = vec![0u32; sum as usize];
        for node in (0..n_nodes).rev() {
            shapes.for_each(tables, node, |target, _| {
                let slot = &mut start[target as usize];
                *slot -= 1;
                sources[*slot as usize] = node;
            });
        }
        Graph { shapes, start, sources }
    }

    /// Nodes that hold `node`, rising; one that holds it twice is there twice.
    #[inline]
    pub fn holders(&self, node: u32) -> &[u32] {
        &self.sources[self.start[node as usize] as usize..self.start[node as usize + 1] as usize]
    }

    /// Number of retaining edges, those to types included.
    pub fn n_edges(&self) -> usize {
        self.sources.len()
    }

    /// Calls `f` with each target that `node` holds, its type last; one that it holds twice comes twice.
    #[inline]
    pub fn for_each_held(&self, tables: &HeapTables, node: u32, mut f: impl FnMut(u32)) {
        self.shapes.for_each(tables, node, |target, _| f(target));
    }
}
