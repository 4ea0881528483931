//! Every chunk comes back from its bytes as it was; bytes that no encoder made are refused without a panic.

use heapray_wire::{
    Chunk, EdgeStrength, Fact, FactValue, Label, LabelKind, MoreEdges, NodeChunk, NodeFlags, NodeName,
    ShapeRow, Tail, TypeKind, TypeRow, decode, encode, kind, kind_of,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed};

const TYPE_KINDS: [TypeKind; 5] =
    [TypeKind::Other, TypeKind::Instance, TypeKind::Capsule, TypeKind::Interpreter, TypeKind::UnknownHolder];
const STRENGTHS: [EdgeStrength; 4] =
    [EdgeStrength::Owned, EdgeStrength::Borrowed, EdgeStrength::Weak, EdgeStrength::Inferred];
const LABEL_KINDS: [LabelKind; 4] = [LabelKind::Field, LabelKind::Key, LabelKind::Offset, LabelKind::Type];
const TAILS: [Tail; 4] = [Tail::None, Tail::Index, Tail::Pairs, Tail::Items];

/// The same cases at every run.
fn config() -> Config {
    Config { cases: 400, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..Config::default() }
}

fn encoded(chunk: &Chunk) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(chunk, &mut bytes);
    bytes
}

fn fact() -> impl Strategy<Value = Fact> {
    let value = prop_oneof![
        any::<i64>().prop_map(FactValue::Int),
        (-1e300..1e300).prop_map(FactValue::Float),
        any::<String>().prop_map(FactValue::Text),
    ];
    (any::<String>(), value).prop_map(|(name, value)| Fact { name, value })
}

fn type_row() -> impl Strategy<Value = TypeRow> {
    (any::<[u32; 4]>(), any::<u64>(), select(&TYPE_KINDS[..]), any::<bool>()).prop_map(
        |([name, node, basic_size, item_size], address, kind, counted)| TypeRow {
            name,
            address,
            node,
            kind,
            counted,
            basic_size,
            item_size,
        },
    )
}

fn shape_row() -> impl Strategy<Value = ShapeRow> {
    let label = (select(&LABEL_KINDS[..]), select(&STRENGTHS[..]), any::<u32>(), any::<u32>())
        .prop_map(|(kind, strength, name, number)| Label { kind, strength, name, number });
    (any::<u32>(), vec(label, 0..6), select(&TAILS[..])).prop_map(|(type_idx, labels, tail)| ShapeRow {
        type_idx,
        labels,
        tail,
    })
}

/// Numbers that repeat and numbers that do not.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..4_u64, 2 => 0..300_u64, 1 => any::<u64>()]
}

fn nodes() -> impl Strategy<Value = NodeChunk> {
    let row = (any::<u64>(), vec(number(), 5), any::<bool>(), vec(any::<u32>(), 0..4));
    (any::<u32>(), vec(row, 0..200), 0..3_u8).prop_map(|(first, rows, far)| {
        let mut nodes = NodeChunk { first, ..NodeChunk::default() };
        for (i, (address, numbers, synthetic, edges)) in rows.into_iter().enumerate() {
            let bits = numbers[4] as u16 & !NodeFlags::SYNTHETIC;
            nodes.flags.push(NodeFlags(bits | if synthetic { NodeFlags::SYNTHETIC } else { 0 }));
            nodes.address.push(if synthetic { 0 } else { address & !7 });
            nodes.shape.push(numbers[0] as u32);
            nodes.refcount.push(numbers[1] as u32);
            nodes.shallow_bytes.push(numbers[2]);
            nodes.block_bytes.push(numbers[3]);
            nodes.n_edges.push(edges.len() as u32);
            let near = |edge: u32| if far == 0 { edge } else { first.wrapping_add(i as u32 + edge % 700) };
            nodes.edges.extend(edges.into_iter().map(near));
        }
        nodes
    })
}

fn chunk() -> impl Strategy<Value = Chunk> {
    prop_oneof![nodes().prop_map(Chunk::Nodes), rows()]
}

fn rows() -> impl Strategy<Value = Chunk> {
    let name = any::<(u32, u32)>().prop_map(|(node, name)| NodeName { node, name });
    let flags = any::<(u32, u16)>().prop_map(|(node, bits)| (node, NodeFlags(bits)));
    prop_oneof![
        vec(fact(), 0..5).prop_map(Chunk::Process),
        vec(any::<String>(), 0..9).prop_map(Chunk::Strings),
        vec(type_row(), 0..9).prop_map(Chunk::Types),
        vec(shape_row(), 0..9).prop_map(Chunk::Shapes),
        (any::<u32>(), vec(any::<u32>(), 0..50))
            .prop_map(|(node, edges)| Chunk::MoreEdges(MoreEdges { node, edges })),
        vec(name, 0..50).prop_map(Chunk::Names),
        vec(flags, 0..50).prop_map(Chunk::Flags),
        vec(fact(), 0..5).prop_map(Chunk::Facts),
        vec(any::<(String, u64)>(), 0..5).prop_map(Chunk::Skipped),
        Just(Chunk::End),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_chunk_comes_back(chunk in chunk()) {
        prop_assert_eq!(decode(kind_of(&chunk), &encoded(&chunk)), Ok(chunk));
    }

    #[test]
    fn a_cut_chunk_is_refused(chunk in chunk(), at in any::<prop::sample::Index>()) {
        let bytes = encoded(&chunk);
        if !bytes.is_empty() {
            prop_assert!(decode(kind_of(&chunk), &bytes[..at.index(bytes.len())]).is_err());
        }
    }

    #[test]
    fn a_chunk_with_a_byte_too_many_is_refused(chunk in chunk(), byte in any::<u8>()) {
        let mut bytes = encoded(&chunk);
        bytes.push(byte);
        prop_assert!(decode(kind_of(&chunk), &bytes).is_err());
    }

    #[test]
    fn random_bytes_never_panic(kind in kind::PROCESS..=kind::END, bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode(kind, &bytes);
    }

    #[test]
    fn what_decodes_encodes_to_the_same_chunk(
        chunk in chunk(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = encoded(&chunk);
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(changed) = decode(kind_of(&chunk), &bytes) {
                let again = decode(kind_of(&chunk), &encoded(&changed));
                prop_assert_eq!(format!("{again:?}"), format!("{:?}", Ok::<_, ()>(changed)));
            }
        }
    }
}

#[test]
fn a_full_chunk_of_distinct_rows_comes_back() {
    let n = NodeChunk::CAPACITY;
    let nodes = NodeChunk {
        first: 5,
        address: (0..n as u64).map(|i| 4096 + i * 16).collect(),
        shape: (0..n as u32).collect(),
        refcount: vec![u32::MAX; n],
        shallow_bytes: vec![u64::MAX; n],
        block_bytes: vec![0; n],
        flags: vec![NodeFlags(1); n],
        n_edges: vec![(NodeChunk::EDGE_CAPACITY / n) as u32; n],
        edges: (0..NodeChunk::EDGE_CAPACITY as u32).map(|i| i.wrapping_mul(2_654_435_761)).collect(),
    };
    let chunk = Chunk::Nodes(nodes);
    assert_eq!(decode(kind::NODES, &encoded(&chunk)), Ok(chunk));
}

#[test]
fn an_unknown_kind_is_refused() {
    assert!(decode(0, &[]).is_err());
    assert!(decode(kind::FILE_END, &[]).is_err());
    assert!(decode(kind::OPTIONAL, &[]).is_err());
}
