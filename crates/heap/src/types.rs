//! Objects by type.

use std::collections::HashMap;

use heapray_wire::{NO_NODE, NodeFlags};

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
/// O(nodes), 8 bytes a node while it runs.
pub fn types(heap: &Heap, order: TypeOrder) -> Vec<TypeUsage> {
    let tables = heap.tables();
    let (row_of_type, mut rows) = rows_by_name(heap);
    for node in (0..heap.n_nodes()).filter(|node| heap.is_object(*node)) {
        let is_tracked = tables.flags[node as usize].has(NodeFlags::TRACKED);
        if order == TypeOrder::Objgraph && !is_tracked {
            continue;
        }
        let row = &mut rows[row_of_type[tables.type_of(node) as usize] as usize];
        row.count += 1;
        row.tracked += u64::from(is_tracked);
        row.shallow_bytes += tables.shallow(node);
        row.block_bytes += tables.block(node);
    }
    add_retained(heap, &row_of_type, &mut rows);
    rows.retain(|row| row.count > 0);
    let key = |row: &TypeUsage| match order {
        TypeOrder::Bytes => row.block_bytes,
        TypeOrder::Retained => row.retained_bytes,
        TypeOrder::Count | TypeOrder::Objgraph => row.count,
    };
    rows.sort_by(|a, b| key(b).cmp(&key(a)).then_with(|| a.name.cmp(&b.name)));
    rows
}

/// One empty row for each name, and the row of each type: types of the same name share one.
fn rows_by_name(heap: &Heap) -> (Vec<u32>, Vec<TypeUsage>) {
    let tables = heap.tables();
    let mut by_name = HashMap::new();
    let mut rows = Vec::new();
    let row_of_type = tables.types.iter().map(|row| {
        let name = tables.string(row.name);
        *by_name.entry(name).or_insert_with(|| {
            rows.push(TypeUsage {
                name: name.to_owned(),
                count: 0,
                tracked: 0,
                shallow_bytes: 0,
                block_bytes: 0,
                retained_bytes: 0,
            });
            rows.len() as u32 - 1
        })
    });
    (row_of_type.collect(), rows)
}

/// Goes through the dominator tree with the number of open ancestors of each row: an object counts with all that
/// it retains where none of its row is above it.
fn add_retained(heap: &Heap, row_of_type: &[u32], rows: &mut [TypeUsage]) {
    let tables = heap.tables();
    let (first, next, top) = siblings(heap);
    let mut open = vec![0u32; rows.len()];
    let row_of = |node: u32| row_of_type[tables.type_of(node) as usize] as usize;
    let mut at = top;
    while at != NO_NODE {
        let row = row_of(at);
        if open[row] == 0 {
            rows[row].retained_bytes += heap.retained(at);
        }
        open[row] += 1;
        if first[at as usize] != NO_NODE {
            at = first[at as usize];
            continue;
        }
        loop {
            open[row_of(at)] -= 1;
            if next[at as usize] != NO_NODE {
                at = next[at as usize];
                break;
            }
            match heap.dominator(at) {
                Some(above) => at = above,
                None => return,
            }
        }
    }
}

/// The dominator tree as first child and next sibling of each node, and the first of those without dominator.
fn siblings(heap: &Heap) -> (Vec<u32>, Vec<u32>, u32) {
    let n_nodes = heap.n_nodes() as usize;
    let (mut first, mut next) = (vec![NO_NODE; n_nodes], vec![NO_NODE; n_nodes]);
    let mut top = NO_NODE;
    for node in (0..heap.n_nodes()).rev() {
        let slot = match heap.dominator(node) {
            Some(above) => &mut first[above as usize],
            None => &mut top,
        };
        next[node as usize] = std::mem::replace(slot, node);
    }
    (first, next, top)
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

#[cfg(test)]
mod tests {
    use heapray_wire::TypeKind;

    use super::{TypeOrder, types};
    use crate::Heap;
    use crate::synthetic::Builder;

    #[test]
    fn nested_objects_of_one_type_are_retained_once() {
        let mut b = Builder::new();
        let inner = b.list(&[]);
        let middle = b.object("app.Box", TypeKind::Instance);
        b.attribute(middle, "x", inner);
        let outer = b.list(&[middle]);
        b.global("app", "outer", outer);
        let heap = Heap::load(b.build());
        let rows = types(&heap, TypeOrder::Retained);
        let list = rows.iter().find(|row| row.name == "list").expect("two lists");
        assert_eq!((list.count, list.block_bytes, list.retained_bytes), (2, 128, 192));
        let total: u64 = rows.iter().map(|row| row.count).sum();
        assert_eq!(total, heap.tables().flags.iter().filter(|f| f.0 & 256 == 0).count() as u64);
    }

    #[test]
    fn untracked_values_of_a_cache_are_seen_and_objgraphs_order_leaves_them_out() {
        let mut b = Builder::new();
        let cache = b.dict();
        b.global("app", "cache", cache);
        for i in 0..1000 {
            let value = b.str(&format!("value {i}"));
            b.set_item(cache, &format!("k{i}"), value);
        }
        let pair = b.object("tuple", TypeKind::Tuple);
        let tracked_pair = b.object("tuple", TypeKind::Tuple);
        b.untrack(pair);
        b.global("app", "pairs", pair);
        b.global("app", "tracked_pair", tracked_pair);
        let heap = Heap::load(b.build());
        assert_eq!(types(&heap, TypeOrder::Count)[0].name, "str");
        let tracked = types(&heap, TypeOrder::Objgraph);
        assert!(tracked.iter().all(|row| row.name != "str" && row.count == row.tracked));
        assert!(tracked.iter().any(|row| row.name == "tuple" && row.count == 1), "{tracked:?}");
    }
}
