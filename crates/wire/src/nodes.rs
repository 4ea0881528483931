//! A chunk of nodes: a dictionary of rows, one row number a node, addresses, and edges.
//!
//! Thousands of neighbours agree in all columns but address and edges, so each distinct combination of shape, flags,
//! reference count, sizes and number of edges is stored once (measured on CPython heaps: 100 to 2,000 rows for
//! 65,536 nodes). Chunks stand alone: damage to one costs no other.

use alloc::vec;
use alloc::vec::Vec;

use crate::bytes::{Source, put};
use crate::distinct::{Distinct, Key, mix};
use crate::edges::{self, Classes};
use crate::malformed::Malformed;
use crate::model::{NodeChunk, NodeFlags};

/// All columns of a node that its neighbours share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NodeRow {
    /// Shape index.
    pub shape: u32,
    /// Reference count, saturating.
    pub refcount: u32,
    /// `sys.getsizeof` in bytes.
    pub shallow_bytes: u64,
    /// Bytes of all its blocks.
    pub block_bytes: u64,
    /// Number of stored edges.
    pub n_edges: u32,
    /// Flags.
    pub flags: NodeFlags,
}

/// A decoded [`NodeChunk`] with its columns still in rows, so that a loader writes each column once.
#[derive(Clone, Debug, Default)]
pub struct PackedNodes {
    /// Id of the first node.
    pub first: u32,
    /// Distinct rows.
    pub rows: Vec<NodeRow>,
    /// Index into `rows` of each node, always in range.
    pub row_of: Vec<u16>,
    /// Address of each node, 0 for synthetic ones.
    pub address: Vec<u64>,
    /// All targets, node after node; as many as the nodes' rows say.
    pub edges: Vec<u32>,
}

impl PackedNodes {
    /// The rows of all nodes, in order.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &NodeRow> {
        self.row_of.iter().map(|row| &self.rows[usize::from(*row)])
    }

    /// The same with plain columns.
    pub(crate) fn unpack(self) -> NodeChunk {
        NodeChunk {
            first: self.first,
            shape: self.nodes().map(|row| row.shape).collect(),
            refcount: self.nodes().map(|row| row.refcount).collect(),
            shallow_bytes: self.nodes().map(|row| row.shallow_bytes).collect(),
            block_bytes: self.nodes().map(|row| row.block_bytes).collect(),
            flags: self.nodes().map(|row| row.flags).collect(),
            n_edges: self.nodes().map(|row| row.n_edges).collect(),
            address: self.address,
            edges: self.edges,
        }
    }
}

impl NodeRow {
    #[inline]
    fn of(nodes: &NodeChunk, i: usize) -> Self {
        Self {
            shape: nodes.shape[i],
            refcount: nodes.refcount[i],
            shallow_bytes: nodes.shallow_bytes[i],
            block_bytes: nodes.block_bytes[i],
            n_edges: nodes.n_edges[i],
            flags: nodes.flags[i],
        }
    }
}

impl Key for NodeRow {
    #[inline]
    fn hash(&self) -> u64 {
        let shape = u64::from(self.shape) | u64::from(self.refcount) << 32;
        let sizes = self.shallow_bytes ^ self.block_bytes.rotate_left(32);
        mix(mix(shape, sizes), u64::from(self.n_edges) | u64::from(self.flags.0) << 32)
    }
}

/// Appends a chunk.
pub(crate) fn put_nodes(nodes: &NodeChunk, out: &mut Vec<u8>) {
    let n = nodes.shape.len();
    assert!(n <= NodeChunk::CAPACITY && nodes.edges.len() <= NodeChunk::EDGE_CAPACITY, "chunk over capacity");
    let (rows, row_of) = dictionary(nodes);
    put(out, u64::from(nodes.first));
    put(out, n as u64);
    put_rows(&rows, out);
    row_of.iter().for_each(|row| put(out, u64::from(*row)));
    put_addresses(nodes, out);
    edges::put_edges(nodes, &Classes::of(&rows, &row_of), out);
}

/// The distinct rows, most frequent first (so that most numbers take one byte), and the number of each node's.
fn dictionary(nodes: &NodeChunk) -> (Vec<NodeRow>, Vec<u16>) {
    let mut distinct = Distinct::new();
    let found: Vec<u32> = (0..nodes.shape.len()).map(|i| distinct.number(NodeRow::of(nodes, i))).collect();
    let mut count = vec![0_u32; distinct.values.len()];
    found.iter().for_each(|row| count[*row as usize] += 1);
    let mut order: Vec<u32> = (0..count.len() as u32).collect();
    order.sort_by_key(|row| core::cmp::Reverse(count[*row as usize]));
    let rows = order.iter().map(|row| distinct.values[*row as usize]).collect();
    let mut rank = vec![0_u16; order.len()];
    order.iter().enumerate().for_each(|(new, old)| rank[*old as usize] = new as u16);
    (rows, found.iter().map(|row| rank[*row as usize]).collect())
}

fn put_rows(rows: &[NodeRow], out: &mut Vec<u8>) {
    put(out, rows.len() as u64);
    rows.iter().for_each(|row| put(out, u64::from(row.flags.0)));
    rows.iter().for_each(|row| put(out, u64::from(row.shape)));
    rows.iter().for_each(|row| put(out, u64::from(row.refcount)));
    rows.iter().for_each(|row| put(out, row.shallow_bytes));
    rows.iter().for_each(|row| put(out, row.block_bytes));
    rows.iter().for_each(|row| put(out, u64::from(row.n_edges)));
}

fn rows_into(source: &mut Source<'_>, rows: &mut Vec<NodeRow>) -> Result<(), Malformed> {
    let n = source.count(6)?;
    if n > NodeChunk::CAPACITY {
        return Err(source.bad(n as u64));
    }
    rows.clear();
    rows.resize(n, NodeRow::default());
    rows.iter_mut().try_for_each(|row| source.u16().map(|value| row.flags = NodeFlags(value)))?;
    rows.iter_mut().try_for_each(|row| source.u32().map(|value| row.shape = value))?;
    rows.iter_mut().try_for_each(|row| source.u32().map(|value| row.refcount = value))?;
    rows.iter_mut().try_for_each(|row| source.u64().map(|value| row.shallow_bytes = value))?;
    rows.iter_mut().try_for_each(|row| source.u64().map(|value| row.block_bytes = value))?;
    rows.iter_mut().try_for_each(|row| source.u32().map(|value| row.n_edges = value))
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

fn addresses_into(source: &mut Source<'_>, nodes: &mut PackedNodes) -> Result<(), Malformed> {
    let mut last = 0_u64;
    nodes.address.clear();
    for row in &nodes.row_of {
        if nodes.rows[usize::from(*row)].flags.has(NodeFlags::SYNTHETIC) {
            nodes.address.push(0);
        } else {
            last = last.wrapping_add(source.u64()?);
            nodes.address.push(last << 3);
        }
    }
    Ok(())
}

/// Replaces `nodes` by what `source` holds.
pub(crate) fn nodes_into(source: &mut Source<'_>, nodes: &mut PackedNodes) -> Result<(), Malformed> {
    nodes.first = source.u32()?;
    let n = source.count(1)?;
    if n > NodeChunk::CAPACITY {
        return Err(source.bad(n as u64));
    }
    rows_into(source, &mut nodes.rows)?;
    nodes.row_of.clear();
    let mut n_edges = 0;
    for _ in 0..n {
        let row = source.u16()?;
        let known = nodes.rows.get(usize::from(row)).ok_or_else(|| source.bad(u64::from(row)))?;
        n_edges += u64::from(known.n_edges);
        nodes.row_of.push(row);
    }
    if n_edges > NodeChunk::EDGE_CAPACITY as u64 {
        return Err(source.bad(n_edges));
    }
    addresses_into(source, nodes)?;
    edges::edges_into(source, nodes, n_edges as usize)
}
