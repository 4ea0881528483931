//! Small synthetic snapshots, the same at every run, and what any loaded tables must keep.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod recordings;

use heapray_capture::{HeapTables, SnapshotFile, SnapshotWriter};
use heapray_wire::{
    Chunk, ChunkHeader, EdgeStrength, Fact, FactValue, FileHeader, Label, LabelKind, NO_NODE, NO_STRING,
    NodeChunk, NodeFlags, NodeName, ShapeRow, Tail, TypeKind, TypeRow,
};

/// A fixed sequence (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Changes some bytes: flips, moves, repeats, cuts.
pub(crate) fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        if bytes.is_empty() {
            return;
        }
        let (at, other) = (random.below(bytes.len()), random.below(bytes.len()));
        match random.below(6) {
            0 => bytes[at] = random.next() as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at.min(other)..(at.min(other) + random.below(40)).min(at.max(other)))),
            _ => {
                let part = bytes[at..bytes.len().min(at + random.below(60))].to_vec();
                bytes.splice(other..other, part);
            }
        }
    }
}

pub(crate) fn fact(name: &str, value: FactValue) -> Fact {
    Fact { name: name.into(), value }
}

fn type_row(name: u32, kind: TypeKind, node: u32) -> TypeRow {
    let address = if node == NO_NODE { 0 } else { 0x1000 + u64::from(node) * 16 };
    TypeRow { name, address, node, kind, counted: kind == TypeKind::Instance, basic_size: 16, item_size: 8 }
}

fn label(kind: LabelKind, strength: EdgeStrength, name: u32, number: u32) -> Label {
    Label { kind, strength, name, number }
}

/// The chunks before the nodes: 8 strings, 4 types, 5 shapes.
fn prologue(pid: i64) -> Vec<Chunk> {
    let texts = ["list", "dict", "app.Record", "thread", "name", "tags", "buffer", "héros"];
    let types = vec![
        type_row(0, TypeKind::List, 0),
        type_row(1, TypeKind::Dict, 1),
        type_row(2, TypeKind::Instance, 2),
        type_row(3, TypeKind::Thread, NO_NODE),
    ];
    let record = vec![
        label(LabelKind::Attribute, EdgeStrength::Owned, 4, 0),
        label(LabelKind::Attribute, EdgeStrength::Weak, 5, 0),
    ];
    let local = vec![label(LabelKind::Local, EdgeStrength::Borrowed, 6, 0)];
    let shape = |type_idx, labels: &[Label], tail| ShapeRow { type_idx, labels: labels.to_vec(), tail };
    let shapes = [
        shape(0, &[], Tail::Index),
        shape(1, &[], Tail::Pairs),
        shape(2, &record, Tail::None),
        shape(2, &record, Tail::Items),
        shape(3, &local, Tail::Items),
    ];
    vec![
        Chunk::Process(vec![
            fact("pid", FactValue::Int(pid)),
            fact("command", FactValue::Text("gunicorn -w 1".into())),
        ]),
        Chunk::Strings(texts[..5].iter().map(|text| (*text).into()).collect()),
        Chunk::Types(types),
        Chunk::Strings(texts[5..].iter().map(|text| (*text).into()).collect()),
        Chunk::Shapes(shapes[..3].to_vec()),
        Chunk::Shapes(shapes[3..].to_vec()),
    ]
}

/// One node at a time into chunks of `capacity`.
struct Nodes {
    chunks: Vec<NodeChunk>,
    capacity: usize,
    n: u32,
}

impl Nodes {
    fn push(&mut self, (address, flags): (u64, u16), shape: u32, edges: &[u32], random: &mut Random) {
        if (self.n as usize).is_multiple_of(self.capacity) {
            self.chunks.push(NodeChunk { first: self.n, ..NodeChunk::default() });
        }
        let chunk = self.chunks.last_mut().expect("just pushed");
        let large = random.below(40) == 0;
        let bytes = random.below(64) as u64 * 8;
        chunk.address.push(address);
        chunk.shape.push(shape);
        chunk.refcount.push(random.below(5) as u32);
        chunk.shallow_bytes.push(if large { 5 << 32 } else { bytes });
        chunk.block_bytes.push(if large { (5 << 32) + 16 } else { bytes + 16 });
        chunk.flags.push(NodeFlags(flags));
        chunk.n_edges.push(edges.len() as u32);
        chunk.edges.extend_from_slice(edges);
        self.n += 1;
    }
}

/// A whole snapshot of `n` objects and two threads, in chunks of `capacity` nodes.
pub(crate) fn snapshot(seed: u64, n: u32, capacity: usize) -> Vec<Chunk> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut nodes = Nodes { chunks: Vec::new(), capacity, n: 0 };
    let mut address = 0x5555_0000_0000_u64;
    for _ in 0..n {
        address += 16 * (1 + random.below(9) as u64) + if random.below(30) == 0 { 1 << 40 } else { 0 };
        let shape = random.below(4) as u32;
        let n_edges = [random.below(7), random.below(4) * 2, 2, 2 + random.below(3)][shape as usize];
        let edges: Vec<u32> = (0..n_edges).map(|_| random.below(n as usize) as u32).collect();
        let flags = NodeFlags::TRACKED | (random.below(3) as u16) << 3;
        nodes.push((address, flags), shape, &edges, &mut random);
    }
    for thread in 0..2 {
        let edges: Vec<u32> = (0..thread * 3 + 1).map(|_| random.below(n as usize) as u32).collect();
        nodes.push((0, NodeFlags::SYNTHETIC | NodeFlags::ROOT), 4, &edges, &mut random);
    }
    let mut chunks = prologue(4000 + seed as i64);
    chunks.extend(nodes.chunks.into_iter().map(Chunk::Nodes));
    chunks.extend(epilogue(n));
    chunks
}

fn epilogue(n: u32) -> Vec<Chunk> {
    let names: Vec<NodeName> = (0..n).step_by(3).map(|node| NodeName { node, name: node % 8 }).collect();
    let (early, late) = names.split_at(names.len() / 2);
    vec![
        Chunk::Names(early.to_vec()),
        Chunk::Names(late.to_vec()),
        Chunk::Flags(vec![(0, NodeFlags(NodeFlags::ROOT)), (n, NodeFlags(NodeFlags::TORN))]),
        Chunk::Facts(vec![fact("coverage", FactValue::Float(0.998))]),
        Chunk::Skipped(vec![("unreadable dict keys".into(), 3)]),
        Chunk::End,
    ]
}

/// The capture of these chunks.
pub(crate) fn capture(chunks: &[Chunk]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = SnapshotWriter::new(|part: &[u8]| bytes.extend_from_slice(part));
    chunks.iter().for_each(|chunk| writer.chunk(chunk));
    let n_bytes = writer.finish();
    assert_eq!(n_bytes, bytes.len() as u64);
    bytes
}

/// Where frames of a capture begin, and the end of the file.
pub(crate) fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut at = FileHeader::BYTES;
    let mut out = vec![at];
    while at < bytes.len() {
        let stored = u32::from_le_bytes(bytes[at + 16..at + 20].try_into().expect("four bytes"));
        at += ChunkHeader::BYTES + stored as usize;
        out.push(at);
    }
    out
}

/// All that a reader of tables may call, on every node: none of it may panic, whatever the file was.
pub(crate) fn assert_sound(file: &SnapshotFile) {
    for tables in &file.processes {
        assert_columns(tables);
        for node in 0..tables.n_nodes() {
            assert_node(tables, node);
        }
        for row in &tables.types {
            tables.string(row.name);
            assert!(row.node == NO_NODE || row.node < tables.n_nodes());
        }
        assert!(tables.names.is_sorted_by(|a, b| a.node < b.node));
        tables.names.iter().for_each(|name| assert!(name.node < tables.n_nodes()));
    }
}

fn assert_columns(tables: &HeapTables) {
    let n = tables.n_nodes() as usize;
    assert_eq!(tables.address_offset.len(), n);
    assert_eq!(tables.refcount.len(), n);
    assert_eq!(tables.shallow_bytes.len(), n);
    assert_eq!(tables.block_bytes.len(), n);
    assert_eq!(tables.flags.len(), n);
    assert_eq!(tables.edge_start.len(), n + 1);
    assert_eq!(tables.edge_start[n] as usize, tables.edges.len());
    assert!(tables.edge_start.is_sorted());
    assert!(tables.edges.iter().all(|target| (*target as usize) < n));
}

fn assert_node(tables: &HeapTables, node: u32) {
    tables.node_at(tables.address(node));
    tables.type_name(node);
    tables.name(node);
    tables.shallow(node);
    tables.block(node);
    for edge in tables.edges_of(node) {
        assert!(edge.target < tables.n_nodes());
        assert!(edge.label.name == NO_STRING || !tables.string(edge.label.name).is_empty());
    }
}

/// Tables as text, for comparison: everything that a reader can see.
pub(crate) fn text(tables: &HeapTables) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let mut line =
        |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("a string takes everything");
    tables.facts.iter().for_each(|fact| line(format_args!("fact {} {:?}", fact.name, fact.value)));
    tables.types.iter().for_each(|row| line(format_args!("{row:?} {}", tables.string(row.name))));
    for node in 0..tables.n_nodes() {
        line(format_args!(
            "node {node} at {:#x} {} {:?} refcount {} shallow {} block {} flags {:#x}",
            tables.address(node),
            tables.type_name(node),
            tables.name(node),
            tables.refcount[node as usize],
            tables.shallow(node),
            tables.block(node),
            tables.flags[node as usize].0,
        ));
        for edge in tables.edges_of(node) {
            let Label { kind, strength, name, number } = edge.label;
            let name = tables.string(name);
            line(format_args!("  {kind:?} {strength:?} {name:?} {number} to {}", edge.target));
        }
    }
    tables.skipped.iter().for_each(|(what, n)| line(format_args!("skipped {n} {what}")));
    out
}
