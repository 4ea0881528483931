//! A random program: blocks of several processes with births and deaths, and the recording that they make.

use heapray_capture::{Recording, Task};
use heapray_profile::Amount;
use heapray_wire::{
    AllocRow, Fact, FactValue, FrameKind, FrameRow, FreeRow, Inherited, LiveRow, NO_NODE, NO_STRING, Peak,
    Slice, StackRow, TaskEnd,
};
use std::collections::{BTreeMap, BTreeSet};

/// Length of a slice.
pub(crate) const SLICE_NS: u64 = 1_000_000_000;

/// One block of one process.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) number: usize,
    /// Number of the block that this is a copy of, or its own.
    pub(crate) origin: usize,
    pub(crate) task: usize,
    pub(crate) node: u32,
    pub(crate) allocator: u8,
    pub(crate) amount: Amount,
    pub(crate) birth: u32,
    pub(crate) death: Option<u32>,
    pub(crate) is_inherited: bool,
}

impl Block {
    /// Whether it lives before the slice of this number; what was inherited lived before its process, too.
    pub(crate) fn lives_at(&self, boundary: u32) -> bool {
        (self.birth < boundary || self.is_inherited) && self.death.is_none_or(|death| death >= boundary)
    }
}

/// A program and its recording.
pub(crate) struct Program {
    pub(crate) blocks: Vec<Block>,
    pub(crate) recording: Recording,
    /// Per task: numbers of the blocks alive at its high-water mark.
    pub(crate) at_peak: Vec<BTreeSet<usize>>,
    /// Per task: which one forked it; the first was started.
    pub(crate) parents: Vec<usize>,
    peak_slices: Vec<u32>,
    starts: Vec<u32>,
    ends: Vec<Option<u32>>,
}

/// A linear congruential generator (Knuth's MMIX), so that a seed is a program.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

impl Program {
    pub(crate) fn random(seed: u64) -> Self {
        let mut random = Random(seed);
        let n_slices = 2 + random.below(7) as u32;
        let n_tasks = 1 + random.below(5) as usize;
        let mut starts: Vec<u32> =
            (0..n_tasks).map(|i| if i == 0 { 0 } else { random.below(u64::from(n_slices)) as u32 }).collect();
        starts.sort_unstable();
        let ends: Vec<Option<u32>> = (0..n_tasks)
            .map(|i| {
                (random.below(2) == 0)
                    .then(|| starts[i] + random.below(u64::from(n_slices - starts[i])) as u32)
            })
            .collect();
        let mut parents = vec![0; n_tasks];
        for task in 1..n_tasks {
            let alive = |of: &usize| ends[*of].is_none_or(|end: u32| end >= starts[task]);
            let alive: Vec<usize> = (0..task).filter(alive).collect();
            parents[task] = alive.get(random.below(alive.len().max(1) as u64) as usize).copied().unwrap_or(0);
        }
        let mut program = Self {
            parents,
            blocks: Vec::new(),
            recording: skeleton(&mut random, n_slices),
            at_peak: vec![BTreeSet::new(); n_tasks],
            peak_slices: vec![0; n_tasks],
            starts,
            ends,
        };
        let mut best = vec![0.0; n_tasks];
        for slice in 0..n_slices {
            for (task, best) in best.iter_mut().enumerate() {
                program.step(&mut random, slice, task, best);
            }
        }
        program.record();
        program
    }

    /// The slice of a task's high-water mark.
    pub(crate) fn peak_slice(&self, task: usize) -> u32 {
        self.peak_slices[task]
    }

    /// The slice in which a task began.
    pub(crate) fn start_slice(&self, task: usize) -> u32 {
        self.starts[task]
    }

    /// The slice in which a task ended.
    pub(crate) fn end_slice(&self, task: usize) -> Option<u32> {
        self.ends[task]
    }

    /// Whether a task runs before the slice of this number.
    pub(crate) fn runs_at(&self, task: usize, boundary: u32) -> bool {
        self.ends[task].is_none_or(|end| boundary <= end)
    }

    /// The first boundary at which a block counts among those of all tasks: once for all its copies, in the process that is first in
    /// the tree and not gone. `gone` says in which slice a task ceases to hold anything, if it does. `None`: never.
    pub(crate) fn since(&self, block: &Block, gone: &dyn Fn(usize) -> Option<u32>) -> Option<u32> {
        if !block.is_inherited {
            return Some(0);
        }
        let line = self.line(block.task);
        let copies = self.blocks.iter().filter(|b| b.origin == block.origin);
        let holders: BTreeSet<usize> = copies.map(|b| b.task).collect();
        let mut since = 0;
        for elder in 0..self.starts.len() {
            let other = self.line(elder);
            let n_shared = line.iter().zip(&other).take_while(|(a, b)| a == b).count();
            let (Some(mine), theirs) = (line.get(n_shared), other.get(n_shared)) else { continue };
            if theirs.is_some_and(|forked| forked > mine) {
                continue;
            }
            // They share it if those had it with whom their lines parted. Who did so in the slice of its birth is not told.
            let parted =
                theirs.map_or(self.starts[*mine], |forked| self.starts[*forked].min(self.starts[*mine]));
            let had = |task: &usize| holders.contains(task);
            if block.birth != parted && !(had(&other[n_shared - 1]) && theirs.is_none_or(had)) {
                continue;
            }
            let end = self.ends[block.task].unwrap_or(u32::MAX);
            let gone = gone(elder).filter(|gone| *gone < end)?;
            since = since.max(gone + 1);
        }
        Some(if since > self.starts[block.task] { since } else { 0 })
    }

    /// A task and all its ancestors, the first one first.
    fn line(&self, task: usize) -> Vec<usize> {
        let mut line = if task == 0 { Vec::new() } else { self.line(self.parents[task]) };
        line.push(task);
        line
    }

    /// What a task does in one slice.
    fn step(&mut self, random: &mut Random, slice: u32, task: usize, best: &mut f64) {
        if slice < self.starts[task] || self.ends[task].is_some_and(|end| slice > end) {
            return;
        }
        if slice == self.starts[task] && task > 0 {
            self.fork(slice, task);
        }
        for _ in 0..random.below(30) {
            if random.below(5) < 3 {
                self.born(random, slice, task);
            } else {
                self.free(random, slice, task);
            }
            let live: Vec<&Block> =
                self.blocks.iter().filter(|b| b.task == task && b.death.is_none()).collect();
            let bytes: f64 = live.iter().map(|b| b.amount.bytes).sum();
            if bytes > *best {
                *best = bytes;
                self.at_peak[task] = live.iter().map(|b| b.number).collect();
                self.peak_slices[task] = slice;
            }
        }
    }

    fn fork(&mut self, slice: u32, task: usize) {
        let parent = self.parents[task];
        let copies: Vec<Block> = self
            .blocks
            .iter()
            .filter(|b| b.task == parent && b.birth <= slice && b.death.is_none())
            .cloned()
            .collect();
        for copy in copies {
            self.blocks.push(Block { number: self.blocks.len(), task, is_inherited: true, ..copy });
        }
    }

    fn born(&mut self, random: &mut Random, slice: u32, task: usize) {
        let weight = 1.0 + random.below(400) as f64 / 100.0;
        let size = random.below(5_000) as f64;
        let amount = Amount {
            n_records: 1,
            count: weight,
            bytes: weight * size,
            count_variance: weight * (weight - 1.0),
            bytes_variance: size * size * weight * (weight - 1.0),
        };
        // Each process allocates at sites of its own, so that what a child inherits stays apart from its own.
        let (own, n_tasks) = (task as u64, self.starts.len() as u64);
        let nodes = self.recording.nodes.len() as u64;
        let node = (random.below(nodes) / n_tasks * n_tasks + own) % nodes.next_multiple_of(n_tasks);
        let (node, allocator) = if random.below(20) == 0 || node >= nodes {
            (NO_NODE, 4 + own as u8)
        } else {
            (node as u32, 1 + random.below(8) as u8)
        };
        let number = self.blocks.len();
        let birth = slice;
        let block = Block {
            number,
            origin: number,
            task,
            node,
            allocator,
            amount,
            birth,
            death: None,
            is_inherited: false,
        };
        self.blocks.push(block);
    }

    fn free(&mut self, random: &mut Random, slice: u32, task: usize) {
        let live: Vec<usize> =
            self.blocks.iter().filter(|b| b.task == task && b.death.is_none()).map(|b| b.number).collect();
        if let Some(&number) = live.get(random.below(live.len().max(1) as u64) as usize) {
            self.blocks[number].death = Some(slice);
        }
    }

    /// Aggregates the blocks as a recorder does.
    fn record(&mut self) {
        for task in 0..self.starts.len() {
            let mine: Vec<&Block> = self.blocks.iter().filter(|b| b.task == task).collect();
            let slices =
                (0..self.recording.slice_times.len() as u32).map(|index| slice(&mine, index)).collect();
            let inherited = mine.iter().filter(|b| b.is_inherited).map(|b| live_row(b)).collect();
            let peak = mine.iter().filter(|b| self.at_peak[task].contains(&b.number)).map(|b| live_row(b));
            let peak: Vec<LiveRow> = peak.collect();
            let peak_bytes = peak.iter().map(|row| row.bytes).sum();
            let peak_at = u64::from(self.peak_slices[task]) * SLICE_NS + SLICE_NS / 2;
            let start_ns = i64::try_from(u64::from(self.starts[task]) * SLICE_NS).expect("short");
            let row = Task {
                number: task as u32,
                facts: vec![Fact { name: "start_ns".into(), value: FactValue::Int(start_ns) }],
                slices,
                peak: Some(Peak { t_ns: peak_at, bytes: peak_bytes, rows: peak }),
                inherited: (task > 0)
                    .then_some(Inherited { parent: self.parents[task] as u32, rows: inherited }),
                end: self.ends[task].map(|end| TaskEnd {
                    t_ns: u64::from(end) * SLICE_NS + SLICE_NS / 2,
                    reason: "exited".into(),
                    code: 0,
                }),
                ..Task::default()
            };
            self.recording.tasks.push(row);
        }
    }
}

fn live_row(block: &Block) -> LiveRow {
    LiveRow {
        node: block.node,
        allocator: block.allocator,
        birth: block.birth,
        n_records: 1,
        count: block.amount.count,
        bytes: block.amount.bytes,
        count_variance: block.amount.count_variance,
        bytes_variance: block.amount.bytes_variance,
    }
}

fn slice(mine: &[&Block], index: u32) -> Slice {
    let mut allocs: BTreeMap<(u32, u8), AllocRow> = BTreeMap::new();
    let mut frees: BTreeMap<(u32, u8, u32), FreeRow> = BTreeMap::new();
    for block in mine {
        if block.birth == index && !block.is_inherited {
            let row = allocs.entry((block.node, block.allocator)).or_default();
            (row.node, row.allocator) = (block.node, block.allocator);
            row.n_records += 1;
            row.count += block.amount.count;
            row.bytes += block.amount.bytes;
            row.count_variance += block.amount.count_variance;
            row.bytes_variance += block.amount.bytes_variance;
        }
        if block.death == Some(index) {
            let one = live_row(block);
            let row = frees.entry((block.node, block.allocator, block.birth)).or_default();
            (row.node, row.allocator, row.birth) = (one.node, one.allocator, one.birth);
            row.n_records += 1;
            row.count += one.count;
            row.bytes += one.bytes;
            row.count_variance += one.count_variance;
            row.bytes_variance += one.bytes_variance;
        }
    }
    Slice {
        index,
        start_ns: u64::from(index) * SLICE_NS,
        end_ns: u64::from(index + 1) * SLICE_NS,
        allocs: allocs.into_values().collect(),
        frees: frees.into_values().collect(),
    }
}

/// Frames, stacks and slices; no process yet.
fn skeleton(random: &mut Random, n_slices: u32) -> Recording {
    let mut recording = Recording::default();
    let mut text = |text: String| {
        recording.texts.push(text.into());
        recording.texts.len() as u32 - 1
    };
    let (worker, main) = (text("worker".into()), text("main".into()));
    let functions: Vec<u32> = (0..6).map(|i| text(format!("f{i}"))).collect();
    let files: Vec<u32> = (0..2).map(|i| text(format!("/srv/file{i}.py"))).collect();
    let frame = |kind, function, file, line| FrameRow {
        kind,
        function,
        file,
        line,
        column: 0,
        end_line: 0,
        end_column: 0,
        first_line: 0,
    };
    recording.frames.push(frame(FrameKind::Thread, worker, NO_STRING, 7));
    recording.frames.push(frame(FrameKind::Thread, main, NO_STRING, 8));
    for i in 0..10_usize {
        recording.frames.push(frame(FrameKind::Python, functions[i % 6], files[i % 2], i as u32));
    }
    recording.nodes.extend([0, 1].map(|frame| StackRow { parent: NO_NODE, frame }));
    for node in 2..14_u64 {
        let row = StackRow { parent: random.below(node) as u32, frame: 2 + random.below(10) as u32 };
        recording.nodes.push(row);
    }
    recording.slice_times = (0..u64::from(n_slices)).map(|i| (i * SLICE_NS, (i + 1) * SLICE_NS)).collect();
    recording.facts.push(Fact { name: "mode".into(), value: FactValue::Text("sampled".into()) });
    recording
}
