//! Retained sizes: the bytes of all blocks that go when an object goes.

use heapray_capture::HeapTables;
use heapray_wire::NO_NODE;

/// Bytes of the blocks of each node and all that it dominates. `order` has dominators first.
pub(crate) fn retained(tables: &HeapTables, idom: &[u32], order: &[u32]) -> Vec<u64> {
    let mut retained: Vec<u64> = tables.block_bytes.iter().map(|bytes| u64::from(*bytes)).collect();
    for &(node, _, block) in &tables.large {
        if let Some(slot) = retained.get_mut(node as usize).filter(|slot| **slot == u64::from(u32::MAX)) {
            *slot = block;
        }
    }
    for &node in order.iter().rev() {
        let above = idom[node as usize];
        if above != NO_NODE {
            retained[above as usize] += retained[node as usize];
        }
    }
    retained
}
