//! A small recorder of made-up programs for tests and benches: allocations and frees, as an exact or a sampling
//! recorder would note them, to the bytes or tables of a recording. Deterministic; runs no agent.

use std::collections::{BTreeMap, HashMap};

use heapray_wire::{
    AllocRow, EventRow, Fact, FactValue, FrameKind, FrameRow, Inherited, LiveRow, NO_NODE, NO_STRING, Peak,
    Reading, RecordingChunk, SizesRow, Slice, StackRow, TaskEnd,
};

use crate::recording::Recording;
use crate::recording_reader::RecordingReader;
use crate::recording_writer::RecordingWriter;

/// Stack node and allocator.
pub type Site = (u32, u8);

/// A block that was allocated, for [`RecordingBuilder::free`].
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Process number.
    pub task: u16,
    /// Its address.
    pub address: u64,
    site: Site,
    birth: u32,
    size: u64,
    /// Blocks that it stands for, and the variance of that.
    weight: (f64, f64),
}

/// A recording in the making. Time goes on by [`RecordingBuilder::advance`] only.
///
/// ```
/// use heapray_capture::synthetic::RecordingBuilder;
/// use heapray_wire::allocator::PYTHON_OBJECT;
///
/// let mut builder = RecordingBuilder::exact();
/// let worker = builder.task(4242, None);
/// let site = (builder.stack(&["thread:MainThread", "handle app.py:12"]), PYTHON_OBJECT);
/// let block = builder.alloc(worker, site, 100);
/// builder.advance(1_000_000_000);
/// builder.free(block);
/// let recording = builder.recording();
/// assert_eq!(recording.tasks[0].slices.get(1).map(|slice| slice.frees[0].bytes), Some(100.0));
/// ```
#[derive(Debug, Default)]
pub struct RecordingBuilder {
    facts: Vec<Fact>,
    texts: Table<String>,
    frames: Table<FrameRow>,
    nodes: Table<(u32, u32)>,
    tasks: Vec<Draft>,
    now_ns: u64,
    slice_start_ns: u64,
    slice: u32,
    next_address: u64,
    /// Chunks of processes so far.
    chunks: Vec<(RecordingChunk, u16)>,
}

/// Rows by number, each once.
#[derive(Debug)]
struct Table<T> {
    rows: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Table<T> {
    fn number(&mut self, row: T) -> u32 {
        *self.numbers.entry(row.clone()).or_insert_with(|| {
            self.rows.push(row);
            self.rows.len() as u32 - 1
        })
    }
}

/// A process in the making.
#[derive(Debug, Default)]
struct Draft {
    allocs: BTreeMap<Site, AllocRow>,
    frees: BTreeMap<(Site, u32), LiveRow>,
    live: BTreeMap<(Site, u32), LiveRow>,
    live_bytes: f64,
    peak: Peak,
    /// The live set is the highest so far, and not yet noted.
    at_peak: bool,
    sizes: BTreeMap<u8, SizesRow>,
    readings: Vec<Reading>,
    events: Vec<EventRow>,
    /// Ends with this slice.
    end: Option<TaskEnd>,
    ended: bool,
}

fn fact(name: &str, value: FactValue) -> Fact {
    Fact { name: name.into(), value }
}

impl RecordingBuilder {
    /// A recording in which every block stands for itself.
    pub fn exact() -> Self {
        Self::new("exact")
    }

    /// A recording of samples, see [`RecordingBuilder::sample`].
    pub fn sampled(interval_bytes: u64) -> Self {
        let mut builder = Self::new("sampled");
        builder.fact("sample_interval", FactValue::Int(interval_bytes as i64));
        builder
    }

    fn new(mode: &str) -> Self {
        let mut builder = Self { next_address: 0x7f00_0000_0000, ..Self::default() };
        builder.fact("mode", FactValue::Text(mode.into()));
        builder.fact("level", FactValue::Text("objects".into()));
        builder.fact("command", FactValue::Text("python app.py".into()));
        builder
    }

    /// Adds a fact of the recording.
    pub fn fact(&mut self, name: &str, value: FactValue) {
        self.facts.push(fact(name, value));
    }

    /// Begins a process, forked from `parent` if that is given: it then inherits what its parent has.
    pub fn task(&mut self, pid: u32, parent: Option<u16>) -> u16 {
        let number = self.tasks.len() as u16;
        let facts = vec![
            fact("pid", FactValue::Int(pid.into())),
            fact("parent", FactValue::Int(parent.map_or(-1, i64::from))),
            fact("start_ns", FactValue::Int(self.now_ns as i64)),
            fact("command", FactValue::Text("python app.py".into())),
            fact("how", FactValue::Text(if parent.is_some() { "forked" } else { "started" }.into())),
        ];
        self.chunks.push((RecordingChunk::Task(facts), number));
        let mut draft = Draft::default();
        if let Some(parent) = parent {
            let of = &self.tasks[usize::from(parent)];
            let rows = of.live.values().copied().collect();
            self.chunks.push((RecordingChunk::Inherited(Inherited { parent: parent.into(), rows }), number));
            (draft.live, draft.live_bytes) = (of.live.clone(), of.live_bytes);
            draft.at_peak = true;
        }
        self.tasks.push(draft);
        number
    }

    /// A frame, once for all.
    pub fn frame(&mut self, row: FrameRow) -> u32 {
        self.frames.number(row)
    }

    /// A text, once for all.
    pub fn text(&mut self, text: &str) -> u32 {
        self.texts.number(text.into())
    }

    /// A node of the tree of stacks, once for all.
    pub fn node(&mut self, parent: u32, frame: u32) -> u32 {
        self.nodes.number((parent, frame))
    }

    /// The node of a stack, outermost first. A frame is `function file:line`, `native:function file:line`,
    /// `thread:name`, `tag:text` or `cut:reason`.
    pub fn stack(&mut self, frames: &[&str]) -> u32 {
        let mut node = NO_NODE;
        for frame in frames {
            let row = self.parsed(frame);
            let frame = self.frame(row);
            node = self.node(node, frame);
        }
        node
    }

    fn parsed(&mut self, frame: &str) -> FrameRow {
        let kinds = [
            ("thread:", FrameKind::Thread),
            ("tag:", FrameKind::Tag),
            ("cut:", FrameKind::Cut),
            ("native:", FrameKind::Native),
        ];
        let kind = kinds.iter().find_map(|(prefix, kind)| Some((frame.strip_prefix(prefix)?, *kind)));
        let (rest, kind) = kind.unwrap_or((frame, FrameKind::Python));
        if matches!(kind, FrameKind::Thread | FrameKind::Tag | FrameKind::Cut) {
            let line = if kind == FrameKind::Thread { 4242 } else { 0 };
            return FrameRow { kind, function: self.text(rest), line, ..FrameRow::LOST };
        }
        let (function, place) = rest.rsplit_once(' ').unwrap_or((rest, ""));
        let (file, line) = place.rsplit_once(':').unwrap_or((place, "0"));
        let file = if file.is_empty() { NO_STRING } else { self.text(file) };
        let line = line.parse().expect("a line is a number");
        FrameRow { kind, function: self.text(function), file, line, ..FrameRow::LOST }
    }

    /// A block of an exact recording.
    pub fn alloc(&mut self, task: u16, site: Site, size: u64) -> Block {
        self.allocated(task, site, size, (1.0, 0.0))
    }

    /// A sampled block at mean interval `interval_bytes`: it stands for 1/p blocks, p = 1 − exp(−size/interval).
    pub fn sample(&mut self, task: u16, site: Site, (size, interval_bytes): (u64, u64)) -> Block {
        let p = -(-(size as f64) / interval_bytes as f64).exp_m1();
        self.allocated(task, site, size, (1.0 / p, (1.0 - p) / (p * p)))
    }

    fn allocated(&mut self, task: u16, site: Site, size: u64, weight: (f64, f64)) -> Block {
        let block = Block { task, address: self.next_address, site, birth: self.slice, size, weight };
        self.next_address += size.max(1).next_multiple_of(16);
        self.event(EventRow::ALLOC, block);
        let draft = &mut self.tasks[usize::from(task)];
        let row = draft.allocs.entry(site).or_default();
        (row.node, row.allocator) = site;
        row.n_records += 1;
        row.count += weight.0;
        row.bytes += weight.0 * size as f64;
        row.count_variance += weight.1;
        row.bytes_variance += weight.1 * (size as f64).powi(2);
        let born = draft.live.entry((site, block.birth)).or_default();
        block.add_to(born, 1.0);
        draft.size(site.1, size, weight.0);
        draft.live_bytes += weight.0 * size as f64;
        draft.at_peak |= draft.live_bytes > draft.peak.bytes;
        if draft.at_peak {
            (draft.peak.bytes, draft.peak.t_ns) = (draft.live_bytes, self.now_ns);
        }
        block
    }

    /// Frees a block in the process that allocated it, or in one that inherited it.
    pub fn free_in(&mut self, task: u16, block: Block) {
        let block = Block { task, ..block };
        self.event(EventRow::FREE, block);
        let draft = &mut self.tasks[usize::from(task)];
        draft.note_peak();
        block.add_to(draft.frees.entry((block.site, block.birth)).or_default(), 1.0);
        let alive = draft.live.entry((block.site, block.birth)).or_default();
        block.add_to(alive, -1.0);
        if alive.n_records == 0 {
            draft.live.remove(&(block.site, block.birth));
        }
        draft.live_bytes -= block.weight.0 * block.size as f64;
    }

    /// Frees a block in the process that allocated it.
    pub fn free(&mut self, block: Block) {
        self.free_in(block.task, block);
    }

    /// `n` blocks of `size` bytes that are freed at once, as the agent counts them.
    pub fn temporary(&mut self, task: u16, site: Site, (n, size): (u64, u64)) {
        let draft = &mut self.tasks[usize::from(task)];
        let (count, bytes) = (n as f64, (n * size) as f64);
        let row = draft.allocs.entry(site).or_default();
        (row.node, row.allocator) = site;
        row.n_records += n;
        row.count += count;
        row.bytes += bytes;
        row.temporary_count += count;
        row.temporary_bytes += bytes;
        let freed = draft.frees.entry((site, self.slice)).or_default();
        (freed.node, freed.allocator, freed.birth) = (site.0, site.1, self.slice);
        freed.n_records += n;
        freed.count += count;
        freed.bytes += bytes;
        draft.size(site.1, size, count);
    }

    /// Notes the process's memory now.
    pub fn reading(&mut self, task: u16, rss_bytes: u64) {
        let draft = &mut self.tasks[usize::from(task)];
        let live_bytes = draft.live_bytes;
        draft.readings.push(Reading { t_ns: self.now_ns, rss_bytes, live_bytes, ..Reading::default() });
    }

    /// Ends the slice `ns` after its begin, and begins the next.
    pub fn advance(&mut self, ns: u64) {
        self.now_ns = self.slice_start_ns + ns;
        for number in 0..self.tasks.len() as u16 {
            self.flush(number);
        }
        self.slice_start_ns = self.now_ns;
        self.slice += 1;
    }

    fn flush(&mut self, number: u16) {
        let draft = &mut self.tasks[usize::from(number)];
        if draft.ended {
            return;
        }
        let slice = Slice {
            index: self.slice,
            start_ns: self.slice_start_ns,
            end_ns: self.now_ns,
            allocs: std::mem::take(&mut draft.allocs).into_values().collect(),
            frees: std::mem::take(&mut draft.frees).into_values().collect(),
        };
        draft.note_peak();
        let chunks = [
            RecordingChunk::Events(std::mem::take(&mut draft.events)),
            RecordingChunk::Slice(slice),
            RecordingChunk::Readings(std::mem::take(&mut draft.readings)),
            RecordingChunk::Peak(draft.peak.clone()),
            RecordingChunk::Sizes(draft.sizes.values().cloned().collect()),
        ];
        draft.ended = draft.end.is_some();
        let end = draft.end.take().map(RecordingChunk::End);
        self.chunks.extend(chunks.into_iter().chain(end).map(|chunk| (chunk, number)));
    }

    /// Ends a process now; its slice goes on for the others.
    pub fn end(&mut self, task: u16, reason: &str, code: i32) {
        let end = TaskEnd { t_ns: self.now_ns, reason: reason.into(), code };
        self.tasks[usize::from(task)].end = Some(end);
    }

    /// All chunks, in file order. The slice that is not over, if it holds anything, ends a second after its begin.
    pub fn chunks(mut self) -> Vec<(RecordingChunk, u16)> {
        let goes_on =
            |draft: &Draft| !draft.allocs.is_empty() || !draft.frees.is_empty() || draft.end.is_some();
        if self.tasks.iter().any(goes_on) {
            self.advance(self.now_ns - self.slice_start_ns + 1_000_000_000);
        }
        for (number, _) in (0..).zip(&self.tasks).filter(|(_, draft)| !draft.ended) {
            let end = TaskEnd { t_ns: self.now_ns, reason: "exited".into(), code: 0 };
            self.chunks.push((RecordingChunk::End(end), number));
        }
        let stack = |(parent, frame): &(u32, u32)| StackRow { parent: *parent, frame: *frame };
        let mut chunks = vec![
            (RecordingChunk::Recording(self.facts), 0),
            (RecordingChunk::Texts(self.texts.rows), 0),
            (RecordingChunk::Frames(self.frames.rows), 0),
            (RecordingChunk::Nodes(self.nodes.rows.iter().map(stack).collect()), 0),
        ];
        chunks.extend(self.chunks);
        chunks
    }

    /// The bytes of the recording.
    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = RecordingWriter::new(|part: &[u8]| bytes.extend_from_slice(part));
        self.chunks().iter().for_each(|(chunk, process)| writer.chunk(chunk, *process));
        writer.finish();
        bytes
    }

    /// The recording as read back from its bytes, with its events.
    pub fn recording(self) -> Recording {
        let mut reader = RecordingReader::new("synthetic").keep_events();
        reader.push(&self.bytes()).expect("its own bytes are a recording");
        reader.finish().expect("its own bytes are a recording")
    }

    fn event(&mut self, kind: u8, block: Block) {
        let event = EventRow {
            t_ns: self.now_ns,
            kind,
            allocator: block.site.1,
            node: block.site.0,
            address: block.address,
            size: block.size,
        };
        self.tasks[usize::from(block.task)].events.push(event);
    }
}

impl Block {
    fn add_to(&self, row: &mut LiveRow, sign: f64) {
        let size = self.size as f64;
        (row.node, row.allocator, row.birth) = (self.site.0, self.site.1, self.birth);
        row.n_records = row.n_records.wrapping_add_signed(sign as i64);
        row.count += sign * self.weight.0;
        row.bytes += sign * self.weight.0 * size;
        row.count_variance += sign * self.weight.1;
        row.bytes_variance += sign * self.weight.1 * size.powi(2);
    }
}

impl Draft {
    fn size(&mut self, allocator: u8, size: u64, count: f64) {
        let row = self.sizes.entry(allocator).or_insert_with(|| SizesRow {
            allocator,
            buckets: vec![0.0; SizesRow::N_BUCKETS],
            ..SizesRow::default()
        });
        row.buckets[size.checked_ilog2().unwrap_or(0) as usize] += count;
        row.count += count;
        row.bytes += count * size as f64;
    }

    /// Takes the live set down while it is the highest so far.
    fn note_peak(&mut self) {
        if std::mem::take(&mut self.at_peak) {
            self.peak.rows = self.live.values().copied().collect();
        }
    }
}
