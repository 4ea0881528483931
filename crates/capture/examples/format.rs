//! Measures the capture format: CPU seconds to encode and to load, bytes a node, on a synthetic heap.
//!
//! `cargo run --release -p heapray-capture --example format [-- N_NODES [RUNS]]`, default 10 million and 5; results in
//! `benches/results/format.md`. Or with the path of a dump of a real heap, columns as `dump` below reads them.
//! The heap: instances, dicts of shared keys, lists, strings, a cache and one list that holds all, placed by a model of
//! pymalloc (pools of 16 KiB a size class, 30 % of places reused at random). Checks that what is loaded is what was written.

#![expect(clippy::print_stdout, reason = "prints its table")]

use std::fs;

use heapray_capture::{HeapTables, SnapshotReader, SnapshotWriter};
use heapray_wire::{
    Chunk, EdgeStrength, Label, LabelKind, NO_NODE, NO_STRING, NodeChunk, NodeFlags, ShapeRow, Tail,
    TypeKind, TypeRow,
};

/// CPU seconds of this process so far (proc_pid_schedstat: nanoseconds on a CPU).
fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/schedstat").expect("Linux with scheduler statistics");
    text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).expect("a number comes first") / 1e9
}

fn resident_bytes(key: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find(|line| line.starts_with(key)).expect("the line is there");
    line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).expect("a number") * 1024
}

/// A fixed sequence (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Places by size class: bump within 16 KiB pools, 30 % reuse of freed places.
struct Allocator {
    random: Random,
    next_pool: u64,
    bump: [(u64, u64); 64],
    free: Vec<Vec<u64>>,
}

impl Allocator {
    fn place(&mut self, bytes: u64) -> u64 {
        let class = bytes.div_ceil(16) as usize;
        if self.random.below(10) < 3 && !self.free[class].is_empty() {
            let at = self.random.below(self.free[class].len());
            return self.free[class].swap_remove(at);
        }
        loop {
            let place = self.fresh(class);
            if self.random.below(10) >= 3 {
                return place;
            }
            self.free[class].push(place);
        }
    }

    fn fresh(&mut self, class: usize) -> u64 {
        let size = class as u64 * 16;
        let (at, end) = &mut self.bump[class];
        if *at + size > *end {
            (*at, *end) = (self.next_pool + 48, self.next_pool + 16_384);
            self.next_pool += 16_384;
        }
        *at += size;
        *at - size
    }
}

/// Objects in the order of their allocation; edges by that order.
struct Heap {
    allocator: Allocator,
    address: Vec<u64>,
    shape: Vec<u8>,
    shallow: Vec<u32>,
    refcount: Vec<u32>,
    edge_start: Vec<u32>,
    edges: Vec<u32>,
}

const INT: u8 = 0;
const STR: u8 = 1;
const LIST: u8 = 2;
const FLOAT: u8 = 3;
const RECORD: u8 = 4;
const DICT: u8 = 5;
const BYTES: u8 = 6;
const N_SHAPES: u32 = 7;

impl Heap {
    fn new() -> Self {
        let allocator = Allocator {
            random: Random(0x9e37_79b9),
            next_pool: 0x7f00_0000_0000,
            bump: [(0, 0); 64],
            free: vec![Vec::new(); 64],
        };
        Self {
            allocator,
            address: Vec::new(),
            shape: Vec::new(),
            shallow: Vec::new(),
            refcount: Vec::new(),
            edge_start: vec![0],
            edges: Vec::new(),
        }
    }

    fn object(&mut self, shape: u8, bytes: u64, targets: &[u32]) -> u32 {
        let address = self.allocator.place(bytes);
        self.address.push(address);
        self.shape.push(shape);
        self.shallow.push(bytes as u32);
        self.refcount.push(0);
        self.edges.extend_from_slice(targets);
        self.edge_start.push(self.edges.len() as u32);
        targets.iter().for_each(|target| self.refcount[*target as usize] += 1);
        self.address.len() as u32 - 1
    }

    fn text(&mut self) -> u32 {
        let bytes = 50 + self.allocator.random.below(60) as u64;
        self.object(STR, bytes, &[])
    }

    fn fill(&mut self, n: usize) {
        let shared: Vec<u32> = (0..300).map(|_| self.object(INT, 28, &[])).collect();
        let keys: Vec<u32> = (0..3).map(|_| self.text()).collect();
        let (mut all, mut cache) = (Vec::new(), Vec::new());
        while self.address.len() < n {
            let any = |random: &mut Random| shared[random.below(300)];
            let few: Vec<u32> = (0..2).map(|_| any(&mut self.allocator.random)).collect();
            let (id, name) = (self.object(INT, 28, &[]), self.text());
            let (list, float) = (self.object(LIST, 72, &few), self.object(FLOAT, 24, &[]));
            all.push(self.object(RECORD, 48, &[id, name, list, float]));
            let many: Vec<u32> =
                (0..self.allocator.random.below(16)).map(|_| any(&mut self.allocator.random)).collect();
            let (id, name) = (self.object(INT, 28, &[]), self.text());
            let list = self.object(LIST, 56 + 8 * many.len() as u64, &many);
            all.push(self.object(DICT, 184, &[keys[0], id, keys[1], name, keys[2], list]));
            cache.push(self.text());
            let bytes = 33 + self.allocator.random.below(400) as u64;
            cache.push(self.object(BYTES, bytes, &[]));
        }
        self.object(LIST, 1000, &all);
        self.object(DICT, 1000, &cache);
    }

    /// The nodes in order of address, as a walker gives them.
    fn chunks(&self) -> Vec<NodeChunk> {
        let mut order: Vec<u32> = (0..self.address.len() as u32).collect();
        order.sort_unstable_by_key(|i| self.address[*i as usize]);
        let mut rank = vec![0; order.len()];
        order.iter().enumerate().for_each(|(id, i)| rank[*i as usize] = id as u32);
        let mut chunks: Vec<NodeChunk> = Vec::new();
        for (at, part) in order.chunks(NodeChunk::CAPACITY).enumerate() {
            let mut chunk = NodeChunk { first: (at * NodeChunk::CAPACITY) as u32, ..NodeChunk::default() };
            part.iter().for_each(|i| self.node(*i as usize, &rank, &mut chunk));
            chunks.push(chunk);
        }
        chunks
    }

    fn node(&self, i: usize, rank: &[u32], chunk: &mut NodeChunk) {
        let targets = &self.edges[self.edge_start[i] as usize..self.edge_start[i + 1] as usize];
        let tracked = matches!(self.shape[i], LIST | RECORD | DICT);
        chunk.address.push(self.address[i]);
        chunk.shape.push(u32::from(self.shape[i]));
        chunk.refcount.push(self.refcount[i]);
        chunk.shallow_bytes.push(u64::from(self.shallow[i]));
        chunk.block_bytes.push(u64::from(self.shallow[i]).next_multiple_of(16));
        chunk.flags.push(NodeFlags(if tracked { NodeFlags::TRACKED | 2 << 3 } else { 0 }));
        chunk.n_edges.push(targets.len() as u32);
        chunk.edges.extend(targets.iter().map(|target| rank[*target as usize]));
    }
}

/// A dump of a real heap: n_nodes, n_edges, n_shapes (u64), then the columns of `NodeChunk`, whole.
fn dump(path: &str) -> (Vec<NodeChunk>, u32) {
    let bytes = fs::read(path).expect("the dump is readable");
    let mut at = 0;
    let mut column = |n: usize, width: usize| {
        at += n * width;
        let word = |item: &[u8]| item.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        bytes[at - n * width..at].chunks_exact(width).map(word).collect::<Vec<u64>>()
    };
    let head = column(3, 8);
    let (n, n_edges) = (head[0] as usize, head[1] as usize);
    let (address, shape, refcount, shallow) = (column(n, 8), column(n, 4), column(n, 4), column(n, 8));
    let (block, flags, counts, edges) = (column(n, 8), column(n, 2), column(n, 4), column(n_edges, 4));
    let mut chunks: Vec<NodeChunk> = Vec::new();
    let mut edge = 0;
    for i in 0..n {
        if i % NodeChunk::CAPACITY == 0 {
            chunks.push(NodeChunk { first: i as u32, ..NodeChunk::default() });
        }
        let chunk = chunks.last_mut().expect("just pushed");
        chunk.address.push(address[i]);
        chunk.shape.push(shape[i] as u32);
        chunk.refcount.push(refcount[i] as u32);
        chunk.shallow_bytes.push(shallow[i]);
        chunk.block_bytes.push(block[i]);
        chunk.flags.push(NodeFlags(flags[i] as u16));
        chunk.n_edges.push(counts[i] as u32);
        chunk.edges.extend(edges[edge..edge + counts[i] as usize].iter().map(|target| *target as u32));
        edge += counts[i] as usize;
    }
    (chunks, head[2] as u32)
}

fn prologue(n_shapes: u32) -> [Chunk; 3] {
    let types = (0..n_shapes).map(|_| TypeRow {
        name: NO_STRING,
        address: 0,
        node: NO_NODE,
        kind: TypeKind::Other,
        counted: false,
        basic_size: 16,
        item_size: 0,
    });
    let label =
        |number| Label { kind: LabelKind::Index, strength: EdgeStrength::Owned, name: NO_STRING, number };
    let shapes = (0..n_shapes).map(|type_idx| ShapeRow {
        type_idx,
        labels: if type_idx == u32::from(RECORD) { (0..4).map(label).collect() } else { Vec::new() },
        tail: Tail::Index,
    });
    [Chunk::Process(Vec::new()), Chunk::Types(types.collect()), Chunk::Shapes(shapes.collect())]
}

fn write(chunks: &[Chunk]) -> (Vec<u8>, f64) {
    let mut bytes = Vec::new();
    let start = cpu_seconds();
    let mut writer = SnapshotWriter::new(|part: &[u8]| bytes.extend_from_slice(part));
    chunks.iter().for_each(|chunk| writer.chunk(chunk));
    writer.finish();
    (bytes, cpu_seconds() - start)
}

fn load(bytes: &[u8]) -> (HeapTables, f64) {
    let start = cpu_seconds();
    let mut reader = SnapshotReader::new("the synthetic heap");
    bytes.chunks(1 << 20).for_each(|part| reader.push(part).expect("it is a capture"));
    let mut file = reader.finish().expect("it holds a snapshot");
    let seconds = cpu_seconds() - start;
    assert!(file.losses.is_empty(), "{:?}", file.losses);
    (file.processes.remove(0), seconds)
}

fn check(tables: &HeapTables, nodes: &[NodeChunk]) {
    let edges: Vec<u32> = nodes.iter().flat_map(|chunk| chunk.edges.iter().copied()).collect();
    assert_eq!(tables.edges, edges);
    for chunk in nodes {
        for i in 0..chunk.shape.len() {
            let node = chunk.first + i as u32;
            assert_eq!(tables.address(node), chunk.address[i]);
            assert_eq!(tables.shape[node as usize], chunk.shape[i]);
            assert_eq!(tables.refcount[node as usize], chunk.refcount[i]);
            assert_eq!(tables.shallow(node), chunk.shallow_bytes[i]);
            assert_eq!(tables.targets(node).len(), chunk.n_edges[i] as usize);
        }
    }
}

fn median(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    format!("{:.2} ({:.2} to {:.2})", values[values.len() / 2], values[0], values[values.len() - 1])
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let source = args.first().map_or("10000000", String::as_str);
    let runs = args.get(1).and_then(|n| n.parse().ok()).unwrap_or(5);
    let (nodes, n_shapes) = match source.parse() {
        Ok(n) => {
            let mut heap = Heap::new();
            heap.fill(n);
            (heap.chunks(), N_SHAPES)
        }
        Err(_) => dump(source),
    };
    let n_nodes: usize = nodes.iter().map(|chunk| chunk.shape.len()).sum();
    let n_edges: usize = nodes.iter().map(|chunk| chunk.edges.len()).sum();
    let mut chunks = Vec::from(prologue(n_shapes));
    chunks.extend(nodes.iter().cloned().map(Chunk::Nodes));
    chunks.push(Chunk::End);
    let (mut encode, mut decode, mut n_bytes) = (Vec::new(), Vec::new(), 0);
    for run in 0..runs {
        let (bytes, seconds) = write(&chunks);
        encode.push(seconds);
        n_bytes = bytes.len();
        let before = resident_bytes("VmRSS");
        let (tables, seconds) = load(&bytes);
        decode.push(seconds);
        if run == 0 {
            let grown = resident_bytes("VmRSS").saturating_sub(before);
            println!("loaded tables: {:.1} bytes a node resident", grown as f64 / n_nodes as f64);
            check(&tables, &nodes);
        }
    }
    println!(
        "{n_nodes} nodes, {n_edges} edges, {n_bytes} bytes: {:.2} a node",
        n_bytes as f64 / n_nodes as f64
    );
    println!("encode and compress, CPU s, median (spread) of {runs}: {}", median(encode));
    println!("load, CPU s, median (spread) of {runs}: {}", median(decode));
}
