//! One process of a recording: takes its records, keeps what is alive, and gives rows when a slice ends.

use std::sync::Arc;

use hashbrown::HashSet;
use heapray_wire::ring::cells::{Allocator, Cell, CellError, LOW_MASK, NodeKind};
use heapray_wire::ring::cells::{Record, TAG_ALLOC, TAG_FREE, decode};
use heapray_wire::{EventRow, Fact, TaskEnd, allocator};

use super::cohort::{CohortKey, Cohorts};
use super::early::Early;
use super::live::{Block, LiveMap, WARM};
use super::names::Memo;
use super::ranges::Ranges;
use super::reserved::{Change, Reserved};
use super::rows::{SliceRows, Span};
use super::sizes::Sizes;
use super::tables::{LoadedObject, Tables};
use super::weight::Sum;

/// Numbers of allocators end before this.
pub(crate) const N_ALLOCATORS: usize = 16;

const FIRST_ALLOC: u8 = TAG_ALLOC + Allocator::Malloc as u8;
const LAST_HEAP: u8 = TAG_ALLOC + Allocator::PythonObject as u8;

/// With fewer live blocks than this the caches hold them.
const WARM_FROM: u64 = 50_000;

/// The part of a process that a forked child starts with.
pub(crate) struct Core {
    pub(crate) tables: Tables,
    pub(crate) memo: Memo,
    live: LiveMap,
    ranges: Ranges,
    pub(crate) reserved: Reserved,
    pub(crate) cohorts: Cohorts,
}

/// What went by without a block that it belongs to, and the like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Allocations and frees taken, temporaries included.
    pub(crate) n_events: u64,
    /// Frees of addresses that were not known to be alive.
    pub(crate) unknown_frees: u64,
    /// Blocks whose free was missed: another one was born at their address.
    pub(crate) missed_frees: u64,
    /// Lost just there, as the agent said.
    pub(crate) lost_events: u64,
    pub(crate) lost_frees: u64,
    /// Cells that are no record.
    pub(crate) damaged_cells: u64,
}

/// The cohort that a site's blocks went to last, and the slice in which it was made (plus 1).
#[derive(Clone, Copy, Default)]
struct Site {
    epoch: u32,
    cohort: u32,
}

/// Whether the interpreter of a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is up, as far as was told.
    Not,
    /// It has begun to end just now: a slice is to end here.
    Begins,
    /// It ends; what it frees is in slices from this one on.
    From(u32),
    /// It ends within this slice: none could be ended for that.
    Within(u32),
}

/// When something happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// ns since the recording's start.
    pub(crate) t_ns: u64,
    /// Number of the slice.
    pub(crate) slice: u32,
}

/// One process.
pub(crate) struct Process {
    pub(crate) core: Core,
    sites: [Vec<Site>; N_ALLOCATORS],
    /// 1.0 for allocators whose blocks are heap, 0.0 for those that only hold others' blocks.
    pub(crate) counts: [f64; N_ALLOCATORS],
    pub(crate) sizes: Sizes,
    pub(crate) tally: Tally,
    /// What the agent says of itself, as of last.
    pub(crate) status: Vec<Fact>,
    pub(crate) events: Vec<EventRow>,
    keeps_events: bool,
    pub(crate) end: Option<TaskEnd>,
    /// Peak that was last written: bytes, and slice.
    pub(crate) written_peak: (f64, u32),
    pub(crate) readings: Vec<heapray_wire::Reading>,
    /// There is something to be said of it with the next slice: it is new, or something was written ahead.
    pub(crate) tells: bool,
    /// The parent's number and what was alive there, until it is written.
    pub(crate) inherited: Option<(u32, Cohorts)>,
    /// Marks at which it forked, not yet fetched by the engine.
    pub(crate) forks: Vec<(u64, Core)>,
    /// Taken before they were in the ring.
    pub(crate) early: Early,
    /// Where its interpreter is at; `None` where nobody watches that.
    pub(crate) ending: Option<Ending>,
    /// The border that it has just come to, by number.
    pub(crate) border: Option<u64>,
    /// It has come to the border of the slice, with so many bytes alive: what follows is of the next one.
    pub(crate) past: Option<f64>,
    /// Slices that have ended and are not written yet.
    pub(crate) ended: Vec<(Span, SliceRows)>,
    /// Loadings whose code was seen on a stack, and of these the ones not yet fetched by the engine.
    seen_code: HashSet<u64>,
    pub(crate) new_code: Vec<Arc<LoadedObject>>,
}

/// How the records of a process are to be taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Arenas count as heap: true where objects inside them are not recorded.
    pub counts_arenas: bool,
    /// Every event is kept.
    pub keeps_events: bool,
}

impl Core {
    /// What a process starts with that runs the program of this path.
    pub(crate) fn new(program: &str) -> Self {
        Self {
            tables: Tables::new(program),
            memo: Memo::default(),
            live: LiveMap::default(),
            ranges: Ranges::default(),
            reserved: Reserved::default(),
            cohorts: Cohorts::default(),
        }
    }

    /// What a child that is forked now starts with. Cost: O(regions + chunks + cohorts that changed within the slice).
    pub(crate) fn fork(&mut self) -> Self {
        Self {
            tables: self.tables.fork(),
            memo: self.memo.fork(),
            live: self.live.fork(),
            ranges: self.ranges.clone(),
            reserved: self.reserved.clone(),
            cohorts: self.cohorts.inherit(),
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.live.heap_bytes() + self.cohorts.heap_bytes()
    }

    /// Gives back memory that the live blocks do not need.
    pub(crate) fn trim(&mut self) {
        self.live.trim();
    }

    /// Blocks that are alive; mappings are not among them.
    pub(crate) fn n_blocks(&self) -> u64 {
        self.live.len()
    }
}

impl Process {
    /// A process that starts with this.
    pub(crate) fn new(settings: Settings, core: Core) -> Self {
        let mut counts = [1.0; N_ALLOCATORS];
        if !settings.counts_arenas {
            counts[usize::from(allocator::ARENA)] = 0.0;
        }
        Self {
            core,
            sites: Default::default(),
            counts,
            sizes: Sizes::new(),
            tally: Tally::default(),
            status: Vec::new(),
            events: Vec::new(),
            keeps_events: settings.keeps_events,
            end: None,
            written_peak: (0.0, 0),
            readings: Vec::new(),
            tells: true,
            inherited: None,
            forks: Vec::new(),
            early: Early::default(),
            ending: None,
            border: None,
            past: None,
            ended: Vec::new(),
            seen_code: HashSet::new(),
            new_code: Vec::new(),
        }
    }

    /// Whether the engine has to see to it before the next record: the interpreter begins to end, or a slice may.
    fn halts(&self) -> bool {
        self.ending == Some(Ending::Begins) || self.border.is_some()
    }

    /// Takes records; answers how many cells they were. Less than all only where the last record is cut, or where a slice may end.
    pub(crate) fn cells(&mut self, cells: &[Cell], now: Moment) -> usize {
        let mut at = 0;
        while !self.early.is_empty() && at < cells.len() {
            let n = self.late(&cells[at..], now);
            at += n;
            if n == 0 || self.halts() {
                return at;
            }
        }
        at + self.new_cells(&cells[at..], now)
    }

    /// Takes records of a process that stands still before they are in the ring.
    pub(crate) fn early_cells(&mut self, cells: &[Cell], now: Moment) {
        if self.early.is_empty() {
            self.new_cells(cells, now);
            self.early = Early::of(cells);
        }
    }

    /// Takes what is new of one record, while some were taken early; 0 where it is cut.
    fn late(&mut self, cells: &[Cell], now: Moment) -> usize {
        let n = match decode(cells) {
            Ok((record, n)) => {
                if let Some(rest) = self.early.rest(record, n) {
                    self.record(rest, now);
                }
                n
            }
            Err(_) => self.rare(cells, now),
        };
        if self.early.is_empty() {
            for addr in self.early.take_missing() {
                self.free(addr, now);
            }
        }
        n
    }

    fn new_cells(&mut self, cells: &[Cell], now: Moment) -> usize {
        let mut at = 0;
        let mut warm = if self.core.live.len() > WARM_FROM { 0 } else { usize::MAX };
        while let Some(cell) = cells.get(at) {
            if at >= warm {
                self.warm(&cells[at..]);
                warm = at + WARM;
            }
            let tag = (cell.a >> 56) as u8;
            let low = cell.a & LOW_MASK;
            if tag == TAG_FREE {
                self.free(low, now);
                at += 1;
            } else if (FIRST_ALLOC..=LAST_HEAP).contains(&tag) && tag != TAG_ALLOC + allocator::MMAP {
                let born = Born {
                    allocator: tag - TAG_ALLOC,
                    node: (cell.b >> 32) as u32,
                    size: cell.b & 0xffff_ffff,
                    interval: 0,
                };
                self.alloc_one(low, born, now);
                at += 1;
            } else {
                let n = self.rare(&cells[at..], now);
                at += n;
                if n == 0 || self.halts() {
                    break;
                }
            }
        }
        at
    }

    /// Looks at the memory that the next cells will need.
    fn warm(&self, cells: &[Cell]) {
        let mut addrs = [0; WARM];
        for (addr, cell) in addrs.iter_mut().zip(cells) {
            *addr = cell.a & LOW_MASK;
        }
        let mut cohorts = [u32::MAX; WARM];
        self.core.live.warm(&addrs, &mut cohorts);
        self.core.cohorts.warm(&cohorts);
    }

    /// Takes one record of the rare kinds; 0 where it is cut.
    #[cold]
    fn rare(&mut self, cells: &[Cell], now: Moment) -> usize {
        match decode(cells) {
            Ok((record, n)) => {
                self.record(record, now);
                n
            }
            Err(CellError::Cut { .. }) => 0,
            Err(CellError::Unknown { .. }) => {
                self.tally.damaged_cells += 1;
                1
            }
        }
    }

    fn record(&mut self, record: Record, now: Moment) {
        match record {
            Record::Alloc { allocator, ptr, node, size } => {
                self.alloc(ptr, Born { allocator: allocator as u8, node, size, interval: 0 }, now);
            }
            Record::Sample { allocator, ptr, node, size, interval } => {
                self.alloc(ptr, Born { allocator: allocator as u8, node, size, interval }, now);
            }
            Record::Free { ptr, .. } => self.free(ptr, now),
            Record::Unmap { addr, len } => {
                self.tally.n_events += 1;
                self.unmap(addr, len, now);
            }
            Record::Temporary { node, allocator, n_pairs, bytes } => {
                self.temporary(node, allocator as u8, (n_pairs, bytes), now);
            }
            Record::Lost { n_events, n_frees } => {
                let tally = &mut self.tally;
                tally.lost_events = tally.lost_events.saturating_add(n_events);
                tally.lost_frees = tally.lost_frees.saturating_add(n_frees);
            }
            Record::Forking { mark } => {
                let core = self.core.fork();
                self.forks.push((mark, core));
            }
            Record::State { .. } => {}
            Record::Ending { ending } => {
                self.ending = Some(if ending == 0 { Ending::Not } else { Ending::Begins });
            }
            Record::Border { number } => self.border = Some(number),
            described => {
                if let Record::Node { kind: NodeKind::Native, a: ip, .. } = described {
                    self.see_code(ip);
                }
                let serial = NEXT_SERIAL.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if !self.core.tables.take(described, serial) {
                    self.tally.damaged_cells += 1;
                }
            }
        }
    }

    /// Native code shows on a stack.
    fn see_code(&mut self, ip: u64) {
        if let Some(object) = self.core.tables.object(ip)
            && self.seen_code.insert(object.serial)
        {
            self.new_code.push(Arc::clone(object));
        }
    }

    /// A block of heap that was certain to be recorded.
    #[inline]
    fn alloc_one(&mut self, addr: u64, born: Born, now: Moment) {
        self.tally.n_events += 1;
        self.sizes.add_one(born.allocator, born.size);
        let cohort = self.cohort(&born, now.slice);
        if let Some(old) = self.core.live.insert(addr, Block { cohort, size: born.size }) {
            self.missed_free(addr, old, now);
        }
        self.core.cohorts.born_one(cohort, born.size, now.t_ns);
        if self.keeps_events {
            self.keep_event(addr, &born, now);
        }
    }

    fn alloc(&mut self, addr: u64, born: Born, now: Moment) {
        if born.allocator == allocator::RESERVED {
            self.tally.n_events += 1;
            self.unmap(addr, born.size, now);
            return self.core.reserved.map(addr, born.size, born.node);
        }
        let is_mapping = born.allocator == allocator::MMAP || born.allocator == allocator::ARENA;
        if born.interval == 0 && !is_mapping {
            return self.alloc_one(addr, born, now);
        }
        self.tally.n_events += 1;
        let weight = Sum::of(born.size, born.interval);
        self.sizes.add(born.allocator, born.size, &weight.told(born.interval));
        let cohort = self.cohort(&born, now.slice);
        if is_mapping {
            self.unmap(addr, born.size, now);
            self.core.ranges.map(addr, born.size, cohort);
        } else if let Some(old) = self.core.live.insert(addr, Block { cohort, size: born.size }) {
            self.missed_free(addr, old, now);
        }
        self.core.cohorts.born(cohort, weight, now.t_ns, self.counts[usize::from(born.allocator)]);
        if self.keeps_events {
            self.keep_event(addr, &born, now);
        }
    }

    #[cold]
    fn missed_free(&mut self, addr: u64, old: Block, now: Moment) {
        self.tally.missed_frees += 1;
        self.died(addr, old, now);
    }

    fn keep_event(&mut self, address: u64, born: &Born, now: Moment) {
        let Born { allocator, node, size, .. } = *born;
        self.events.push(EventRow { t_ns: now.t_ns, kind: EventRow::ALLOC, allocator, node, address, size });
    }

    #[inline]
    fn free(&mut self, addr: u64, now: Moment) {
        self.tally.n_events += 1;
        match self.core.live.remove(addr) {
            Some(block) => self.died(addr, block, now),
            None => self.tally.unknown_frees += 1,
        }
    }

    #[inline]
    fn died(&mut self, addr: u64, block: Block, now: Moment) {
        let key = self.core.cohorts.key(block.cohort);
        if self.keeps_events {
            let (allocator, node) = (key.allocator, key.node);
            let (t_ns, kind) = (now.t_ns, EventRow::FREE);
            self.events.push(EventRow { t_ns, kind, allocator, node, address: addr, size: block.size });
        }
        match key.interval {
            0 => self.core.cohorts.died_one(block.cohort, block.size),
            interval => {
                let weight = Sum::of(block.size, interval);
                self.core.cohorts.died(block.cohort, weight, 1.0);
            }
        }
    }

    /// A look has found so many bytes of a reservation in use.
    pub(crate) fn look_at_reserved(&mut self, reservation: u32, bytes: u64, now: Moment) {
        for change in self.core.reserved.look(reservation, bytes) {
            let Change::Grown { node, bytes } = change else {
                self.shrink(change);
                continue;
            };
            let born = Born { allocator: allocator::RESERVED, node, size: bytes, interval: 0 };
            let cohort = self.cohort(&born, now.slice);
            let is_block = self.core.reserved.grown(reservation, cohort, bytes);
            let weight = Sum { n_records: is_block.into(), bytes: bytes as f64, ..Sum::default() };
            self.sizes.add(allocator::RESERVED, bytes, &weight.told(0));
            self.core.cohorts.born(cohort, weight, now.t_ns, 1.0);
        }
    }

    fn shrink(&mut self, change: Change) {
        if let Change::Shrunk { cohort, bytes, is_last } = change {
            let weight = Sum { n_records: is_last.into(), bytes: bytes as f64, ..Sum::default() };
            self.core.cohorts.died(cohort, weight, 1.0);
        }
    }

    /// A mapping's bytes go piece by piece, its one block with the last piece.
    fn unmap(&mut self, addr: u64, size: u64, now: Moment) {
        self.core.reserved.unmap(addr, size).into_iter().for_each(|change| self.shrink(change));
        for cut in self.core.ranges.unmap(addr, size) {
            let key = *self.core.cohorts.key(cut.mapping.cohort);
            let whole = Sum::of(cut.mapping.size, key.interval);
            let bytes = match key.interval {
                0 => cut.bytes as f64,
                _ => whole.bytes * (cut.bytes as f64 / cut.mapping.size as f64),
            };
            let weight = if cut.is_last { Sum { bytes, ..whole } } else { Sum { bytes, ..Sum::default() } };
            let counts = self.counts[usize::from(key.allocator)];
            self.core.cohorts.died(cut.mapping.cohort, weight, counts);
            if self.keeps_events {
                self.events.push(EventRow {
                    t_ns: now.t_ns,
                    kind: EventRow::FREE,
                    allocator: key.allocator,
                    node: key.node,
                    address: addr,
                    size: cut.bytes,
                });
            }
        }
    }

    fn temporary(&mut self, node: u32, allocator: u8, (count, bytes): (u64, u64), now: Moment) {
        self.tally.n_events = self.tally.n_events.wrapping_add(count.wrapping_mul(2));
        self.sizes.add_temporary(allocator, count, bytes);
        let cohort = self.cohort(&Born { allocator, node, size: 0, interval: 0 }, now.slice);
        self.core.cohorts.temporary(cohort, count, bytes);
    }

    /// The cohort of a site for this slice.
    #[inline]
    fn cohort(&mut self, born: &Born, slice: u32) -> u32 {
        let sites = &self.sites[usize::from(born.allocator)];
        match sites.get(born.node as usize) {
            Some(site)
                if site.epoch == slice + 1
                    && self.core.cohorts.key(site.cohort).interval == born.interval =>
            {
                site.cohort
            }
            _ => self.new_cohort(born, slice),
        }
    }

    #[cold]
    fn new_cohort(&mut self, born: &Born, slice: u32) -> u32 {
        let Born { allocator, node, interval, .. } = *born;
        let cohort = self.core.cohorts.create(CohortKey { node, allocator, birth: slice, interval });
        // A node that was never sent gets a cohort each time: rows of one site are merged when they are written.
        if self.core.tables.node(node).is_some() || node == 0 {
            let sites = &mut self.sites[usize::from(allocator)];
            if sites.len() <= node as usize {
                sites.resize(node as usize + 1, Site::default());
            }
            sites[node as usize] = Site { epoch: slice + 1, cohort };
        }
        cohort
    }
}

/// Numbers code objects over all engines of this program.
static NEXT_SERIAL: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// A block that is born.
#[derive(Clone, Copy)]
struct Born {
    allocator: u8,
    node: u32,
    size: u64,
    interval: u64,
}
