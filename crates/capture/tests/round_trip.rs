//! What was written is what is loaded, whatever the sizes of chunks and of pushed pieces.

mod common;

use common::{Random, assert_sound, capture, snapshot};
use heapray_capture::{HeapTables, SnapshotReader, read};
use heapray_wire::{Chunk, Fact, FactValue, MoreEdges, NodeChunk, NodeFlags, NodeName};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

/// The chunks of a kind, one after the other.
fn rows<T: Clone>(chunks: &[Chunk], of: impl Fn(&Chunk) -> Option<&Vec<T>>) -> Vec<T> {
    chunks.iter().filter_map(of).flatten().cloned().collect()
}

fn nodes(chunks: &[Chunk]) -> Vec<&NodeChunk> {
    chunks
        .iter()
        .filter_map(|chunk| if let Chunk::Nodes(nodes) = chunk { Some(nodes) } else { None })
        .collect()
}

/// Holds tables against the chunks they came from, column by column.
fn assert_same(tables: &HeapTables, chunks: &[Chunk]) {
    let strings = rows(chunks, |chunk| if let Chunk::Strings(rows) = chunk { Some(rows) } else { None });
    let names: Vec<NodeName> = rows(chunks, |c| if let Chunk::Names(rows) = c { Some(rows) } else { None });
    assert!(tables.strings.iter().map(|text| &**text).eq(strings.iter()));
    assert_eq!(tables.names, names);
    assert_eq!(tables.types, rows(chunks, |c| if let Chunk::Types(rows) = c { Some(rows) } else { None }));
    assert_eq!(tables.shapes, rows(chunks, |c| if let Chunk::Shapes(rows) = c { Some(rows) } else { None }));
    assert_eq!(
        tables.skipped,
        rows(chunks, |c| if let Chunk::Skipped(rows) = c { Some(rows) } else { None })
    );
    let mut facts = rows(chunks, |chunk| match chunk {
        Chunk::Process(facts) | Chunk::Facts(facts) => Some(facts),
        _ => None,
    });
    facts.push(Fact { name: "capture.whole".into(), value: FactValue::Int(1) });
    assert_eq!(tables.facts, facts);
    assert_same_nodes(tables, chunks);
}

fn assert_same_nodes(tables: &HeapTables, chunks: &[Chunk]) {
    let late = rows(chunks, |chunk| if let Chunk::Flags(rows) = chunk { Some(rows) } else { None });
    for chunk in nodes(chunks) {
        let mut from = 0;
        for i in 0..chunk.shape.len() {
            let node = chunk.first + i as u32;
            let to = from + chunk.n_edges[i] as usize;
            let bits =
                late.iter().filter(|row| row.0 == node).fold(chunk.flags[i].0, |bits, row| bits | row.1.0);
            assert_eq!(tables.address(node), chunk.address[i]);
            assert_eq!(tables.shape[node as usize], chunk.shape[i]);
            assert_eq!(tables.refcount[node as usize], chunk.refcount[i]);
            assert_eq!(tables.shallow(node), chunk.shallow_bytes[i]);
            assert_eq!(tables.block(node), chunk.block_bytes[i]);
            assert_eq!(tables.flags[node as usize], NodeFlags(bits));
            assert_eq!(tables.targets(node), &chunk.edges[from..to]);
            if bits & NodeFlags::SYNTHETIC == 0 {
                assert_eq!(tables.node_at(chunk.address[i]), Some(node));
            }
            from = to;
        }
    }
}

proptest! {
    #![proptest_config(Config {
        cases: 100, rng_seed: RngSeed::Fixed(11), failure_persistence: None, ..Config::default()
    })]

    #[test]
    fn snapshots_come_back(seed in 0..1_000_000_u64, n in 1..400_u32, capacity in 1..150_usize, piece in 1..5000_usize) {
        let chunks = snapshot(seed, n, capacity);
        let bytes = capture(&chunks);
        let mut reader = SnapshotReader::new("test");
        for part in bytes.chunks(piece) {
            reader.push(part).expect("a capture");
        }
        let file = reader.finish().expect("a snapshot");
        prop_assert_eq!(&file.losses, &[]);
        assert_sound(&file);
        assert_same(&file.processes[0], &chunks);
    }
}

#[test]
fn processes_of_one_file_stay_apart() {
    let processes: Vec<Vec<Chunk>> = (0..4).map(|i| snapshot(i, 20 + i as u32 * 7, 16)).collect();
    let file = read("test", &capture(&processes.concat())).expect("a capture");
    assert_eq!(file.losses, []);
    assert_eq!(file.processes.len(), 4);
    for (tables, chunks) in file.processes.iter().zip(&processes) {
        assert_same(tables, chunks);
    }
}

#[test]
fn a_list_of_two_million_elements_comes_back() {
    let n = 2_000_000;
    let mut random = Random(1);
    let edges: Vec<u32> = (0..n).map(|_| random.below(3) as u32).collect();
    let mut chunks = snapshot(1, 2, 1000);
    let list = NodeChunk {
        first: 0,
        address: vec![4096, 8192, 8208],
        shape: vec![0; 3],
        refcount: vec![1; 3],
        shallow_bytes: vec![56; 3],
        block_bytes: vec![64; 3],
        flags: vec![NodeFlags(1); 3],
        n_edges: vec![1, n, 1],
        edges: [&[2], &edges[..], &[1]].concat(),
    };
    chunks[6] = Chunk::Nodes(list);
    let file = read("test", &capture(&chunks)).expect("a capture");
    assert_eq!(file.losses, []);
    assert_eq!(file.processes[0].targets(0), &[2]);
    assert_eq!(file.processes[0].targets(1), &edges[..]);
    assert_eq!(file.processes[0].targets(2), &[1]);
}

#[test]
fn further_edges_join_their_node() {
    let mut chunks = snapshot(3, 10, 100);
    let last = chunks.iter().position(|chunk| matches!(chunk, Chunk::Nodes(_))).expect("there are nodes");
    chunks.insert(last + 1, Chunk::MoreEdges(MoreEdges { node: 11, edges: vec![3, 4] }));
    let file = read("test", &capture(&chunks)).expect("a capture");
    assert_eq!(file.losses, []);
    assert!(file.processes[0].targets(11).ends_with(&[3, 4]));
}

#[test]
fn full_chunks_of_nodes_come_back() {
    let chunks = snapshot(5, 300_000, NodeChunk::CAPACITY);
    let file = read("test", &capture(&chunks)).expect("a capture");
    assert_eq!(file.losses, []);
    assert_same(&file.processes[0], &chunks);
}
