//! A chunk of nodes: a dictionary of rows, one row number a node, addresses, and edges.
//!
//! Thousands of neighbours agree in all columns but address and edges, so each distinct combination of shape, flags,
//! reference count, sizes and number of edges is stored once (measured on CPython heaps: 100 to 2,000 rows for
//! 65,536 nodes, a third of the bytes and of the decoding time of plain columns). Chunks stand alone: damage to one
//! costs no other.

use alloc::vec;
use alloc::vec::Vec;

use crate::bytes::{Source, put};
use crate::edges::{self, Classes};
use crate::malformed::Malformed;
use crate::model::{NodeChunk, NodeFlags};

/// All columns of a node that its neighbours share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    shape: u32,
    refcount: u32,
    shallow: u64,
    block: u64,
    n_edges: u32,
    flags: NodeFlags,
}

impl Row {
    fn of(nodes: &NodeChunk, i: usize) -> Self {
        Self {
            shape: nodes.shape[i],
            refcount: nodes.refcount[i],
            shallow: nodes.shallow_bytes[i],
            block: nodes.block_bytes[i],
            n_edges: nodes.n_edges[i],
            flags: nodes.flags[i],
        }
    }

    fn hash(&self) -> u64 {
        let words = [
            u64::from(self.shape) | u64::from(self.refcount) << 32,
            self.shallow,
            self.block,
            u64::from(self.n_edges) | u64::from(self.flags.0) << 32,
        ];
        words.into_iter().fold(0, mix)
    }
}

/// Adds a word to a hash (the multiplier is 2^64 / golden ratio).
pub(crate) fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Distinct values, numbered in the order of their first appearance.
pub(crate) struct Distinct<T> {
    pub(crate) values: Vec<T>,
    /// Value number + 1, 0 for empty; a power of two, at most half full.
    slots: Vec<u32>,
}

impl<T: Copy + PartialEq> Distinct<T> {
    pub(crate) fn new() -> Self {
        Self { values: Vec::new(), slots: vec![0; 1024] }
    }

    /// The number of `value`.
    pub(crate) fn number(&mut self, value: T, hash: impl Fn(&T) -> u64) -> u32 {
        let slot = self.slot(&value, hash(&value));
        if self.slots[slot] != 0 {
            return self.slots[slot] - 1;
        }
        self.values.push(value);
        self.slots[slot] = self.values.len() as u32;
        if self.values.len() * 2 > self.slots.len() {
            self.grow(hash);
        }
        self.values.len() as u32 - 1
    }

    fn slot(&self, value: &T, hash: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = (hash >> 32) as usize & mask;
        while self.slots[at] != 0 && self.values[self.slots[at] as usize - 1] != *value {
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self, hash: impl Fn(&T) -> u64) {
        self.slots = vec![0; self.slots.len() * 4];
        for (i, value) in self.values.iter().enumerate() {
            let at = self.slot(value, hash(value));
            self.slots[at] = i as u32 + 1;
        }
    }
}

/// Appends a chunk.
pub(crate) fn put_nodes(nodes: &NodeChunk, out: &mut Vec<u8>) {
    let n = nodes.shape.len();
    assert!(n <= NodeChunk::CAPACITY && nodes.edges.len() <= NodeChunk::EDGE_CAPACITY, "chunk over capacity");
    let (rows, number) = dictionary(nodes);
    let classes = Classes::of(rows.iter().map(|row| (row.shape, row.n_edges)));
    put(out, u64::from(nodes.first));
    put(out, n as u64);
    put(out, rows.len() as u64);
    rows.iter().for_each(|row| put(out, u64::from(row.flags.0)));
    rows.iter().for_each(|row| put(out, u64::from(row.shape)));
    rows.iter().for_each(|row| put(out, u64::from(row.refcount)));
    rows.iter().for_each(|row| put(out, row.shallow));
    rows.iter().for_each(|row| put(out, row.block));
    rows.iter().for_each(|row| put(out, u64::from(row.n_edges)));
    number.iter().for_each(|row| put(out, u64::from(*row)));
    put_addresses(nodes, out);
    let class_of: Vec<u32> = number.iter().map(|row| classes.of_row[*row as usize]).collect();
    edges::put_edges(nodes, &class_of, classes.n_edges.len(), out);
}

/// The distinct rows, most frequent first (so that most numbers take one byte), and the number of each node's.
fn dictionary(nodes: &NodeChunk) -> (Vec<Row>, Vec<u32>) {
    let mut distinct = Distinct::new();
    let mut number: Vec<u32> =
        (0..nodes.shape.len()).map(|i| distinct.number(Row::of(nodes, i), Row::hash)).collect();
    let mut count = vec![0_u32; distinct.values.len()];
    number.iter().for_each(|row| count[*row as usize] += 1);
    let mut order: Vec<u32> = (0..count.len() as u32).collect();
    order.sort_by_key(|row| core::cmp::Reverse(count[*row as usize]));
    let rows = order.iter().map(|row| distinct.values[*row as usize]).collect();
    // `count` has served and becomes the new number of each row.
    order.iter().enumerate().for_each(|(new, old)| count[*old as usize] = new as u32);
    number.iter_mut().for_each(|row| *row = count[*row as usize]);
    (rows, number)
}

/// Addresses of real nodes in units of 8 bytes, each as the difference from the one before, which may wrap.
fn put_addresses(nodes: &NodeChunk, out: &mut Vec<u8>) {
    assert_eq!(nodes.address.len(), nodes.flags.len(), "columns differ in length");
    let mut last = 0;
    for (address, flags) in nodes.address.iter().zip(&nodes.flags) {
        if !flags.has(NodeFlags::SYNTHETIC) {
            put(out, (address >> 3).wrapping_sub(last));
            last = address >> 3;
        }
    }
}

/// Replaces `nodes` by what `source` holds.
pub(crate) fn nodes_into(source: &mut Source<'_>, nodes: &mut NodeChunk) -> Result<(), Malformed> {
    nodes.first = source.u32()?;
    let n = source.count(1)?;
    let rows = rows(source)?;
    if n > NodeChunk::CAPACITY || (n > 0 && rows.is_empty()) {
        return Err(source.bad(n as u64));
    }
    let classes = Classes::of(rows.iter().map(|row| (row.shape, row.n_edges)));
    clear(nodes);
    let mut class_of = Vec::with_capacity(n);
    let mut n_edges = 0;
    for _ in 0..n {
        let number = source.u32()?;
        let row = rows.get(number as usize).ok_or_else(|| source.bad(u64::from(number)))?;
        nodes.shape.push(row.shape);
        nodes.refcount.push(row.refcount);
        nodes.shallow_bytes.push(row.shallow);
        nodes.block_bytes.push(row.block);
        nodes.n_edges.push(row.n_edges);
        nodes.flags.push(row.flags);
        class_of.push(classes.of_row[number as usize]);
        n_edges += u64::from(row.n_edges);
    }
    if n_edges > NodeChunk::EDGE_CAPACITY as u64 {
        return Err(source.bad(n_edges));
    }
    addresses(source, nodes)?;
    edges::edges_into(source, nodes, (&class_of, &classes), n_edges as usize)
}

fn clear(nodes: &mut NodeChunk) {
    nodes.address.clear();
    nodes.shape.clear();
    nodes.refcount.clear();
    nodes.shallow_bytes.clear();
    nodes.block_bytes.clear();
    nodes.flags.clear();
    nodes.n_edges.clear();
    nodes.edges.clear();
}

fn rows(source: &mut Source<'_>) -> Result<Vec<Row>, Malformed> {
    let n = source.count(6)?;
    if n > NodeChunk::CAPACITY {
        return Err(source.bad(n as u64));
    }
    let empty = Row { shape: 0, refcount: 0, shallow: 0, block: 0, n_edges: 0, flags: NodeFlags::default() };
    let mut rows = vec![empty; n];
    rows.iter_mut().try_for_each(|row| source.u16().map(|value| row.flags = NodeFlags(value)))?;
    rows.iter_mut().try_for_each(|row| source.u32().map(|value| row.shape = value))?;
    rows.iter_mut().try_for_each(|row| source.u32().map(|value| row.refcount = value))?;
    rows.iter_mut().try_for_each(|row| source.u64().map(|value| row.shallow = value))?;
    rows.iter_mut().try_for_each(|row| source.u64().map(|value| row.block = value))?;
    rows.iter_mut().try_for_each(|row| source.u32().map(|value| row.n_edges = value))?;
    Ok(rows)
}

fn addresses(source: &mut Source<'_>, nodes: &mut NodeChunk) -> Result<(), Malformed> {
    let mut last = 0_u64;
    for flags in &nodes.flags {
        if flags.has(NodeFlags::SYNTHETIC) {
            nodes.address.push(0);
        } else {
            last = last.wrapping_add(source.u64()?);
            nodes.address.push(last << 3);
        }
    }
    Ok(())
}
