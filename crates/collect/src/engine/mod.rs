//! The engine: records of all processes of a recording in, chunks of a file out. No I/O, no clock.
//!
//! Its caller says when things happen. Between two calls of [`Engine::end_slice`] records only change what is kept per
//! process; names are looked up and rows written when a slice ends.

mod chunks;
mod cohort;
mod early;
mod live;
mod names;
mod process;
mod ranges;
mod reserved;
mod rows;
mod sizes;
mod tables;
mod weight;

use std::collections::BTreeMap;
use std::sync::Arc;

use heapray_wire::ring::cells::Cell;
use heapray_wire::{Fact, FactValue, Inherited, Peak, Reading, RecordingChunk, Slice, TaskEnd};

pub use names::{NativeNames, NoNames};
pub use process::Settings;
pub use reserved::ReservedRange;
pub use tables::LoadedObject;

use cohort::CohortKey;
use names::{Names, Speaker};
use process::{Core, Ending, Moment, Process};
use rows::{SliceRows, Span};

/// A chunk, and the number of the process that it belongs to (0 for chunks of the file).
pub type Numbered = (u16, RecordingChunk);

/// Most processes of a file.
pub const MAX_PROCESSES: usize = 1 << 16;

/// Events of a process that wait to be written before the slice ends.
const EVENTS_MAX: usize = 1 << 16;

/// A peak is written before the end when it has grown by this factor, or after this many slices if it has grown at all.
const PEAK_FACTOR: f64 = 1.1;
const PEAK_SLICES: u32 = 30;

/// What a fork left for a child that has not come yet.
struct Pending {
    core: Core,
    t_ns: u64,
}

/// Names that are looked up at a time before they are needed.
const AHEAD_MAX: usize = 1 << 12;

/// Most slices that end because an interpreter does, before the next ends by itself: programs may start many others.
const ENDED_MAX: u32 = 32;

/// Bytes that processes take at most that have ended: a program may fork hundreds a second.
const ENDED_BYTES_MAX: usize = 16 << 20;

/// How long a child may take from its fork to its first word.
const FORK_PATIENCE_NS: u64 = 10_000_000_000;

/// All processes of a recording.
pub struct Engine {
    settings: Settings,
    names: Names,
    /// By process number; `None` once its end was written.
    processes: Vec<Option<Process>>,
    /// By parent's number and mark.
    pending: BTreeMap<(u32, u64), Pending>,
    slice: u32,
    start_ns: u64,
    /// Slices that ended since the last was written.
    n_ended: u32,
    /// Number of the border that processes are asked to come to, and whether they are.
    border: (u64, bool),
    /// Bytes that processes take that have ended and are not written yet.
    ended_bytes: usize,
    out: Vec<Numbered>,
}

impl Engine {
    /// No process yet; the first slice begins at 0.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            names: Names::default(),
            processes: Vec::new(),
            pending: BTreeMap::new(),
            slice: 0,
            start_ns: 0,
            n_ended: 0,
            border: (0, false),
            ended_bytes: 0,
            out: Vec::new(),
        }
    }

    /// A process begins with nothing; `facts` open it in the file, `executable` among them is the path of its program.
    /// `None` where the file holds no more processes.
    pub fn start(&mut self, facts: Vec<Fact>) -> Option<u32> {
        self.begin(facts, None)
    }

    /// A forked process begins with what was alive at `mark` of its parent, or is now where the mark is not known.
    /// The parent's records up to the mark must have been taken.
    pub fn start_child(&mut self, parent: u32, mark: u64, facts: Vec<Fact>) -> Option<u32> {
        let mut core = match self.pending.remove(&(parent, mark)) {
            Some(pending) => Some(pending.core),
            None => self.process(parent).map(|process| process.core.fork()),
        };
        let inherited = core.as_mut().map(|core| (parent, core.cohorts.inherit()));
        let number = self.begin(facts, core)?;
        if let Some(process) = self.process(number) {
            process.inherited = inherited;
        }
        Some(number)
    }

    /// Takes records of a process, drained at `t_ns`; answers how many cells they were, less than all only where the
    /// last record is cut. Records of a process that has ended are dropped.
    pub fn cells(&mut self, number: u32, cells: &[Cell], t_ns: u64) -> usize {
        let mut taken = 0;
        loop {
            let (slice, border) = (self.slice, self.border);
            let Some(process) = self.process(number) else { return cells.len() };
            taken += process.cells(&cells[taken..], process.moment(t_ns, slice));
            let forks = std::mem::take(&mut process.forks);
            let is_ending = process.ending == Some(Ending::Begins);
            let at_border = process.border.take();
            if at_border == Some(border.0) && border.1 {
                process.pass(slice);
            }
            self.pending
                .extend(forks.into_iter().map(|(mark, core)| ((number, mark), Pending { core, t_ns })));
            if is_ending {
                self.begin_end(number, t_ns);
            } else if at_border.is_none() {
                return taken;
            }
        }
    }

    /// The slice is about to end: from here on a process that says that it has come to this border begins the next one there. The
    /// slice must have ended before another process starts, since what that inherits may be of the next one.
    pub fn ask_for_border(&mut self) -> u64 {
        self.border = (self.border.0 + 1, true);
        self.border.0
    }

    /// Whether processes are asked to come to the border.
    pub fn is_border_asked(&self) -> bool {
        self.border.1
    }

    /// Whether no process is waited for: each has come to the border, or has ended.
    pub fn is_at_border(&self) -> bool {
        self.processes.iter().flatten().all(|process| process.past.is_some() || process.end.is_some())
    }

    /// Bytes in a process's window that would make a new high-water mark, by more than is tolerated, and how many are.
    pub fn crest(&self, number: u32) -> (u64, u64) {
        let process = self.processes.get(number as usize).and_then(Option::as_ref);
        process.map_or((0, 0), |process| process.core.cohorts.high.room())
    }

    /// The interpreter of a process begins to end: what the process held until now is not to be mixed with what is freed then.
    fn begin_end(&mut self, number: u32, t_ns: u64) {
        let may_end = self.n_ended < ENDED_MAX;
        if may_end {
            let span = self.next_slice(t_ns);
            self.processes.iter_mut().flatten().for_each(|process| process.end_slice(&span));
            self.n_ended += 1;
        }
        let ending = if may_end { Ending::From(self.slice) } else { Ending::Within(self.slice) };
        if let Some(process) = self.process(number) {
            process.ending = Some(ending);
        }
    }

    /// Begins the next slice; answers the one that ends.
    fn next_slice(&mut self, t_ns: u64) -> Span {
        self.border.1 = false;
        let span = Span { index: self.slice, times: (self.start_ns, t_ns.max(self.start_ns)) };
        self.start_ns = span.times.1;
        self.slice = (self.slice + 1).min(Slice::MAX - 1);
        span
    }

    /// Takes records of a process that stands still from where its agent keeps them before it puts them into the ring. When they come
    /// from there, as the first that come, they are passed over.
    pub fn early_cells(&mut self, number: u32, cells: &[Cell], t_ns: u64) {
        let slice = self.slice;
        if let Some(process) = self.process(number) {
            process.early_cells(cells, process.moment(t_ns, slice));
        }
    }

    /// Loaded objects of a process whose code was first seen on a stack since this was asked last: their files will be needed.
    pub fn take_new_code(&mut self, number: u32) -> Vec<Arc<LoadedObject>> {
        self.process(number).map_or(Vec::new(), |process| std::mem::take(&mut process.new_code))
    }

    /// The address space that a process has reserved; how much of it is in use, only a look at the process tells.
    pub fn reserved(&self, number: u32) -> Vec<ReservedRange> {
        let process = self.processes.get(number as usize).and_then(Option::as_ref);
        process.map_or(Vec::new(), |process| process.core.reserved.ranges().collect())
    }

    /// A look at a process has found so many bytes of each of these reservations in use.
    pub fn look_at_reserved(&mut self, number: u32, used: &[(u32, u64)], t_ns: u64) {
        let slice = self.slice;
        if let Some(process) = self.process(number) {
            let now = process.moment(t_ns, slice);
            used.iter().for_each(|(reservation, bytes)| process.look_at_reserved(*reservation, *bytes, now));
        }
    }

    /// The slice from which on the interpreter of a process ends, or in which it does.
    pub fn ending_slice(&self, number: u32) -> Option<u32> {
        match self.processes.get(number as usize)?.as_ref()?.ending {
            Some(Ending::From(slice) | Ending::Within(slice)) => Some(slice),
            _ => None,
        }
    }

    /// Takes a measurement of a process; its live bytes are filled in here.
    pub fn reading(&mut self, number: u32, reading: Reading) {
        if let Some(process) = self.process(number) {
            let live_bytes = process.past.unwrap_or(process.core.cohorts.high.bytes).max(0.0);
            process.readings.push(Reading { live_bytes, ..reading });
        }
    }

    /// Takes what the agent in a process says of itself; replaces what it said before.
    pub fn status(&mut self, number: u32, facts: Vec<Fact>) {
        if let Some(process) = self.process(number) {
            process.status = facts;
        }
    }

    /// There is something new to be said of all processes: it is written with the next slice, also of those in which nothing happened.
    pub fn tell_all(&mut self) {
        self.processes.iter_mut().flatten().for_each(|process| process.tells = true);
    }

    /// A process has ended; it is written and forgotten with the next slice.
    pub fn end(&mut self, number: u32, end: TaskEnd) {
        let slice = self.slice;
        if let Some(process) = self.process(number)
            && process.end.is_none()
        {
            process.end = Some(end);
            process.join(slice);
            self.ended_bytes += process.core.heap_bytes();
        }
    }

    /// Whether processes that have ended take so much memory that they are to be written before the slice's time is over.
    pub fn has_much_to_forget(&self) -> bool {
        self.ended_bytes >= ENDED_BYTES_MAX
    }

    /// Blocks that are alive in all processes, as records: samples, or all blocks in exact mode.
    pub fn n_blocks(&self) -> u64 {
        self.processes.iter().flatten().map(|process| process.core.n_blocks()).sum()
    }

    /// Bytes that are alive in a process.
    pub fn live_bytes(&self, number: u32) -> f64 {
        let process = self.processes.get(number as usize).and_then(Option::as_ref);
        process.map_or(0.0, |process| process.core.cohorts.high.bytes)
    }

    /// Bytes that are alive in all processes, but for reserved address space: what samples stand for.
    pub fn all_sampled_bytes(&self) -> f64 {
        let cores = self.processes.iter().flatten().map(|process| &process.core);
        cores.map(|core| core.cohorts.high.bytes - core.reserved.used_bytes() as f64).sum()
    }

    /// Allocations and frees taken so far from processes that have not ended.
    pub fn n_events(&self) -> u64 {
        self.processes.iter().flatten().map(|process| process.tally.n_events).sum()
    }

    /// Allocations and frees taken so far from a process.
    pub fn events_of(&self, number: u32) -> u64 {
        let process = self.processes.get(number as usize).and_then(Option::as_ref);
        process.map_or(0, |process| process.tally.n_events)
    }

    /// Events that were kept and wait to be written, where every event is.
    pub fn has_many_events(&self) -> bool {
        self.processes.iter().flatten().any(|process| process.events.len() >= EVENTS_MAX)
    }

    /// Whether a process has forked since `t_ns` whose child has not come yet.
    pub fn awaits_child(&self, t_ns: u64) -> bool {
        self.pending.values().any(|pending| pending.t_ns >= t_ns)
    }

    /// Number of the current slice.
    pub fn slice(&self) -> u32 {
        self.slice
    }

    /// When the current slice began.
    pub fn slice_start_ns(&self) -> u64 {
        self.start_ns
    }

    /// Bytes of memory that live blocks and cohorts take.
    pub fn heap_bytes(&self) -> usize {
        self.processes.iter().flatten().map(|process| process.core.heap_bytes()).sum()
    }

    /// Chunks to be written, in this order; also those that a process began with.
    pub fn take_chunks(&mut self) -> Vec<Numbered> {
        std::mem::take(&mut self.out)
    }

    /// Writes events that wait, before the slice ends.
    pub fn flush_events(&mut self, native: &mut dyn NativeNames) {
        self.each(native, |process, writer| writer.events(process));
    }

    /// Does some of what the end of the slice will need: looks up names, and writes slices of processes that have ended before the
    /// others'. For when nothing else is to be done; it changes nothing in what the file says.
    pub fn work_ahead(&mut self, native: &mut dyn NativeNames) {
        self.each(native, |process, writer| {
            if process.past.is_none() && !process.ended.is_empty() {
                writer.inherited(process);
                writer.ended(process, None);
            }
            writer.names_ahead(process);
        });
    }

    /// Ends the slice at `t_ns`: writes what happened in it, and the end of processes that have ended.
    pub fn end_slice(&mut self, t_ns: u64, native: &mut dyn NativeNames) {
        let span = self.next_slice(t_ns);
        self.n_ended = 0;
        self.each(native, |process, writer| {
            process.end_slice(&span);
            writer.events(process);
            writer.slices(process, &span);
            process.core.trim();
        });
        for process in &mut self.processes {
            process.take_if(|process| process.end.is_some());
        }
        self.ended_bytes = 0;
        self.pending.retain(|_, pending| pending.t_ns + FORK_PATIENCE_NS > t_ns);
    }

    /// Writes something of each process, and before it the names that it needs.
    fn each(&mut self, native: &mut dyn NativeNames, mut write: impl FnMut(&mut Process, &mut Writer<'_>)) {
        for (number, process) in self.processes.iter_mut().enumerate() {
            let Some(process) = process else { continue };
            let names = &mut self.names;
            let mut writer = Writer { names, native, number: number as u16, out: Vec::new() };
            write(process, &mut writer);
            let mut written = writer.out;
            if !written.is_empty() || self.names.has_many_new() {
                self.names.take_new(&mut self.out);
            }
            self.out.append(&mut written);
        }
    }

    fn begin(&mut self, facts: Vec<Fact>, core: Option<Core>) -> Option<u32> {
        let number = u16::try_from(self.processes.len()).ok()?;
        let executable = facts.iter().find(|fact| fact.name == "executable").map(|fact| &fact.value);
        let core = core.unwrap_or_else(|| match executable {
            Some(FactValue::Text(path)) => Core::new(path),
            _ => Core::new(""),
        });
        self.processes.push(Some(Process::new(self.settings, core)));
        self.out.push((number, RecordingChunk::Task(facts)));
        Some(number.into())
    }

    fn process(&mut self, number: u32) -> Option<&mut Process> {
        self.processes.get_mut(number as usize)?.as_mut()
    }
}

/// Gives chunks of one process.
struct Writer<'a> {
    names: &'a mut Names,
    native: &'a mut dyn NativeNames,
    number: u16,
    out: Vec<Numbered>,
}

impl Writer<'_> {
    fn put(&mut self, chunk: RecordingChunk) {
        self.out.push((self.number, chunk));
    }

    /// Replaces nodes of the process by the file's.
    fn translator<'a>(&'a mut self, core: &'a mut Core) -> impl FnMut(u32) -> u32 + 'a {
        let Core { tables, memo, .. } = core;
        let process = self.number.into();
        move |node| {
            let mut speaker = Speaker { process, tables, memo, native: self.native };
            self.names.node(&mut speaker, node)
        }
    }

    fn events(&mut self, process: &mut Process) {
        if process.events.is_empty() {
            return;
        }
        let mut events = std::mem::take(&mut process.events);
        let mut node = self.translator(&mut process.core);
        for event in &mut events {
            event.node = node(event.node);
        }
        drop(node);
        self.put(RecordingChunk::Events(events));
    }

    /// Looks up names of what has changed within the slice.
    fn names_ahead(&mut self, process: &mut Process) {
        let Core { tables, memo, cohorts, .. } = &mut process.core;
        let mut speaker = Speaker { process: self.number.into(), tables, memo, native: self.native };
        for node in cohorts.take_unnamed(AHEAD_MAX) {
            self.names.node(&mut speaker, node);
        }
    }

    fn inherited(&mut self, process: &mut Process) {
        if let Some((parent, cohorts)) = process.inherited.take() {
            let rows = rows::live_rows(cohorts.live(), self.translator(&mut process.core));
            self.put(RecordingChunk::Inherited(Inherited { parent, rows }));
        }
    }

    /// Writes slices of a process that have ended, where something happened, and slice `last` where there is something to be said.
    fn ended(&mut self, process: &mut Process, last: Option<u32>) {
        for (span, rows) in std::mem::take(&mut process.ended) {
            if !rows.is_empty() || process.tells && Some(span.index) == last {
                let slice = rows.finish(&span, self.translator(&mut process.core));
                self.put(RecordingChunk::Slice(slice));
                process.tells = true;
            }
        }
    }

    /// Writes the slices of a process that have ended, `last` being the newest.
    fn slices(&mut self, process: &mut Process, last: &Span) {
        self.inherited(process);
        process.tells |= process.end.is_some();
        self.ended(process, Some(last.index));
        if process.peak_is_due(last.index) {
            self.peak(process, last.index);
        }
        if !process.readings.is_empty() {
            self.put(RecordingChunk::Readings(std::mem::take(&mut process.readings)));
        }
        if std::mem::take(&mut process.tells) {
            self.put(RecordingChunk::Sizes(process.sizes.rows()));
            self.put(RecordingChunk::Status(process.facts()));
        }
        if let Some(end) = process.end.clone() {
            self.put(RecordingChunk::End(end));
        }
    }

    /// Writes the high-water mark at the end of slice `index`. One that has ended does not see the slice after that.
    fn peak(&mut self, process: &mut Process, index: u32) {
        let last = if process.end.is_some() { index } else { u32::MAX };
        let high = process.core.cohorts.high;
        let counts = |key: &CohortKey| process.counts[usize::from(key.allocator)] > 0.0;
        let seen = |(key, sum): (CohortKey, _)| (CohortKey { birth: key.birth.min(last), ..key }, sum);
        let live: Vec<_> = process.core.cohorts.peak().filter(|(key, _)| counts(key)).map(seen).collect();
        let rows = rows::live_rows(live.into_iter(), self.translator(&mut process.core));
        self.put(RecordingChunk::Peak(Peak { t_ns: high.t_ns, bytes: high.peak_bytes, rows }));
    }
}

impl Process {
    /// When records come that are taken while slice `slice` is not over.
    fn moment(&self, t_ns: u64, slice: u32) -> Moment {
        Moment { t_ns, slice: slice + u32::from(self.past.is_some()) }
    }

    /// What happened in slice `index` until now; begins the next one.
    fn take_slice(&mut self, index: u32) -> SliceRows {
        let mut rows = SliceRows::default();
        self.core.cohorts.end_slice(|cohort, is_inherited| rows.take(cohort, index, is_inherited));
        rows
    }

    /// Begins the slice after `index` before that is over for all.
    fn pass(&mut self, index: u32) {
        if self.past.is_none() {
            let rows = self.take_slice(index);
            self.ended.push((Span { index, times: (0, 0) }, rows));
            self.past = Some(self.core.cohorts.high.bytes);
        }
    }

    /// It has ended: it does not see the slice after `index`, if it had begun that.
    fn join(&mut self, index: u32) {
        if self.past.is_some() {
            let next = self.take_slice(index + 1);
            if let Some((_, rows)) = self.ended.last_mut() {
                rows.join(next, index);
            }
        }
    }

    /// Keeps what happened in a slice that ends, to be written.
    fn end_slice(&mut self, span: &Span) {
        match (self.past.take(), self.ended.last_mut()) {
            (Some(_), Some(last)) => last.0 = *span,
            _ => {
                let rows = self.take_slice(span.index);
                self.ended.push((*span, rows));
            }
        }
    }

    /// Whether the peak is to be written at the end of slice `index`; notes that it is.
    fn peak_is_due(&mut self, index: u32) -> bool {
        let bytes = self.core.cohorts.high.peak_bytes;
        let (written, at) = self.written_peak;
        let due = bytes > written
            && (self.end.is_some()
                || bytes > written * PEAK_FACTOR
                || index >= at.saturating_add(PEAK_SLICES));
        if due {
            self.written_peak = (bytes, index);
        }
        due
    }

    /// What is known of its recording.
    fn facts(&self) -> Vec<Fact> {
        let int = |name: &str, value: u64| Fact {
            name: name.to_owned(),
            value: FactValue::Int(i64::try_from(value).unwrap_or(i64::MAX)),
        };
        let tally = &self.tally;
        let mut facts = self.status.clone();
        facts.extend([
            int("events", tally.n_events),
            int("unknown_frees", tally.unknown_frees),
            int("missed_frees", tally.missed_frees),
            int("marked_lost_events", tally.lost_events),
            int("marked_lost_frees", tally.lost_frees),
            int("damaged_cells", tally.damaged_cells),
            int("peak_bytes", self.core.cohorts.high.peak_bytes as u64),
            int("n_stack_nodes", self.core.tables.n_nodes() as u64),
            int("live_blocks", self.core.n_blocks()),
        ]);
        facts.extend(self.ending.map(|ending| Fact {
            name: "teardown_slice".to_owned(),
            value: FactValue::Int(match ending {
                Ending::Not | Ending::Begins => -1,
                Ending::From(slice) => slice.into(),
                Ending::Within(slice) => -2 - i64::from(slice),
            }),
        }));
        facts
    }
}
