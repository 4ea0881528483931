//! Which node of an earlier snapshot is the same object: the same address and the same type.
//!
//! An address that was freed and given to another object of the same type is taken for the same object. That
//! understates births and deaths, never the level of a container, which is what rules judge by. Synthetic nodes
//! have no address: they are matched by what they are and their name without numbers.

use heapray_capture::HeapTables;
use heapray_wire::{NO_NODE, NodeFlags};
use std::collections::BTreeMap;

/// For each node of `last` the node of `earlier` that it was, or [`NO_NODE`]. O(nodes).
pub(crate) fn same_in(earlier: &HeapTables, last: &HeapTables) -> Vec<u32> {
    let mut same = vec![NO_NODE; last.n_nodes() as usize];
    let types = type_map(earlier, last);
    let n_earlier = n_real(earlier);
    let mut before = Addresses::new(earlier);
    let mut after = Addresses::new(last);
    let mut old = 0;
    for node in 0..n_real(last) {
        let address = after.of(node);
        while old < n_earlier && before.of(old) < address {
            old += 1;
        }
        let is_same = old < n_earlier
            && before.of(old) == address
            && types[earlier.type_of(old) as usize] == last.type_of(node);
        if is_same {
            same[node as usize] = old;
        }
    }
    match_synthetic(earlier, last, &mut same);
    same
}

/// For each type of `earlier` the type of `last` with the same name, or `u32::MAX`.
fn type_map(earlier: &HeapTables, last: &HeapTables) -> Vec<u32> {
    let mut by_name = BTreeMap::new();
    for (idx, row) in last.types.iter().enumerate() {
        by_name.entry((last.string(row.name), row.address)).or_insert(idx as u32);
    }
    let of = |row: &heapray_wire::TypeRow| by_name.get(&(earlier.string(row.name), row.address)).copied();
    earlier.types.iter().map(|row| of(row).unwrap_or(u32::MAX)).collect()
}

fn n_real(tables: &HeapTables) -> u32 {
    tables.flags.partition_point(|flags| !flags.has(NodeFlags::SYNTHETIC)) as u32
}

fn match_synthetic(earlier: &HeapTables, last: &HeapTables, same: &mut [u32]) {
    let before = synthetic_names(earlier);
    for (name, node) in synthetic_names(last) {
        if let Some(old) = before.get(&name) {
            same[node as usize] = *old;
        }
    }
}

fn synthetic_names(tables: &HeapTables) -> BTreeMap<(String, u32), u32> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut names = BTreeMap::new();
    for node in n_real(tables)..tables.n_nodes() {
        let Some(name) = tables.name(node) else { continue };
        let plain: String = name.chars().filter(|c| !c.is_ascii_digit()).collect();
        let key = format!("{} {plain}", tables.type_name(node));
        let ordinal = seen.entry(key.clone()).and_modify(|n| *n += 1).or_insert(0);
        names.insert((key, *ordinal), node);
    }
    names
}

/// Addresses of nodes asked for in rising order, without a search for each.
struct Addresses<'a> {
    tables: &'a HeapTables,
    base: usize,
}

impl<'a> Addresses<'a> {
    fn new(tables: &'a HeapTables) -> Self {
        Addresses { tables, base: 0 }
    }

    fn of(&mut self, node: u32) -> u64 {
        let bases = &self.tables.address_base;
        while self.base + 1 < bases.len() && bases[self.base + 1].0 <= node {
            self.base += 1;
        }
        bases.get(self.base).map_or(0, |base| base.1)
            + u64::from(self.tables.address_offset[node as usize]) * 8
    }
}
