//! What a set of nodes gained from the first snapshot to the last, by type.
//!
//! Types are matched by name; the order is by bytes, then by name, so that it never depends on a table's order.

use crate::history::History;
use crate::tree::weight;
use crate::verdict::TypeGrowth;
use heapray_capture::HeapTables;
use heapray_wire::NodeFlags;
use std::collections::BTreeMap;

/// Most types in a finding.
const TYPES: usize = 8;

/// Gains by type of the nodes that `in_last` and `in_first` tell.
pub(crate) fn gained(
    history: &History<'_>,
    in_first: impl Fn(u32) -> bool,
    in_last: impl Fn(u32) -> bool,
) -> Vec<TypeGrowth> {
    let before = count(history.snaps[0].tables, in_first);
    let after = count(history.last().tables, in_last);
    let mut types: Vec<TypeGrowth> = after
        .into_iter()
        .map(|(name, (count, bytes))| {
            let (old_count, old_bytes) = before.get(name).copied().unwrap_or_default();
            TypeGrowth {
                name: name.to_string(),
                count: count.saturating_sub(old_count),
                bytes: bytes.saturating_sub(old_bytes),
            }
        })
        .filter(|gain| gain.bytes > 0)
        .collect();
    types.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    types.truncate(TYPES);
    types
}

fn count(tables: &HeapTables, is_in: impl Fn(u32) -> bool) -> BTreeMap<&str, (u64, u64)> {
    let mut by_type = vec![(0, 0); tables.types.len()];
    for node in (0..tables.n_nodes()).filter(|node| is_in(*node)) {
        if !tables.flags[node as usize].has(NodeFlags::SYNTHETIC) {
            let row: &mut (u64, u64) = &mut by_type[tables.type_of(node) as usize];
            row.0 += 1;
            row.1 += weight(tables, node);
        }
    }
    let mut by_name = BTreeMap::new();
    for (idx, (n, bytes)) in by_type.into_iter().enumerate().filter(|(_, row)| row.0 > 0) {
        let row: &mut (u64, u64) = by_name.entry(tables.string(tables.types[idx].name)).or_default();
        row.0 += n;
        row.1 += bytes;
    }
    by_name
}
