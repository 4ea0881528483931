//! The writer of this process's ring.
//!
//! In sampled mode a full ring loses the event and counts it; in exact mode the writer waits a bounded time first. The
//! last eighth of the ring is kept for frees and for what later events refer to: a lost free is a false leak.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicU64, AtomicUsize, compiler_fence};

use heapray_wire::ring::cells::{Cell, lost, payload_cells, word};
use heapray_wire::ring::{Control, EMPTYING_TEMPORARIES, FAULT_NO_HEARTBEAT, SlotHeader};

use crate::emit::Emit;
use crate::kernel;
use crate::lock;
use crate::view;

/// Longest wait of one event for room, in nanoseconds.
const MAX_WAIT_NS: u64 = 1_000_000_000;
/// How long the collector may be silent while its ring is full before the agent gives up, in nanoseconds.
const MAX_SILENCE_NS: u64 = 1_000_000_000;
/// One nap while waiting, in nanoseconds.
const NAP_NS: u64 = 100_000;

/// Two words of a cell in shared memory.
#[repr(C)]
pub(crate) struct Pair {
    pub(crate) a: AtomicU64,
    pub(crate) b: AtomicU64,
}

impl Pair {
    #[inline]
    pub(crate) fn put(&self, cell: Cell) {
        self.b.store(cell.b, Relaxed);
        self.a.store(cell.a, Relaxed);
    }

    #[inline]
    pub(crate) fn get(&self) -> Cell {
        Cell { a: self.a.load(Relaxed), b: self.b.load(Relaxed) }
    }
}

/// What may use the last eighth of the ring.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    /// An allocation: may be lost before anything else is.
    Event,
    /// A free, or what later records refer to.
    Vital,
}

/// See the module.
pub(crate) struct Ring {
    pairs: &'static [Pair],
    head: u64,
    tail: u64,
    waits: bool,
    lost_events: u64,
    lost_frees: u64,
    silent_beat: u64,
    silent_since_ns: u64,
}

/// The control area of no file: what the agent sees before it is started.
static NO_CONTROL: Control = view::blank_control();
static NO_HEADER: SlotHeader = view::blank_header();
/// Addresses of the mapped control area and slot header, 0 before the start.
static CONTROL: AtomicUsize = AtomicUsize::new(0);
static HEADER: AtomicUsize = AtomicUsize::new(0);

/// The control area of the shared file.
#[inline]
pub(crate) fn control() -> &'static Control {
    view::control(CONTROL.load(Relaxed)).unwrap_or(&NO_CONTROL)
}

/// The header of this process's slot.
#[inline]
pub(crate) fn header() -> &'static SlotHeader {
    view::header(HEADER.load(Relaxed)).unwrap_or(&NO_HEADER)
}

/// Says where control area and slot are mapped.
pub(crate) fn set_mapped(control: usize, slot: usize) {
    CONTROL.store(control, Relaxed);
    HEADER.store(slot, Relaxed);
}

/// Where control area and slot are mapped.
pub(crate) fn mapped() -> (usize, usize) {
    (CONTROL.load(Relaxed), HEADER.load(Relaxed))
}

/// Adds `n` to a counter that only this process writes, under its lock.
#[inline]
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

impl Ring {
    /// A ring without room.
    pub(crate) const fn empty() -> Ring {
        Ring {
            pairs: &[],
            head: 0,
            tail: 0,
            waits: false,
            lost_events: 0,
            lost_frees: 0,
            silent_beat: 0,
            silent_since_ns: 0,
        }
    }

    /// The ring of a fresh slot.
    pub(crate) fn new(pairs: &'static [Pair], waits: bool) -> Ring {
        Ring { pairs, waits, ..Ring::empty() }
    }

    /// Makes room for `n` cells; whether there is.
    #[inline]
    fn has_room(&mut self, n: u64, rank: Rank) -> bool {
        let size = self.pairs.len() as u64;
        let limit = if rank == Rank::Event { size - size / 8 } else { size };
        if self.head.wrapping_sub(self.tail) + n <= limit {
            return true;
        }
        self.wait_for_room(n, limit)
    }

    #[cold]
    fn wait_for_room(&mut self, n: u64, limit: u64) -> bool {
        let mut waited_ns = 0;
        loop {
            self.tail = header().tail.load(Acquire).min(self.head);
            if self.head - self.tail + n <= limit {
                add(&header().waited_ns, waited_ns);
                self.silent_since_ns = 0;
                return true;
            }
            let is_over = control().stop.load(Relaxed) != 0;
            if !self.waits || is_over || n > limit || waited_ns >= MAX_WAIT_NS || self.is_abandoned() {
                add(&header().waited_ns, waited_ns);
                return false;
            }
            let start_ns = kernel::now_ns();
            kernel::nap(NAP_NS);
            waited_ns += kernel::now_ns().saturating_sub(start_ns);
        }
    }

    /// Whether the collector has been silent for too long; then the agent goes idle for good.
    fn is_abandoned(&mut self) -> bool {
        let (beat, now_ns) = (control().heartbeat.load(Relaxed), kernel::now_ns());
        if self.silent_since_ns == 0 || beat != self.silent_beat {
            (self.silent_beat, self.silent_since_ns) = (beat, now_ns);
        }
        let is_abandoned = now_ns - self.silent_since_ns >= MAX_SILENCE_NS;
        if is_abandoned {
            lock::go_idle(FAULT_NO_HEARTBEAT);
        }
        is_abandoned
    }

    #[inline]
    fn place(&mut self, cell: Cell) {
        let idx = self.head as usize & (self.pairs.len() - 1);
        if let Some(pair) = self.pairs.get(idx) {
            pair.put(cell);
        }
        self.head += 1;
    }

    #[inline]
    fn publish(&self) {
        header().head.store(self.head, Release);
    }

    /// Writes one record of a few cells; whether it arrived.
    #[inline]
    pub(crate) fn push(&mut self, cells: &[Cell], rank: Rank) -> bool {
        if !self.has_room(cells.len() as u64, rank) {
            return false;
        }
        if self.lost_events | self.lost_frees != 0 {
            self.tell_losses(cells.len() as u64);
        }
        for cell in cells {
            self.place(*cell);
        }
        self.publish();
        true
    }

    /// Says before a record of `n` cells what was lost, where there is room for both.
    #[cold]
    fn tell_losses(&mut self, n: u64) {
        if self.head - self.tail + n < self.pairs.len() as u64 {
            self.place(lost(self.lost_events, self.lost_frees));
            (self.lost_events, self.lost_frees) = (0, 0);
        }
    }

    /// Writes an allocation, or counts it as lost.
    #[inline]
    pub(crate) fn event(&mut self, cells: &[Cell]) {
        if !self.push(cells, Rank::Event) {
            self.lose(1, 0);
        }
    }

    /// Writes a free, or counts it as lost.
    #[inline]
    pub(crate) fn free(&mut self, cells: &[Cell]) {
        if !self.push(cells, Rank::Vital) {
            self.lose(0, 1);
        }
    }

    #[cold]
    pub(crate) fn lose(&mut self, n_events: u64, n_frees: u64) {
        self.lost_events += n_events;
        self.lost_frees += n_frees;
        add(&header().lost_events, n_events + n_frees);
        add(&header().lost_frees, n_frees);
    }

    /// Moves all records of a table that are not empty into the ring, and empties it. `n` of them are not empty.
    pub(crate) fn take_all<const WIDTH: usize>(&mut self, table: &[Pair], n: u64) {
        if n == 0 {
            return;
        }
        let fits = self.has_room(n * WIDTH as u64, Rank::Vital);
        let records = || {
            let all = table.as_chunks::<WIDTH>().0.iter();
            all.filter(|record| record[0].a.load(Relaxed) != 0).take(n as usize).flatten()
        };
        if fits {
            records().for_each(|pair| self.place(pair.get()));
        }
        // A kill between any two of these steps leaves every record in the table or in the ring, and says in which.
        let which = if WIDTH == 2 { EMPTYING_TEMPORARIES } else { 0 };
        header().emptying.store(self.head | which, Release);
        if fits {
            self.publish()
        } else {
            self.lose(n, 0)
        }
        compiler_fence(SeqCst);
        records().for_each(|pair| pair.put(Cell::default()));
        header().emptying.store(0, Release);
    }
}

impl Emit for Ring {
    fn record(&mut self, cells: &[Cell]) -> bool {
        self.push(cells, Rank::Vital)
    }

    fn payload(&mut self, tag: u8, id: u64, parts: &[&[u8]]) -> bool {
        let n_bytes = parts.iter().map(|part| part.len()).sum();
        let n_cells = 1 + payload_cells(n_bytes) as u64;
        if !self.has_room(n_cells, Rank::Vital) {
            return false;
        }
        self.place(Cell { a: word(tag, id), b: n_bytes as u64 });
        let mut bytes = parts.iter().copied().flatten().copied();
        for _ in 1..n_cells {
            let (a, b) = (next_word(&mut bytes), next_word(&mut bytes));
            self.place(Cell { a, b });
        }
        self.publish();
        true
    }
}

/// The next eight bytes, zeros where they end.
fn next_word(bytes: &mut impl Iterator<Item = u8>) -> u64 {
    (0..8).fold(0, |word, byte| word | u64::from(bytes.next().unwrap_or(0)) << (8 * byte))
}
