//! Splits chunks that outgrow the format's bounds, so that a reader's memory stays bounded.

use std::ops::Range;

use heapray_wire::{Chunk, MoreEdges, NodeChunk};

/// Most weight of one chunk of rows: bytes of text, labels times 16, or rows times 16. Far below the bound of a
/// chunk's bytes, far above what a walker usually gives.
pub(crate) const WEIGHT: usize = 4 << 20;

/// Calls `each` with parts of `chunk`, in order, that all keep the bounds; mostly `chunk` itself, not copied.
pub(crate) fn parts(chunk: &Chunk, mut each: impl FnMut(&Chunk)) {
    match chunk {
        Chunk::Nodes(nodes) => split_nodes(nodes, chunk, &mut each),
        Chunk::MoreEdges(more) => split_edges(more.node, &more.edges, &mut each),
        Chunk::Strings(rows) => split_rows((chunk, rows), |text| text.len() + 16, Chunk::Strings, each),
        Chunk::Types(rows) => split_rows((chunk, rows), |_| 32, Chunk::Types, each),
        Chunk::Shapes(rows) => {
            split_rows((chunk, rows), |row| 16 * (1 + row.labels.len()), Chunk::Shapes, each)
        }
        Chunk::Names(rows) => split_rows((chunk, rows), |_| 16, Chunk::Names, each),
        Chunk::Flags(rows) => split_rows((chunk, rows), |_| 16, Chunk::Flags, each),
        _ => each(chunk),
    }
}

fn split_rows<T: Clone>(
    (chunk, rows): (&Chunk, &[T]),
    weight: impl Fn(&T) -> usize,
    make: fn(Vec<T>) -> Chunk,
    mut each: impl FnMut(&Chunk),
) {
    let ranges = ranges(rows.iter().map(weight), usize::MAX, WEIGHT);
    if ranges.len() <= 1 {
        return each(chunk);
    }
    ranges.into_iter().for_each(|range| each(&make(rows[range].to_vec())));
}

/// Cuts items into ranges of at most `most` items and `limit` weight; a heavier item stands alone.
pub(crate) fn ranges(weights: impl Iterator<Item = usize>, most: usize, limit: usize) -> Vec<Range<usize>> {
    let (mut ranges, mut from, mut sum, mut end) = (Vec::new(), 0, 0_usize, 0);
    for (at, weight) in weights.enumerate() {
        if at > from && (sum + weight > limit || at - from == most) {
            ranges.push(from..at);
            (from, sum) = (at, 0);
        }
        sum += weight;
        end = at + 1;
    }
    if from < end {
        ranges.push(from..end);
    }
    ranges
}

fn split_nodes(nodes: &NodeChunk, chunk: &Chunk, each: &mut impl FnMut(&Chunk)) {
    if nodes.shape.len() <= NodeChunk::CAPACITY && nodes.edges.len() <= NodeChunk::EDGE_CAPACITY {
        return each(chunk);
    }
    let weights = nodes.n_edges.iter().map(|n| *n as usize);
    let mut from_edge = 0;
    for range in ranges(weights, NodeChunk::CAPACITY, NodeChunk::EDGE_CAPACITY) {
        let n_edges: usize = nodes.n_edges[range.clone()].iter().map(|n| *n as usize).sum();
        let edges = &nodes.edges[from_edge..from_edge + n_edges];
        from_edge += n_edges;
        let (head, rest) = edges.split_at(n_edges.min(NodeChunk::EDGE_CAPACITY));
        let part = slice(nodes, range, head);
        let last = part.first + part.shape.len() as u32 - 1;
        each(&Chunk::Nodes(part));
        if !rest.is_empty() {
            split_edges(last, rest, each);
        }
    }
}

/// The nodes of `range`, which own `edges`; a node whose edges are cut gets as many as there are.
fn slice(nodes: &NodeChunk, range: Range<usize>, edges: &[u32]) -> NodeChunk {
    let mut n_edges = nodes.n_edges[range.clone()].to_vec();
    if let [only] = &mut n_edges[..] {
        *only = edges.len() as u32;
    }
    NodeChunk {
        first: nodes.first + range.start as u32,
        address: nodes.address[range.clone()].to_vec(),
        shape: nodes.shape[range.clone()].to_vec(),
        refcount: nodes.refcount[range.clone()].to_vec(),
        shallow_bytes: nodes.shallow_bytes[range.clone()].to_vec(),
        block_bytes: nodes.block_bytes[range.clone()].to_vec(),
        flags: nodes.flags[range].to_vec(),
        n_edges,
        edges: edges.to_vec(),
    }
}

fn split_edges(node: u32, edges: &[u32], each: &mut impl FnMut(&Chunk)) {
    for part in edges.chunks(NodeChunk::EDGE_CAPACITY) {
        each(&Chunk::MoreEdges(MoreEdges { node, edges: part.to_vec() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(chunk: &Chunk) -> Vec<Chunk> {
        let mut out = Vec::new();
        parts(chunk, |part| out.push(part.clone()));
        out
    }

    #[test]
    fn a_usual_chunk_stays_whole() {
        let chunk = Chunk::Strings(vec!["a".into(), "b".into()]);
        assert_eq!(collect(&chunk), [chunk]);
        assert_eq!(collect(&Chunk::Strings(vec![])), [Chunk::Strings(vec![])]);
    }

    #[test]
    fn long_texts_are_spread_over_chunks() {
        let rows: Vec<String> = (0..5).map(|i| i.to_string().repeat(WEIGHT / 2)).collect();
        let parts = collect(&Chunk::Strings(rows.clone()));
        let back: Vec<String> = parts
            .iter()
            .flat_map(|part| match part {
                Chunk::Strings(rows) => rows.clone(),
                other => panic!("unexpected {other:?}"),
            })
            .collect();
        assert!(parts.len() > 1);
        assert_eq!(back, rows);
    }

    #[test]
    fn a_node_with_too_many_edges_goes_on_in_further_chunks() {
        let n = NodeChunk::EDGE_CAPACITY * 2 + 3;
        let nodes = NodeChunk {
            first: 7,
            address: vec![64, 80, 96],
            shape: vec![0; 3],
            refcount: vec![1; 3],
            shallow_bytes: vec![16; 3],
            block_bytes: vec![16; 3],
            flags: vec![Default::default(); 3],
            n_edges: vec![1, n as u32, 1],
            edges: vec![5; n + 2],
        };
        let parts = collect(&Chunk::Nodes(nodes));
        let shapes: Vec<(u32, usize, usize)> = parts
            .iter()
            .map(|part| match part {
                Chunk::Nodes(nodes) => (nodes.first, nodes.shape.len(), nodes.edges.len()),
                Chunk::MoreEdges(more) => (more.node, 0, more.edges.len()),
                other => panic!("unexpected {other:?}"),
            })
            .collect();
        let capacity = NodeChunk::EDGE_CAPACITY;
        assert_eq!(shapes, [(7, 1, 1), (8, 1, capacity), (8, 0, capacity), (8, 0, 3), (9, 1, 1)]);
    }
}
