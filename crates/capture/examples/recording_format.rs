//! Measures the format of recordings: bytes and CPU time an event and a row, to write and to read.
//!
//! `cargo run --release -p heapray-capture --example recording_format [-- N_EVENTS [RUNS]]`, default 60 million and 5;
//! results in `benches/results/recording-format.md`. With the path of a recording of all events, those are written and
//! read again instead.
//!
//! The events: four threads take turns at requests of fifty kinds; of what a request allocates, most goes at once, some
//! at its end, 1 % into a cache that drops at random. A model of pymalloc places blocks (pools of 16 KiB a size class,
//! the last freed place is taken first). Checks that what is read is what was written.

#![expect(clippy::print_stdout, reason = "prints its table")]

use std::collections::HashMap;
use std::fs;

use heapray_capture::synthetic::{Block, RecordingBuilder};
use heapray_capture::{RecordingReader, RecordingWriter, read_recording};
use heapray_wire::{EventRow, FrameRow, NO_NODE, RecordingChunk, StackRow, allocator};

/// CPU seconds of this process so far (proc_pid_schedstat: nanoseconds on a CPU).
fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/schedstat").expect("Linux with scheduler statistics");
    text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).expect("a number comes first") / 1e9
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

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Small numbers are common: about n × u³.
    fn skewed(&mut self, n: u64) -> u64 {
        let unit = self.next() as f64 / u64::MAX as f64;
        (n as f64 * unit * unit * unit) as u64
    }
}

/// Places blocks as pymalloc does: by class of 16 bytes, the last freed place first, else the next of a pool.
#[derive(Default)]
struct Heap {
    free: HashMap<u64, Vec<u64>>,
    pool: HashMap<u64, (u64, u64)>,
    n_pools: u64,
}

impl Heap {
    fn alloc(&mut self, size: u64) -> u64 {
        let bytes = size.max(1).next_multiple_of(16);
        if let Some(address) = self.free.get_mut(&bytes).and_then(Vec::pop) {
            return address;
        }
        let (next, end) = self.pool.entry(bytes).or_insert((0, 0));
        if *next + bytes > *end {
            *next = 0x7f00_0000_0000 + self.n_pools * 16_384;
            self.n_pools += bytes.div_ceil(16_384);
            *end = *next + bytes.next_multiple_of(16_384);
        }
        *next += bytes;
        *next - bytes
    }

    fn free(&mut self, address: u64, size: u64) {
        self.free.entry(size.max(1).next_multiple_of(16)).or_default().push(address);
    }
}

/// One thread at its request.
#[derive(Default)]
struct Thread {
    kind: u64,
    step: u64,
    held: Vec<EventRow>,
}

/// A service that never stops.
struct Service {
    random: Random,
    heap: Heap,
    threads: [Thread; 4],
    cache: Vec<EventRow>,
    n: u64,
}

/// Kinds of requests, and allocations of one.
const N_KINDS: u64 = 50;
const STEPS: u64 = 120;

impl Service {
    fn new() -> Self {
        let (random, heap) = (Random(0x1234_5678_9abc_def1), Heap::default());
        Self { random, heap, threads: Default::default(), cache: Vec::new(), n: 0 }
    }

    /// Replaces `events` by the next `n` or a few more.
    fn events(&mut self, n: usize, events: &mut Vec<EventRow>) {
        events.clear();
        while events.len() < n {
            let thread = self.random.below(4) as usize;
            for _ in 0..20 {
                self.step(thread, events);
            }
        }
    }

    fn step(&mut self, thread: usize, events: &mut Vec<EventRow>) {
        let (kind, step) = (self.threads[thread].kind, self.threads[thread].step);
        let mut plan = Random((kind * STEPS + step + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        plan.next();
        let size = match plan.below(10) {
            0..7 => 16 + plan.below(20) * 8,
            7 | 8 => 49 + self.random.below(80),
            _ => 600 + self.random.below(4_000),
        };
        let allocator = if plan.below(4) == 0 { allocator::PYTHON_MEM } else { allocator::PYTHON_OBJECT };
        let node = (kind * STEPS + plan.below(STEPS)) as u32;
        let block = self.alloc((node, allocator), size, events);
        match self.random.below(100) {
            0 => self.keep(block, events),
            1..25 => self.threads[thread].held.push(block),
            _ => self.free(block, events),
        }
        self.threads[thread].step += 1;
        if step + 1 == STEPS {
            let held = std::mem::take(&mut self.threads[thread].held);
            held.into_iter().for_each(|block| self.free(block, events));
            let kind = self.random.skewed(N_KINDS);
            self.threads[thread] = Thread { kind, ..Thread::default() };
        }
    }

    fn alloc(&mut self, (node, allocator): (u32, u8), size: u64, events: &mut Vec<EventRow>) -> EventRow {
        let address = self.heap.alloc(size);
        self.push(EventRow { t_ns: 0, kind: EventRow::ALLOC, allocator, node, address, size }, events)
    }

    fn free(&mut self, block: EventRow, events: &mut Vec<EventRow>) {
        self.heap.free(block.address, block.size);
        self.push(EventRow { kind: EventRow::FREE, ..block }, events);
    }

    fn keep(&mut self, block: EventRow, events: &mut Vec<EventRow>) {
        self.cache.push(block);
        if self.cache.len() > 50_000 {
            let at = self.random.below(self.cache.len() as u64) as usize;
            let old = self.cache.swap_remove(at);
            self.free(old, events);
        }
    }

    /// The collector drains about 8,000 events at once, and they all get its time.
    fn push(&mut self, event: EventRow, events: &mut Vec<EventRow>) -> EventRow {
        let event = EventRow { t_ns: self.n / 8_192 * 5_123_457, ..event };
        self.n += 1;
        events.push(event);
        event
    }
}

/// Cheap, and differs where anything differs.
fn digest(sum: u64, event: &EventRow) -> u64 {
    let word = event.t_ns ^ event.address.rotate_left(17) ^ event.size << 3 ^ u64::from(event.node) << 32;
    (sum.rotate_left(5) ^ word ^ u64::from(event.kind) << 8 ^ u64::from(event.allocator))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

struct Figures {
    write_ns: f64,
    read_ns: f64,
    skip_ns: f64,
    bytes: f64,
}

/// Writes the events that `next` gives in chunks, and reads them again.
fn measure(n_nodes: u32, mut next: impl FnMut(&mut Vec<EventRow>) -> bool) -> (u64, Figures) {
    let mut bytes = Vec::new();
    let mut writer = RecordingWriter::new(|part: &[u8]| bytes.extend_from_slice(part));
    writer.chunk(&RecordingChunk::Recording(vec![]), 0);
    writer.chunk(&RecordingChunk::Task(vec![]), 0);
    writer.chunk(&RecordingChunk::Frames(vec![FrameRow::LOST]), 0);
    writer.chunk(&RecordingChunk::Nodes(vec![StackRow { parent: NO_NODE, frame: 0 }; n_nodes as usize]), 0);
    let (mut n, mut wrote, mut written, mut events) = (0_u64, 0_u64, 0_u64, Vec::new());
    while next(&mut events) {
        n += events.len() as u64;
        wrote = events.iter().fold(wrote, digest);
        let chunk = RecordingChunk::Events(std::mem::take(&mut events));
        let before = cpu_seconds();
        writer.chunk(&chunk, 0);
        written += ((cpu_seconds() - before) * 1e9) as u64;
    }
    writer.finish();
    let before = cpu_seconds();
    let skipped = read_recording("example", &bytes).expect("a recording").tasks[0].n_events;
    let skip_ns = (cpu_seconds() - before) * 1e9 / n as f64;
    assert_eq!(skipped, n);
    let mut n_read = 0;
    let before = cpu_seconds();
    let mut reader = RecordingReader::new("example").on_events(|_, events| n_read += events.len() as u64);
    bytes.chunks(1 << 20).for_each(|part| reader.push(part).expect("a recording"));
    reader.finish().expect("a recording");
    let read_ns = (cpu_seconds() - before) * 1e9 / n as f64;
    assert_eq!(n_read, n);
    let mut read = 0_u64;
    let mut reader =
        RecordingReader::new("example").on_events(|_, events| read = events.iter().fold(read, digest));
    reader.push(&bytes).expect("a recording");
    reader.finish().expect("a recording");
    assert_eq!(read, wrote);
    (
        n,
        Figures {
            write_ns: written as f64 / n as f64,
            read_ns,
            skip_ns,
            bytes: bytes.len() as f64 / n as f64,
        },
    )
}

fn print(name: &str, mut values: Vec<f64>) {
    values.sort_by(f64::total_cmp);
    println!("{name}: {:.2} ({:.2} to {:.2})", values[values.len() / 2], values[0], values[values.len() - 1]);
}

fn print_all(n: u64, figures: &[Figures]) {
    println!("{n} events, {} runs", figures.len());
    print("  bytes an event", figures.iter().map(|figures| figures.bytes).collect());
    print("  CPU ns an event to write", figures.iter().map(|figures| figures.write_ns).collect());
    print("  CPU ns an event to read", figures.iter().map(|figures| figures.read_ns).collect());
    print("  CPU ns an event to pass over", figures.iter().map(|figures| figures.skip_ns).collect());
}

/// Ten minutes of a service: slices of a second, 3,000 sites, most blocks freed within some slices.
fn slices(mut builder: RecordingBuilder, per_slice: usize, is_sampled: bool) -> Vec<(RecordingChunk, u16)> {
    let mut random = Random(0xfeed_f00d_1234_5671);
    let task = builder.task(4242, None);
    let sites: Vec<(u32, u8)> = (0..3_000)
        .map(|i| {
            let line = format!("function_{i} app/module_{}.py:{}", i / 40, i % 40 * 7);
            (builder.stack(&["thread:MainThread", "handle app.py:12", &line]), allocator::PYTHON_OBJECT)
        })
        .collect();
    let mut blocks: Vec<Block> = Vec::new();
    for _ in 0..600 {
        for _ in 0..per_slice {
            let site = sites[random.skewed(sites.len() as u64) as usize];
            let size = 16 + random.skewed(4_000);
            blocks.push(match is_sampled {
                true => builder.sample(task, site, (size, 65_536)),
                false => builder.alloc(task, site, size),
            });
            if blocks.len() > 2 * per_slice {
                let at = random.below(blocks.len() as u64) as usize;
                builder.free(blocks.swap_remove(at));
            }
        }
        builder.advance(1_000_000_000);
    }
    let mut chunks = builder.chunks();
    chunks.retain(|(chunk, _)| !matches!(chunk, RecordingChunk::Events(_) | RecordingChunk::Peak(_)));
    chunks
}

fn measure_slices(name: &str, chunks: &[(RecordingChunk, u16)], n_runs: usize) {
    let rows: usize = chunks
        .iter()
        .map(|(chunk, _)| match chunk {
            RecordingChunk::Slice(slice) => slice.allocs.len() + slice.frees.len(),
            _ => 0,
        })
        .sum();
    let (mut sizes, mut writes, mut reads) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..n_runs {
        let mut bytes = Vec::new();
        let before = cpu_seconds();
        let mut writer = RecordingWriter::new(|part: &[u8]| bytes.extend_from_slice(part));
        chunks.iter().for_each(|(chunk, process)| writer.chunk(chunk, *process));
        writer.finish();
        writes.push((cpu_seconds() - before) * 1e9 / rows as f64);
        let before = cpu_seconds();
        let recording = read_recording("example", &bytes).expect("a recording");
        reads.push((cpu_seconds() - before) * 1e9 / rows as f64);
        assert_eq!(recording.losses, []);
        sizes.push(bytes.len() as f64 / rows as f64);
    }
    println!("{name}: {rows} rows in 600 slices, {n_runs} runs");
    print("  bytes a row", sizes);
    print("  CPU ns a row to write", writes);
    print("  CPU ns a row to read", reads);
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    let n_runs = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(5);
    if let Some(path) = first.as_ref().filter(|first| first.parse::<u64>().is_err()) {
        return measure_file(path, n_runs);
    }
    let n = first.and_then(|n| n.parse().ok()).unwrap_or(60_000_000);
    let mut figures = Vec::new();
    let mut n_written = 0;
    for _ in 0..n_runs {
        let mut service = Service::new();
        let (n, run) = measure(N_KINDS as u32 * STEPS as u32, |events| {
            service.events(65_536, events);
            service.n <= n
        });
        n_written = n;
        figures.push(run);
    }
    print_all(n_written, &figures);
    measure_slices("sampled", &slices(RecordingBuilder::sampled(65_536), 1_600, true), n_runs);
    measure_slices("exact", &slices(RecordingBuilder::exact(), 20_000, false), n_runs);
}

/// The same with the events of a recording.
fn measure_file(path: &str, n_runs: usize) {
    let bytes = fs::read(path).expect("the recording is readable");
    let mut all = Vec::new();
    let mut reader = RecordingReader::new(path).on_events(|_, events| all.extend_from_slice(events));
    reader.push(&bytes).expect("a recording");
    reader.finish().expect("a recording");
    let n_nodes = all.iter().map(|event| event.node.saturating_add(1)).max().unwrap_or(0);
    let mut figures = Vec::new();
    for _ in 0..n_runs {
        let mut parts = all.chunks(65_536);
        let (_, run) = measure(n_nodes, |events| parts.next().map(|part| *events = part.to_vec()).is_some());
        figures.push(run);
    }
    print_all(all.len() as u64, &figures);
}
