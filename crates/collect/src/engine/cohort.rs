//! Cohorts: the blocks of one site that were born in one slice. Every block belongs to one, every row of a file is one.
//!
//! A cohort also keeps what it held when the process's live bytes were highest, lazily: it is noted at the first change
//! after that moment, so that a rising heap costs nothing.

use super::chunks::Chunks;
use super::weight::Sum;

/// What the blocks of a cohort have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CohortKey {
    /// Stack node, as the agent numbers it.
    pub(crate) node: u32,
    /// Allocator.
    pub(crate) allocator: u8,
    /// Slice of birth.
    pub(crate) birth: u32,
    /// Mean sampling interval, 0 for exact records.
    pub(crate) interval: u64,
}

/// The blocks of one site that were born in one slice. What an exact event changes comes first and fills one line of the
/// caches; what only samples, temporaries and peaks need comes behind.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Cohort {
    live: Exact,
    freed: Exact,
    pub(crate) key: CohortKey,
    /// Number of the peak that `at_peak` is of.
    peak: u32,
    /// In the list of those that changed within the slice.
    touched: bool,
    /// Holds something, or may: not on the free list.
    used: bool,
    /// Born in the process that this one was forked from.
    pub(crate) inherited: bool,
    live_more: More,
    freed_more: More,
    /// Temporaries of the current slice, in blocks and bytes.
    pub(crate) temporary: (f64, f64),
    at_peak: Sum,
}

/// The part of a sum that exact records need.
#[derive(Clone, Copy, Debug, Default)]
struct Exact {
    n_records: u64,
    bytes: f64,
}

/// The rest of it.
#[derive(Clone, Copy, Debug, Default)]
struct More {
    count: f64,
    count_variance: f64,
    bytes_variance: f64,
}

const _: () = assert!(std::mem::offset_of!(Cohort, live_more) == 64);

fn joined(exact: Exact, more: More) -> Sum {
    let Exact { n_records, bytes } = exact;
    let More { count, count_variance, bytes_variance } = more;
    Sum { n_records, count, bytes, count_variance, bytes_variance }
}

fn parted(sum: Sum) -> (Exact, More) {
    let Sum { n_records, count, bytes, count_variance, bytes_variance } = sum;
    (Exact { n_records, bytes }, More { count, count_variance, bytes_variance })
}

impl Cohort {
    /// Alive now.
    #[inline]
    pub(crate) fn live(&self) -> Sum {
        joined(self.live, self.live_more)
    }

    /// Freed within the current slice, temporaries included.
    pub(crate) fn freed(&self) -> Sum {
        joined(self.freed, self.freed_more)
    }

    fn set_live(&mut self, sum: Sum) {
        (self.live, self.live_more) = parted(sum);
    }

    fn set_freed(&mut self, sum: Sum) {
        (self.freed, self.freed_more) = parted(sum);
    }
}

/// The high-water mark of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HighWater {
    /// Live bytes now.
    pub(crate) bytes: f64,
    /// Highest so far.
    pub(crate) peak_bytes: f64,
    /// When it was reached.
    pub(crate) t_ns: u64,
    /// Number of the peak: one more each time that live bytes begin to fall from a new highest.
    number: u32,
    /// Live bytes are at their highest now.
    rising: bool,
}

impl HighWater {
    #[inline]
    fn rise(&mut self, bytes: f64, t_ns: u64) {
        self.bytes += bytes;
        if self.bytes > self.peak_bytes {
            self.peak_bytes = self.bytes;
            self.t_ns = t_ns;
            self.rising = true;
        }
    }

    /// To be called before the cohort changes: this is when the peak is over.
    #[inline]
    fn fall(&mut self, bytes: f64) {
        self.number += u32::from(self.rising);
        self.rising = false;
        self.bytes -= bytes;
    }
}

/// All cohorts of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cohorts {
    all: Chunks<Cohort>,
    free: Vec<u32>,
    touched: Vec<u32>,
    /// Dead, but part of the peak.
    remembered: Vec<u32>,
    pub(crate) high: HighWater,
}

impl Cohorts {
    /// A new cohort, which counts as changed.
    pub(crate) fn create(&mut self, key: CohortKey) -> u32 {
        let cohort = Cohort { key, peak: self.high.number, touched: true, used: true, ..Cohort::default() };
        let id = match self.free.pop() {
            Some(id) => {
                self.all[id as usize] = cohort;
                id
            }
            None => self.all.push(cohort) as u32,
        };
        self.touched.push(id);
        id
    }

    /// What a block of this cohort has in common with the others.
    #[inline]
    pub(crate) fn key(&self, id: u32) -> &CohortKey {
        &self.all[id as usize].key
    }

    /// A block of heap is born that was certain to be recorded.
    #[inline]
    pub(crate) fn born_one(&mut self, id: u32, size: u64, t_ns: u64) {
        let cohort = &mut self.all[id as usize];
        note_peak(cohort, &self.high);
        cohort.live.n_records += 1;
        cohort.live.bytes += size as f64;
        self.high.rise(size as f64, t_ns);
    }

    /// A block of heap dies that was certain to be recorded.
    #[inline]
    pub(crate) fn died_one(&mut self, id: u32, size: u64) {
        self.high.fall(size as f64);
        let cohort = &mut self.all[id as usize];
        note_peak(cohort, &self.high);
        cohort.live.n_records = cohort.live.n_records.saturating_sub(1);
        cohort.live.bytes -= size as f64;
        cohort.freed.n_records += 1;
        cohort.freed.bytes += size as f64;
        self.touch(id);
    }

    /// Blocks are born. `counts` is 1.0 for what counts as heap, 0.0 for what only holds other blocks (arenas).
    pub(crate) fn born(&mut self, id: u32, weight: Sum, t_ns: u64, counts: f64) {
        let cohort = &mut self.all[id as usize];
        note_peak(cohort, &self.high);
        let mut live = cohort.live();
        live += weight;
        cohort.set_live(live);
        if counts > 0.0 {
            self.high.rise(weight.bytes, t_ns);
        }
    }

    /// Blocks die.
    pub(crate) fn died(&mut self, id: u32, weight: Sum, counts: f64) {
        if counts > 0.0 {
            self.high.fall(weight.bytes);
        }
        let cohort = &mut self.all[id as usize];
        note_peak(cohort, &self.high);
        let (mut live, mut freed) = (cohort.live(), cohort.freed());
        live -= weight;
        live.settle();
        freed += weight;
        cohort.set_live(live);
        cohort.set_freed(freed);
        self.touch(id);
    }

    #[inline]
    fn touch(&mut self, id: u32) {
        let cohort = &mut self.all[id as usize];
        if !cohort.touched {
            cohort.touched = true;
            self.touched.push(id);
        }
    }

    /// Looks at cohorts that will be needed, see `LiveMap::warm`.
    pub(crate) fn warm(&self, ids: &[u32]) {
        for id in ids {
            std::hint::black_box(self.all.get(*id as usize).map(|cohort| cohort.freed.n_records));
        }
    }

    /// Blocks that lived too short to be noted one by one.
    pub(crate) fn temporary(&mut self, id: u32, count: u64, bytes: u64) {
        let cohort = &mut self.all[id as usize];
        let mut freed = cohort.freed();
        freed += Sum { n_records: count, bytes: bytes as f64, ..Sum::default() };
        cohort.set_freed(freed);
        cohort.temporary.0 += count as f64;
        cohort.temporary.1 += bytes as f64;
    }

    /// Gives every cohort that changed within the slice to `each`, and begins the next slice: what is dead and not part
    /// of the peak is forgotten.
    pub(crate) fn end_slice(&mut self, mut each: impl FnMut(&Cohort)) {
        for id in std::mem::take(&mut self.touched) {
            let cohort = &mut self.all[id as usize];
            each(cohort);
            cohort.set_freed(Sum::default());
            cohort.temporary = (0.0, 0.0);
            cohort.touched = false;
            if cohort.live().is_empty() {
                self.remembered.push(id);
            }
        }
        for id in std::mem::take(&mut self.remembered) {
            let cohort = &mut self.all[id as usize];
            if !cohort.used || !cohort.live().is_empty() {
                continue;
            }
            if at_peak(cohort, &self.high).is_empty() {
                cohort.used = false;
                self.free.push(id);
            } else {
                self.remembered.push(id);
            }
        }
    }

    /// What was alive at the peak, in no order.
    pub(crate) fn peak(&self) -> impl Iterator<Item = (CohortKey, Sum)> {
        let used = self.all.iter().filter(|cohort| cohort.used);
        let sums = used.map(|cohort| (cohort.key, at_peak(cohort, &self.high)));
        sums.filter(|(_, sum)| !sum.is_empty()).map(|(key, sum)| (key, sum.told(key.interval)))
    }

    /// What is alive, in no order.
    pub(crate) fn live(&self) -> impl Iterator<Item = (CohortKey, Sum)> {
        let used = self.all.iter().filter(|cohort| cohort.used && !cohort.live().is_empty());
        used.map(|cohort| (cohort.key, cohort.live().told(cohort.key.interval)))
    }

    /// Those of a forked child: the same blocks are alive, and nothing has happened yet. The peak starts at what is.
    pub(crate) fn inherit(&self) -> Self {
        let mut child = self.clone();
        child.touched.clear();
        child.remembered.clear();
        child.free.clear();
        child.high = HighWater { peak_bytes: self.high.bytes, rising: true, ..self.high };
        for (id, cohort) in child.all.iter_mut().enumerate() {
            cohort.set_freed(Sum::default());
            cohort.temporary = (0.0, 0.0);
            cohort.touched = false;
            cohort.inherited = true;
            cohort.used &= !cohort.live().is_empty();
            if !cohort.used {
                child.free.push(id as u32);
            }
        }
        child
    }

    /// Bytes of memory that the cohorts take.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.all.heap_bytes()
    }
}

/// Notes what was alive at the last peak before the first change after it.
#[inline]
fn note_peak(cohort: &mut Cohort, high: &HighWater) {
    if cohort.peak != high.number {
        cohort.at_peak = cohort.live();
        cohort.peak = high.number;
    }
}

fn at_peak(cohort: &Cohort, high: &HighWater) -> Sum {
    if high.rising || cohort.peak != high.number { cohort.live() } else { cohort.at_peak }
}
