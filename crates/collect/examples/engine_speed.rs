//! Feeds the engine with the events of a made-up program and prints the CPU time of each, and memory per live block.
//!
//! `cargo run --release -p heapray-collect --example engine_speed [LIVE_BLOCKS] [EVENTS]`
//!
//! Addresses come from a small model of pymalloc: pools of 16 KiB, one size class each, last freed first reused.
//! Three phases: *build* fills the heap, *churn* frees blocks of random age and allocates others (the worst case:
//! nothing is near anything), *recent* frees blocks that are at most 4,096 allocations old.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::collections::VecDeque;
use std::time::Instant;

use heapray_collect::{Engine, NoNames, Settings};
use heapray_wire::ring::cells::{Allocator, Cell, NO_PARENT, NodeKind, alloc, free, node};

const N_SITES: u32 = 5_000;
const BATCH: usize = 65_536;

struct Heap {
    free: Vec<Vec<u64>>,
    next_pool: u64,
    state: u64,
}

impl Heap {
    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn alloc(&mut self) -> (u64, u32) {
        let class = (self.random() % 32).min(self.random() % 32) as usize;
        let size = 16 * (class as u64 + 1);
        if self.free[class].is_empty() {
            let pool = self.next_pool;
            self.next_pool += 16_384;
            let n = (16_384 - 48) / size;
            self.free[class].extend((0..n).rev().map(|at| pool + 48 + at * size));
        }
        (self.free[class].pop().expect("a pool was added"), size as u32)
    }
}

struct Feed {
    engine: Engine,
    number: u32,
    cells: Vec<Cell>,
    n: u64,
    spent: f64,
}

impl Feed {
    fn push(&mut self, cell: Cell) {
        self.cells.push(cell);
        if self.cells.len() == BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let start = cpu_seconds();
        let taken = self.engine.cells(self.number, &self.cells, self.n);
        self.spent += cpu_seconds() - start;
        assert_eq!(taken, self.cells.len(), "no record is cut");
        self.n += taken as u64;
        self.cells.clear();
    }

    fn report(&mut self, phase: &str) {
        self.flush();
        let start = Instant::now();
        self.engine.end_slice(self.n, &mut NoNames);
        let n_chunks = self.engine.take_chunks().len();
        println!(
            "{phase}: {} events, {:.1} ns an event; slice of {n_chunks} chunks in {:.1} ms; {} live, {:.1} bytes each",
            self.n,
            self.spent * 1e9 / self.n as f64,
            start.elapsed().as_secs_f64() * 1e3,
            self.engine.n_blocks(),
            self.engine.heap_bytes() as f64 / self.engine.n_blocks() as f64,
        );
        (self.n, self.spent) = (0, 0.0);
    }
}

/// CPU time of this thread so far (first number of schedstat, nanoseconds): other programs do not count.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel counts CPU time");
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).expect("a number") / 1e9
}

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>().expect("a number"));
    let n_live = args.next().unwrap_or(5_000_000);
    let n_events = args.next().unwrap_or(60_000_000);
    let mut engine = Engine::new(Settings::default());
    let number = engine.start(Vec::new()).expect("there is room");
    let mut feed = Feed { engine, number, cells: Vec::new(), n: 0, spent: 0.0 };
    let mut heap =
        Heap { free: vec![Vec::new(); 32], next_pool: 0x7f00_0000_0000, state: 88_172_645_463_325_252 };
    for id in 1..N_SITES {
        let parent = if id == 1 { NO_PARENT } else { id / 2 };
        node(id, parent, NodeKind::Thread, [u64::from(id), 0]).into_iter().for_each(|cell| feed.push(cell));
    }
    let mut live: Vec<(u64, u32)> = Vec::with_capacity(n_live);
    let born = |heap: &mut Heap, feed: &mut Feed| {
        let (addr, size) = heap.alloc();
        let site =
            1 + (heap.random() % u64::from(N_SITES - 1)).min(heap.random() % u64::from(N_SITES - 1)) as u32;
        feed.push(alloc(Allocator::PythonObject, addr, site, size));
        (addr, size)
    };
    let died = |heap: &mut Heap, feed: &mut Feed, (addr, size): (u64, u32)| {
        heap.free[size as usize / 16 - 1].push(addr);
        feed.push(free(addr, Allocator::PythonObject));
    };
    while live.len() < n_live {
        let block = born(&mut heap, &mut feed);
        live.push(block);
    }
    feed.report("build");
    for _ in 0..n_events / 4 {
        let at = (heap.random() % live.len() as u64) as usize;
        died(&mut heap, &mut feed, live[at]);
        live[at] = born(&mut heap, &mut feed);
    }
    feed.report("churn");
    let mut recent = VecDeque::new();
    for _ in 0..n_events / 4 {
        recent.push_back(born(&mut heap, &mut feed));
        if recent.len() > 4096 {
            let block = recent.pop_front().expect("there are thousands");
            died(&mut heap, &mut feed, block);
        }
    }
    feed.report("recent");
}
