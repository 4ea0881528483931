//! Sums over the tree of trails of one snapshot: each object is under the one holder that its best trail names.
//!
//! The tree itself is `heap`'s; an object is in exactly one place of it, so sizes add up. Invariant: parents come
//! before children in the order that `heap` gives.

use heapray_capture::HeapTables;
use heapray_heap::{Heap, Region};
use heapray_wire::{NO_NODE, NodeFlags, TypeKind};

/// Sums of subtrees, by node id.
#[derive(Debug)]
pub(crate) struct Sizes {
    /// Bytes of a node and all nodes below it.
    pub(crate) bytes: Vec<u64>,
    /// Objects: a node and all below it, synthetic ones not counted.
    pub(crate) count: Vec<u32>,
    /// How many nodes of the heap's order are held by roots; they come first.
    pub(crate) n_held: usize,
}

impl Sizes {
    /// Adds up. O(nodes).
    pub(crate) fn new(heap: &Heap) -> Self {
        let tables = heap.tables();
        let mut bytes: Vec<u64> = (0..heap.n_nodes()).map(|node| weight(tables, node)).collect();
        let mut count: Vec<u32> = (0..heap.n_nodes()).map(|node| u32::from(heap.is_object(node))).collect();
        let mut n_held = 0;
        for &node in heap.order().iter().rev() {
            n_held += usize::from(heap.region(node) == Region::Live);
            if let Some(parent) = heap.trail_parent(node) {
                bytes[parent as usize] += bytes[node as usize];
                count[parent as usize] += count[node as usize];
            }
        }
        Sizes { bytes, count, n_held }
    }
}

/// The node above on the best trail, or [`NO_NODE`].
pub(crate) fn parent(heap: &Heap, node: u32) -> u32 {
    heap.trail_parent(node).unwrap_or(NO_NODE)
}

/// Which nodes are at or below one of `tops`.
pub(crate) fn under(heap: &Heap, tops: &[u32]) -> Vec<bool> {
    let mut under = vec![false; heap.n_nodes() as usize];
    for top in tops {
        under[*top as usize] = true;
    }
    for &node in heap.order() {
        if let Some(parent) = heap.trail_parent(node) {
            under[node as usize] |= under[parent as usize];
        }
    }
    under
}

/// Bytes that a node stands for: its blocks, or its size where it has none of its own. What an allocator spends far
/// beyond what was asked for is not the object's, see [`slack`].
pub(crate) fn weight(tables: &HeapTables, node: u32) -> u64 {
    let flags = tables.flags[node as usize];
    if flags.has(NodeFlags::STATIC) {
        return 0;
    }
    match tables.block(node) {
        0 if !flags.has(NodeFlags::SYNTHETIC) => tables.shallow(node),
        bytes => bytes - slack(tables, node),
    }
}

/// Bytes of a node's blocks far beyond its size, for types whose size is all they own: a page for a buffer that
/// was cut short.
pub(crate) fn slack(tables: &HeapTables, node: u32) -> u64 {
    let is_exact = matches!(
        kind(tables, node),
        TypeKind::List | TypeKind::Bytes | TypeKind::Str | TypeKind::Array | TypeKind::Tuple
    ) || tables.type_name(node) == "bytearray";
    let usual = tables.shallow(node) + tables.shallow(node) / 2 + 128;
    let is_spent = is_exact && !tables.flags[node as usize].has(NodeFlags::SYNTHETIC);
    if is_spent { tables.block(node).saturating_sub(usual) } else { 0 }
}

/// What the type of a node is to a reader.
pub(crate) fn kind(tables: &HeapTables, node: u32) -> TypeKind {
    tables.types[tables.type_of(node) as usize].kind
}
