//! Nodes and their edges, column after column.

use alloc::vec::Vec;

use crate::bytes::{Source, put, unzigzag, zigzag};
use crate::malformed::Malformed;
use crate::model::{NodeChunk, NodeFlags};

/// Appends all columns.
pub(crate) fn put_nodes(nodes: &NodeChunk, out: &mut Vec<u8>) {
    let n = nodes.address.len();
    assert!(n <= NodeChunk::CAPACITY && nodes.edges.len() <= NodeChunk::EDGE_CAPACITY, "chunk over capacity");
    put(out, u64::from(nodes.first));
    put(out, n as u64);
    nodes.flags.iter().for_each(|flags| put(out, u64::from(flags.0)));
    let mut last = 0;
    for (address, flags) in nodes.address.iter().zip(&nodes.flags) {
        if !flags.has(NodeFlags::SYNTHETIC) {
            put(out, (address >> 3).wrapping_sub(last));
            last = address >> 3;
        }
    }
    nodes.shape.iter().for_each(|value| put(out, u64::from(*value)));
    nodes.refcount.iter().for_each(|value| put(out, u64::from(*value)));
    nodes.shallow_bytes.iter().for_each(|value| put(out, *value));
    nodes.block_bytes.iter().for_each(|value| put(out, *value));
    nodes.n_edges.iter().for_each(|value| put(out, u64::from(*value)));
    let mut last = nodes.first;
    for target in &nodes.edges {
        put(out, u64::from(zigzag(target.wrapping_sub(last) as i32)));
        last = *target;
    }
}

/// Replaces `nodes` by what `source` holds.
pub(crate) fn nodes_into(source: &mut Source<'_>, nodes: &mut NodeChunk) -> Result<(), Malformed> {
    nodes.first = source.u32()?;
    let n = source.count(6)?;
    if n > NodeChunk::CAPACITY {
        return Err(source.bad(n as u64));
    }
    column(&mut nodes.flags, n, || Ok(NodeFlags(source.u16()?)))?;
    let (mut last, flags) = (0_u64, &nodes.flags);
    nodes.address.clear();
    for flags in flags {
        if flags.has(NodeFlags::SYNTHETIC) {
            nodes.address.push(0);
        } else {
            last = last.wrapping_add(source.u64()?);
            nodes.address.push(last << 3);
        }
    }
    column(&mut nodes.shape, n, || source.u32())?;
    column(&mut nodes.refcount, n, || source.u32())?;
    column(&mut nodes.shallow_bytes, n, || source.u64())?;
    column(&mut nodes.block_bytes, n, || source.u64())?;
    column(&mut nodes.n_edges, n, || source.u32())?;
    let n_edges: u64 = nodes.n_edges.iter().map(|n| u64::from(*n)).sum();
    if n_edges > NodeChunk::EDGE_CAPACITY as u64 {
        return Err(source.bad(n_edges));
    }
    let mut last = nodes.first;
    column(&mut nodes.edges, n_edges as usize, || {
        last = last.wrapping_add(unzigzag(source.u32()?) as u32);
        Ok(last)
    })
}

fn column<T>(
    out: &mut Vec<T>,
    n: usize,
    mut value: impl FnMut() -> Result<T, Malformed>,
) -> Result<(), Malformed> {
    out.clear();
    for _ in 0..n {
        out.push(value()?);
    }
    Ok(())
}
