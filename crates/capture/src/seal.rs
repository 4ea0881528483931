//! Ids checked once all rows of a process are known: nothing in sealed tables points outside them.
//!
//! An edge to a node that is not there leads to one synthetic node `<lost>` instead, so that the labels of a
//! node's other edges keep their places.

use heapray_wire::{Fact, FactValue, NO_NODE, NO_STRING, NodeFlags};

use crate::build::{Builder, LOST_SHAPE, lost_shape, lost_type};
use crate::tables::HeapTables;

/// The tables of a process and what they lost, a line each.
pub(crate) fn seal(builder: Builder) -> (HeapTables, Vec<String>) {
    let Builder { mut tables, ended, damaged, lost, process, .. } = builder;
    let bad_edges = edges(&mut tables);
    let counts = [
        (lost.nodes, "objects are lost; each stands as <lost>"),
        (lost.strings, "names are lost; each reads <lost>"),
        (lost.types, "types are lost"),
        (lost.shapes, "shapes are lost; their nodes show no labels"),
        (lost.addresses, "addresses are out of order"),
        (lost.late_flags, "late flags belong to objects that are lost"),
        (bad_edges, "edges lead to objects that are lost"),
        (names(&mut tables), "names belong to objects that are lost, or are lost themselves"),
        (shapes(&mut tables), "objects have a shape or type that is lost"),
        (strings(&mut tables), "names of types or edges are lost"),
        (types(&mut tables), "types lead to objects that are lost"),
    ];
    let who = who(&tables, process);
    let mut lines = Vec::new();
    if !ended {
        lines.push(format!("{who}: its snapshot is not whole, it ends after {} objects", tables.shape.len()));
    }
    lines.extend(counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{who}: {n} {what}")));
    let whole = FactValue::Int(i64::from(lines.is_empty() && !damaged));
    tables.facts.push(Fact { name: "capture.whole".into(), value: whole });
    shrink(&mut tables);
    (tables, lines)
}

fn who(tables: &HeapTables, process: u16) -> String {
    match tables.int("pid") {
        Some(pid) => format!("process {pid}"),
        None => format!("process number {process} of the file"),
    }
}

/// Turns edges out of range to the node `<lost>`.
fn edges(tables: &mut HeapTables) -> u64 {
    let n_nodes = tables.n_nodes();
    let bad = tables.edges.iter().filter(|target| **target >= n_nodes).count() as u64;
    if bad > 0 {
        let lost = lost_node(tables);
        tables.edges.iter_mut().filter(|target| **target >= n_nodes).for_each(|target| *target = lost);
    }
    bad
}

/// Appends the synthetic node that stands for all lost ones.
fn lost_node(tables: &mut HeapTables) -> u32 {
    let node = tables.n_nodes();
    tables.shape.push(LOST_SHAPE);
    tables.address_offset.push(0);
    tables.refcount.push(0);
    tables.shallow_bytes.push(0);
    tables.block_bytes.push(0);
    tables.flags.push(NodeFlags(NodeFlags::SYNTHETIC | NodeFlags::TORN));
    tables.edge_start.push(tables.edges.len() as u32);
    node
}

/// Gives nodes without a shape, and shapes without a type, the one for what is lost.
fn shapes(tables: &mut HeapTables) -> u64 {
    let n_shapes = tables.shapes.len() as u32;
    let n_types = tables.types.len() as u32;
    let mut bad =
        tables.shape.iter().filter(|shape| **shape >= n_shapes && **shape != LOST_SHAPE).count() as u64;
    bad += tables.shapes.iter().filter(|shape| shape.type_idx >= n_types).count() as u64;
    let any_lost = bad > 0 || tables.shape.contains(&LOST_SHAPE);
    if any_lost {
        tables.strings.push("<lost>".into());
        tables.types.push(lost_type(tables.strings.len() as u32 - 1));
        tables.shapes.push(lost_shape(n_types));
        tables.shape.iter_mut().for_each(|shape| *shape = (*shape).min(n_shapes));
        tables.shapes.iter_mut().for_each(|shape| shape.type_idx = shape.type_idx.min(n_types));
    }
    bad
}

/// Drops names of nodes or strings that are not there; sorts and keeps one a node.
fn names(tables: &mut HeapTables) -> u64 {
    let (n_nodes, n_strings) = (tables.n_nodes(), tables.strings.len());
    let names = &mut tables.names;
    let before = names.len();
    names.retain(|row| row.node < n_nodes && (row.name as usize) < n_strings);
    let lost = before - names.len();
    if !names.is_sorted_by_key(|row| row.node) {
        names.sort_by_key(|row| row.node);
    }
    names.dedup_by_key(|row| row.node);
    lost as u64
}

/// Names of types and labels that are no string become none.
fn strings(tables: &mut HeapTables) -> u64 {
    let n_strings = tables.strings.len() as u32;
    let of_types = tables.types.iter_mut().map(|row| &mut row.name);
    let of_labels = tables.shapes.iter_mut().flat_map(|shape| &mut shape.labels).map(|label| &mut label.name);
    let mut bad = 0;
    for name in of_types.chain(of_labels).filter(|name| **name != NO_STRING && **name >= n_strings) {
        *name = NO_STRING;
        bad += 1;
    }
    bad
}

fn types(tables: &mut HeapTables) -> u64 {
    let n_nodes = tables.n_nodes();
    let mut bad = 0;
    for row in tables.types.iter_mut().filter(|row| row.node != NO_NODE && row.node >= n_nodes) {
        row.node = NO_NODE;
        bad += 1;
    }
    bad
}

/// Gives back what the columns reserved beyond their length; large columns shrink in place.
fn shrink(tables: &mut HeapTables) {
    tables.address_offset.shrink_to_fit();
    tables.shape.shrink_to_fit();
    tables.refcount.shrink_to_fit();
    tables.shallow_bytes.shrink_to_fit();
    tables.block_bytes.shrink_to_fit();
    tables.flags.shrink_to_fit();
    tables.edge_start.shrink_to_fit();
    tables.edges.shrink_to_fit();
}
