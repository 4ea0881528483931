//! The edges of a chunk of nodes: each target as its difference from a prediction.
//!
//! Nodes of one *class* (same shape, same number of edges) point in like ways: equal keys are equal strings, values
//! allocated in turn rise in step. So each class has a *mode*, the prediction that was best for it in this chunk.
//! Differences are zigzag numbers of one to four bytes, split into a column of lengths and a column for each byte,
//! which compresses better than bytes in a row and decodes without a branch a byte.

use alloc::vec;
use alloc::vec::Vec;

use crate::bytes::{Source, put, unzigzag, zigzag};
use crate::malformed::Malformed;
use crate::model::NodeChunk;
use crate::nodes::{Distinct, mix};

/// Number of modes: what a target is predicted from.
const N_MODES: usize = 4;

/// The edge at the same place in the last node of the class; in the first one as [`BEFORE`].
const SAME_PLACE: u8 = 0;
/// The edge before it in the node; the first one from the node's own id.
const BEFORE: u8 = 1;
/// The edge two before it in the node; the first two as [`BEFORE`].
const TWO_BEFORE: u8 = 2;
/// The id of the node itself.
const NODE: u8 = 3;

/// No node of a class was seen yet.
const NEVER: usize = usize::MAX;

/// The classes of a dictionary of rows, in order of first appearance.
pub(crate) struct Classes {
    /// The class of each row.
    pub(crate) of_row: Vec<u32>,
    /// The number of edges of each class.
    pub(crate) n_edges: Vec<u32>,
}

impl Classes {
    /// Classes of rows given as (shape, number of edges).
    pub(crate) fn of(rows: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut distinct = Distinct::new();
        let hash = |class: &(u32, u32)| mix(0, u64::from(class.0) | u64::from(class.1) << 32);
        let of_row = rows.map(|row| distinct.number(row, hash)).collect();
        Self { of_row, n_edges: distinct.values.iter().map(|class| class.1).collect() }
    }
}

/// What the target of edge `i` of the node `id` is predicted to be. `edges` ends before it; the node's edges begin at
/// `from`, those of the last node of its class at `last`.
#[inline]
fn predict(mode: u8, edges: &[u32], (from, last): (usize, usize), id: u32) -> u32 {
    let i = edges.len() - from;
    match mode {
        SAME_PLACE if last != NEVER => edges[last + i],
        NODE => id,
        TWO_BEFORE if i > 1 => edges[edges.len() - 2],
        SAME_PLACE | BEFORE | TWO_BEFORE if i > 0 => edges[edges.len() - 1],
        _ => id,
    }
}

/// Appends the edges of `nodes`, whose classes are `class_of`.
pub(crate) fn put_edges(nodes: &NodeChunk, class_of: &[u32], n_classes: usize, out: &mut Vec<u8>) {
    let modes = best_modes(nodes, class_of, n_classes);
    let mut planes = Planes::default();
    each_edge(nodes, class_of, n_classes, |class, place, id, target| {
        let (edges, ..) = place;
        planes.put(zigzag(target.wrapping_sub(predict(modes[class], edges, (place.1, place.2), id)) as i32));
    });
    out.extend_from_slice(&modes);
    planes.finish(out);
}

/// Calls `each` with (class, (edges before, start of the node's, start of those of the last of the class), id, target).
fn each_edge(
    nodes: &NodeChunk,
    class_of: &[u32],
    n_classes: usize,
    mut each: impl FnMut(usize, (&[u32], usize, usize), u32, u32),
) {
    let mut last = vec![NEVER; n_classes];
    let mut from = 0;
    for (node, (class, n)) in class_of.iter().zip(&nodes.n_edges).enumerate() {
        let (class, to) = (*class as usize, from + *n as usize);
        let id = nodes.first.wrapping_add(node as u32);
        for at in from..to {
            each(class, (&nodes.edges[..at], from, last[class]), id, nodes.edges[at]);
        }
        last[class] = from;
        from = to;
    }
    assert_eq!(from, nodes.edges.len(), "n_edges and edges disagree");
}

/// The mode of each class that takes the fewest bits.
fn best_modes(nodes: &NodeChunk, class_of: &[u32], n_classes: usize) -> Vec<u8> {
    let mut cost = vec![[0_u64; N_MODES]; n_classes];
    each_edge(nodes, class_of, n_classes, |class, (edges, from, last), id, target| {
        for (mode, cost) in cost[class].iter_mut().enumerate() {
            let value = zigzag(target.wrapping_sub(predict(mode as u8, edges, (from, last), id)) as i32);
            *cost += u64::from(u32::BITS - value.leading_zeros());
        }
    });
    let cheapest = |cost: &[u64; N_MODES]| (0..N_MODES).min_by_key(|mode| cost[*mode]).unwrap_or(0) as u8;
    cost.iter().map(cheapest).collect()
}

/// Numbers of one to four bytes by columns: lengths (four to a byte), first bytes, second bytes, …
#[derive(Default)]
struct Planes {
    lengths: Vec<u8>,
    bytes: [Vec<u8>; 4],
}

impl Planes {
    #[inline]
    fn put(&mut self, value: u32) {
        let extra = (u32::BITS - (value | 1).leading_zeros() - 1) / 8;
        let n = self.bytes[0].len();
        if n.is_multiple_of(4) {
            self.lengths.push(0);
        }
        self.lengths[n / 4] |= (extra << (n % 4 * 2)) as u8;
        for (plane, byte) in self.bytes.iter_mut().zip(value.to_le_bytes()).take(extra as usize + 1) {
            plane.push(byte);
        }
    }

    fn finish(self, out: &mut Vec<u8>) {
        self.bytes[1..].iter().for_each(|plane| put(out, plane.len() as u64));
        out.extend_from_slice(&self.lengths);
        self.bytes.iter().for_each(|plane| out.extend_from_slice(plane));
    }
}

/// The same while reading.
struct PlanesIn<'a> {
    lengths: &'a [u8],
    bytes: [&'a [u8]; 4],
    at: [usize; 4],
}

impl<'a> PlanesIn<'a> {
    fn new(source: &mut Source<'a>, n: usize) -> Result<Self, Malformed> {
        let n_bytes = [n, source.count(1)?, source.count(1)?, source.count(1)?];
        let lengths = source.take(n.div_ceil(4))?;
        let mut bytes: [&[u8]; 4] = [&[]; 4];
        for (plane, n) in bytes.iter_mut().zip(n_bytes) {
            *plane = source.take(n)?;
        }
        Ok(Self { lengths, bytes, at: [0; 4] })
    }

    /// The next number; 0 for bytes past the end, which [`Self::end`] notices.
    #[inline]
    fn next(&mut self) -> u32 {
        let n = self.at[0];
        let extra = self.lengths.get(n / 4).map_or(0, |lengths| lengths >> (n % 4 * 2) & 3);
        let mut value = 0;
        for plane in 0..4 {
            let here = plane as u8 <= extra;
            let byte = self.bytes[plane].get(self.at[plane]).copied().unwrap_or(0);
            value |= if here { u32::from(byte) << (plane * 8) } else { 0 };
            self.at[plane] += usize::from(here);
        }
        value
    }

    /// All columns must be used up.
    fn end(&self, source: &Source<'_>) -> Result<(), Malformed> {
        for (at, plane) in self.at.iter().zip(self.bytes) {
            if *at != plane.len() {
                return Err(source.bad(*at as u64));
            }
        }
        Ok(())
    }
}

/// Reads `n` edges to the end of `nodes.edges`, which is empty, of nodes with these classes.
pub(crate) fn edges_into(
    source: &mut Source<'_>,
    nodes: &mut NodeChunk,
    (class_of, classes): (&[u32], &Classes),
    n: usize,
) -> Result<(), Malformed> {
    let modes = source.take(classes.n_edges.len())?;
    if let Some(mode) = modes.iter().find(|mode| **mode as usize >= N_MODES) {
        return Err(source.bad(u64::from(*mode)));
    }
    let mut planes = PlanesIn::new(source, n)?;
    let mut last = vec![NEVER; modes.len()];
    let edges = &mut nodes.edges;
    edges.reserve(n);
    for (node, class) in class_of.iter().enumerate() {
        let class = *class as usize;
        let (from, id) = (edges.len(), nodes.first.wrapping_add(node as u32));
        for _ in 0..classes.n_edges[class] {
            let predicted = predict(modes[class], edges, (from, last[class]), id);
            edges.push(predicted.wrapping_add(unzigzag(planes.next()) as u32));
        }
        last[class] = from;
    }
    planes.end(source)
}
