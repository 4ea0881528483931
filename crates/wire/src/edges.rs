//! The edges of a chunk of nodes: each target as its difference from a prediction.
//!
//! Nodes of one *class* (same shape, same number of edges) point in like ways: equal keys are equal strings, values
//! allocated in turn rise in step. So each class has a *mode*, the prediction that suited it best in this chunk.
//! The differences are stored as planes: all lowest bytes, then all second bytes, … as far as any is not zero.
//! Runs of zeros cost next to nothing after compression, and putting planes together needs no branch.

use alloc::vec;
use alloc::vec::Vec;

use crate::bytes::{Source, unzigzag, zigzag};
use crate::distinct::{Distinct, Key, mix};
use crate::malformed::Malformed;
use crate::model::NodeChunk;
use crate::nodes::{NodeRow, PackedNodes};

/// What a target is predicted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Mode {
    /// The edge at the same place in the last node of the class; in the first such node as `Before`.
    SamePlace = 0,
    /// The edge before it in the node; the first one from the node's own id.
    Before = 1,
    /// The edge two before it in the node; the first two as `Before`.
    TwoBefore = 2,
    /// The id of the node itself.
    Node = 3,
}

const MODES: [Mode; 4] = [Mode::SamePlace, Mode::Before, Mode::TwoBefore, Mode::Node];

/// Edges of a class that are looked at to choose its mode.
const SAMPLE: u32 = 1024;

/// Shape and number of edges.
#[derive(Clone, Copy, PartialEq)]
struct Class(u32, u32);

impl Key for Class {
    fn hash(&self) -> u64 {
        mix(0, u64::from(self.0) | u64::from(self.1) << 32)
    }
}

/// The classes of a chunk's rows, numbered in the order in which rows first have them.
pub(crate) struct Classes<'a> {
    of_row: Vec<u32>,
    n_edges: Vec<u32>,
    row_of: &'a [u16],
}

impl<'a> Classes<'a> {
    /// The classes of `rows`; `row_of` says which row each node has.
    pub(crate) fn of(rows: &[NodeRow], row_of: &'a [u16]) -> Self {
        let mut distinct = Distinct::new();
        let of_row = rows.iter().map(|row| distinct.number(Class(row.shape, row.n_edges))).collect();
        Self { of_row, n_edges: distinct.values.iter().map(|class| class.1).collect(), row_of }
    }

    fn n(&self) -> usize {
        self.n_edges.len()
    }

    /// The spans of the edges of all nodes that have any, in order.
    fn spans(&self, first: u32) -> impl Iterator<Item = Span> + '_ {
        let mut last = vec![None; self.n()];
        let mut from = 0;
        self.row_of.iter().enumerate().filter_map(move |(node, row)| {
            let class = self.of_row[usize::from(*row)] as usize;
            let n = self.n_edges[class] as usize;
            if n == 0 {
                return None;
            }
            let span = Span { class, from, n, last: last[class], id: first.wrapping_add(node as u32) };
            last[class] = Some(from);
            from += n;
            Some(span)
        })
    }
}

/// The place of one node's edges in a column.
#[derive(Clone, Copy)]
struct Span {
    class: usize,
    from: usize,
    n: usize,
    /// Where those of the last node of the class begin.
    last: Option<usize>,
    id: u32,
}

impl Span {
    /// What edge number `i` of the node is predicted to be; uses only edges before it.
    #[inline]
    fn predict(self, mode: Mode, edges: &[u32], i: usize) -> u32 {
        match (mode, self.last) {
            (Mode::SamePlace, Some(last)) => edges[last + i],
            (Mode::Node, _) => self.id,
            (Mode::TwoBefore, _) if i > 1 => edges[self.from + i - 2],
            _ if i > 0 => edges[self.from + i - 1],
            _ => self.id,
        }
    }

    #[inline]
    fn difference(self, mode: Mode, edges: &[u32], i: usize) -> u32 {
        zigzag(edges[self.from + i].wrapping_sub(self.predict(mode, edges, i)) as i32)
    }
}

/// Appends the edges of `nodes`.
pub(crate) fn put_edges(nodes: &NodeChunk, classes: &Classes<'_>, out: &mut Vec<u8>) {
    let modes = best_modes(nodes, classes);
    let mut differences = Vec::with_capacity(nodes.edges.len());
    for span in classes.spans(nodes.first) {
        let mode = modes[span.class];
        differences.extend((0..span.n).map(|i| span.difference(mode, &nodes.edges, i)));
    }
    assert_eq!(differences.len(), nodes.edges.len(), "n_edges and edges disagree");
    out.extend(modes.iter().map(|mode| *mode as u8));
    put_planes(&differences, out);
}

/// The mode of each class that takes the fewest bits for its first edges.
fn best_modes(nodes: &NodeChunk, classes: &Classes<'_>) -> Vec<Mode> {
    let mut bits = vec![[0_u32; MODES.len()]; classes.n()];
    let mut seen = vec![0; classes.n()];
    for span in classes.spans(nodes.first).filter(|span| span.from + span.n <= nodes.edges.len()) {
        let n = (span.n as u32).min(SAMPLE - seen[span.class]);
        seen[span.class] += n;
        for (mode, bits) in MODES.into_iter().zip(&mut bits[span.class]) {
            let of_edge = |i| u32::BITS - span.difference(mode, &nodes.edges, i as usize).leading_zeros();
            *bits += (0..n).map(of_edge).sum::<u32>();
        }
    }
    let cheapest = |bits: &[u32; MODES.len()]| {
        MODES.into_iter().min_by_key(|mode| bits[*mode as usize]).unwrap_or(Mode::SamePlace)
    };
    bits.iter().map(cheapest).collect()
}

fn put_planes(values: &[u32], out: &mut Vec<u8>) {
    let any = values.iter().fold(0, |any, value| any | value);
    let n_planes = (u32::BITS - any.leading_zeros()).div_ceil(8);
    out.push(n_planes as u8);
    for plane in 0..n_planes {
        out.extend(values.iter().map(|value| (value >> (plane * 8)) as u8));
    }
}

/// Replaces `values` by `n` numbers from planes.
fn planes_into(source: &mut Source<'_>, n: usize, values: &mut Vec<u32>) -> Result<(), Malformed> {
    let n_planes = source.byte()?;
    values.clear();
    match n_planes {
        0 => values.resize(n, 0),
        1..=4 => values.extend(source.take(n)?.iter().map(|byte| u32::from(*byte))),
        _ => return Err(source.bad(u64::from(n_planes))),
    }
    for plane in 1..u32::from(n_planes) {
        let bytes = source.take(n)?;
        values.iter_mut().zip(bytes).for_each(|(value, byte)| *value |= u32::from(*byte) << (plane * 8));
    }
    Ok(())
}

/// Replaces the edges of `nodes`, whose rows are known, by `n` edges.
pub(crate) fn edges_into(
    source: &mut Source<'_>,
    nodes: &mut PackedNodes,
    n: usize,
) -> Result<(), Malformed> {
    let classes = Classes::of(&nodes.rows, &nodes.row_of);
    let modes = source
        .take(classes.n())?
        .iter()
        .map(|mode| MODES.get(usize::from(*mode)).copied().ok_or_else(|| source.bad(u64::from(*mode))));
    let modes = modes.collect::<Result<Vec<Mode>, Malformed>>()?;
    let edges = &mut nodes.edges;
    planes_into(source, n, edges)?;
    edges.iter_mut().for_each(|value| *value = unzigzag(*value) as u32);
    for span in classes.spans(nodes.first) {
        add_predictions(span, modes[span.class], edges);
    }
    Ok(())
}

/// Turns the differences of one node into targets, in place.
#[inline]
fn add_predictions(span: Span, mode: Mode, edges: &mut [u32]) {
    let (before, rest) = edges.split_at_mut(span.from);
    let own = &mut rest[..span.n];
    match (mode, span.last) {
        (Mode::SamePlace, Some(last)) => {
            let there = &before[last..last + span.n];
            own.iter_mut().zip(there).for_each(|(edge, there)| *edge = edge.wrapping_add(*there));
        }
        (Mode::Node, _) => own.iter_mut().for_each(|edge| *edge = edge.wrapping_add(span.id)),
        (Mode::TwoBefore, _) => {
            let (mut two_before, mut before) = (span.id, span.id);
            for (i, edge) in own.iter_mut().enumerate() {
                *edge = edge.wrapping_add(if i > 1 { two_before } else { before });
                (two_before, before) = (before, *edge);
            }
        }
        (Mode::Before | Mode::SamePlace, _) => {
            let mut before = span.id;
            for edge in own {
                before = before.wrapping_add(*edge);
                *edge = before;
            }
        }
    }
}
