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
    /// The last epoch in which it changed: what is said of an epoch is of this one.
    epoch: u32,
    live_more: More,
    freed_more: More,
    /// Temporaries of the epoch, in blocks and bytes.
    temporary: (f64, f64),
    at_peak: Sum,
    /// The epoch that it was created in.
    created: u32,
    /// Holds something, or may: not on the free list.
    used: bool,
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

    /// Freed within its epoch, temporaries included.
    pub(crate) fn freed(&self) -> Sum {
        joined(self.freed, self.freed_more)
    }

    /// Temporaries of its epoch, in blocks and bytes.
    pub(crate) fn temporary(&self) -> (f64, f64) {
        self.temporary
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

/// A high-water mark is right to this share of it, or to these bytes where they are more.
const CREST_SHARE: f64 = 1.0 / 32.0;
const CREST_BYTES: f64 = 65_536.0;

impl HighWater {
    /// Bytes that may be alive beyond those that are known before a new mark is to be told, and by how many it may be told too low.
    pub(crate) fn room(&self) -> (u64, u64) {
        let step = (self.peak_bytes * CREST_SHARE).max(CREST_BYTES);
        ((self.peak_bytes - self.bytes + step) as u64, step as u64)
    }

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
#[derive(Debug, Default)]
pub(crate) struct Cohorts {
    all: Chunks<Cohort>,
    free: Vec<u32>,
    /// Changed in the current epoch.
    touched: Vec<u32>,
    /// How many of these were named ahead.
    n_named: usize,
    /// Slices so far, those of the processes that this one comes from among them: what is inherited is of an earlier epoch.
    epoch: u32,
    /// The first epoch of this process.
    first_epoch: u32,
    /// Dead, but part of the peak.
    remembered: Vec<u32>,
    pub(crate) high: HighWater,
}

impl Cohorts {
    /// A new cohort, which counts as changed.
    pub(crate) fn create(&mut self, key: CohortKey) -> u32 {
        let (peak, epoch) = (self.high.number, self.epoch);
        let cohort = Cohort { key, peak, epoch, created: epoch, used: true, ..Cohort::default() };
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
        let cohort = self.touched(id);
        cohort.live.n_records = cohort.live.n_records.saturating_sub(1);
        cohort.live.bytes -= size as f64;
        cohort.freed.n_records += 1;
        cohort.freed.bytes += size as f64;
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
        let cohort = self.touched(id);
        let (mut live, mut freed) = (cohort.live(), cohort.freed());
        live -= weight;
        live.settle();
        freed += weight;
        cohort.set_live(live);
        cohort.set_freed(freed);
    }

    /// A cohort of which blocks die: what it says of an epoch is of the current one from here on.
    #[inline]
    fn touched(&mut self, id: u32) -> &mut Cohort {
        let cohort = &mut self.all[id as usize];
        note_peak(cohort, &self.high);
        if cohort.epoch != self.epoch {
            cohort.epoch = self.epoch;
            cohort.set_freed(Sum::default());
            cohort.temporary = (0.0, 0.0);
            self.touched.push(id);
        }
        cohort
    }

    /// Looks at cohorts that will be needed, see `LiveMap::warm`.
    pub(crate) fn warm(&self, ids: &[u32]) {
        for id in ids {
            std::hint::black_box(self.all.get(*id as usize).map(|cohort| cohort.freed.n_records));
        }
    }

    /// Blocks that lived too short to be noted one by one.
    pub(crate) fn temporary(&mut self, id: u32, count: u64, bytes: u64) {
        let cohort = self.touched(id);
        let mut freed = cohort.freed();
        freed += Sum { n_records: count, bytes: bytes as f64, ..Sum::default() };
        cohort.set_freed(freed);
        cohort.temporary.0 += count as f64;
        cohort.temporary.1 += bytes as f64;
    }

    /// Nodes of cohorts that changed within the slice, `n_max` at most, that were not asked for before.
    pub(crate) fn take_unnamed(&mut self, n_max: usize) -> impl Iterator<Item = u32> {
        let begin = self.n_named;
        self.n_named = self.touched.len().min(begin + n_max);
        self.touched[begin..self.n_named].iter().map(|id| self.all[*id as usize].key.node)
    }

    /// Gives every cohort that changed within the slice to `each`, and whether the process had it from its parent; begins the next
    /// slice: what is dead and not part of the peak is forgotten.
    pub(crate) fn end_slice(&mut self, mut each: impl FnMut(&Cohort, bool)) {
        for id in std::mem::take(&mut self.touched) {
            let cohort = &self.all[id as usize];
            each(cohort, cohort.created < self.first_epoch);
            if cohort.live().is_empty() {
                self.remembered.push(id);
            }
        }
        self.n_named = 0;
        self.epoch += 1;
        for id in std::mem::take(&mut self.remembered) {
            let cohort = &self.all[id as usize];
            if !cohort.used || !cohort.live().is_empty() {
                continue;
            }
            if at_peak(cohort, &self.high).is_empty() {
                self.all[id as usize].used = false;
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
    /// Cost: O(chunks + what changed within the slice).
    pub(crate) fn inherit(&mut self) -> Self {
        let is_dead = |id: &u32| self.all[*id as usize].live().is_empty();
        let dead: Vec<u32> = self.touched.iter().copied().filter(is_dead).collect();
        Self {
            all: self.all.fork(),
            free: self.free.clone(),
            touched: Vec::new(),
            n_named: 0,
            epoch: self.epoch + 1,
            first_epoch: self.epoch + 1,
            remembered: [self.remembered.as_slice(), &dead].concat(),
            high: HighWater { peak_bytes: self.high.bytes, rising: true, ..self.high },
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// A process as its cohorts should see it; a fork copies it.
    #[derive(Clone, Default)]
    struct Model {
        live: BTreeMap<u32, Vec<u64>>,
        /// Blocks and bytes that were freed in this slice, temporaries in it.
        freed: BTreeMap<u32, (u64, f64, f64)>,
        created: BTreeSet<u32>,
        inherited: BTreeSet<u32>,
        bytes: f64,
        peak_bytes: f64,
        at_peak: BTreeMap<u32, f64>,
    }

    impl Model {
        fn fork(&self) -> Model {
            let live = self.live.clone();
            let inherited = live.keys().copied().collect();
            let (bytes, at_peak) = (self.bytes, bytes_of(&live));
            Model { live, inherited, bytes, peak_bytes: bytes, at_peak, ..Model::default() }
        }

        fn rise(&mut self) {
            if self.bytes > self.peak_bytes {
                (self.peak_bytes, self.at_peak) = (self.bytes, bytes_of(&self.live));
            }
        }
    }

    fn bytes_of(live: &BTreeMap<u32, Vec<u64>>) -> BTreeMap<u32, f64> {
        let sum = |(id, sizes): (&u32, &Vec<u64>)| (*id, sizes.iter().sum::<u64>() as f64);
        live.iter().map(sum).filter(|(_, bytes)| *bytes > 0.0).collect()
    }

    /// What is said of each cohort that changed: (blocks freed, their bytes, temporaries, whether inherited).
    fn end_slice(cohorts: &mut Cohorts) -> BTreeMap<u32, (u64, f64, f64, bool)> {
        let mut said = BTreeMap::new();
        cohorts.end_slice(|cohort, is_inherited| {
            let freed = cohort.freed();
            let row = (freed.n_records, freed.bytes, cohort.temporary().0, is_inherited);
            assert_eq!(said.insert(cohort.key.node, row), None, "told twice");
        });
        said
    }

    proptest! {
        #[test]
        fn agree_with_copies_after_forks(steps in prop::collection::vec((0u8..12, any::<u16>(), 1u64..100), 1..300)) {
            let mut sides = vec![(Cohorts::default(), Model::default(), BTreeMap::<u32, u32>::new())];
            let mut next_node = 0;
            for (what, pick, size) in steps {
                let n = sides.len();
                let (cohorts, model, ids) = &mut sides[usize::from(pick) % n];
                let created: Vec<u32> = model.created.iter().copied().collect();
                let alive: Vec<u32> = model.live.keys().copied().collect();
                let one_of = |nodes: &[u32]| nodes.get(usize::from(pick / 7) % nodes.len().max(1)).copied();
                match what {
                    0 if n < 5 => {
                        let side = (cohorts.inherit(), model.fork(), ids.clone());
                        sides.push(side);
                    }
                    1 | 2 => {
                        let said = end_slice(cohorts);
                        let row = |node: &u32| {
                            let (n, bytes, temporary) = model.freed.get(node).copied().unwrap_or_default();
                            (*node, (n, bytes, temporary, model.inherited.contains(node)))
                        };
                        let changed: BTreeSet<u32> =
                            model.freed.keys().chain(&model.created).copied().collect();
                        prop_assert_eq!(said, changed.iter().map(row).collect());
                        model.freed.clear();
                        model.created.clear();
                    }
                    3 | 4 => {
                        let key = CohortKey { node: next_node, ..CohortKey::default() };
                        ids.insert(next_node, cohorts.create(key));
                        model.created.insert(next_node);
                        next_node += 1;
                    }
                    5 => if let Some(node) = one_of(&created) {
                        cohorts.temporary(ids[&node], 1, size);
                        let freed = model.freed.entry(node).or_default();
                        (freed.0, freed.1, freed.2) = (freed.0 + 1, freed.1 + size as f64, freed.2 + 1.0);
                    },
                    6..9 => if let Some(node) = one_of(&created) {
                        cohorts.born_one(ids[&node], size, 0);
                        model.live.entry(node).or_default().push(size);
                        model.bytes += size as f64;
                        model.rise();
                    },
                    _ => if let Some(node) = one_of(&alive)
                        && let Some(size) = model.live.get_mut(&node).and_then(Vec::pop)
                    {
                        cohorts.died_one(ids[&node], size);
                        let freed = model.freed.entry(node).or_default();
                        (freed.0, freed.1) = (freed.0 + 1, freed.1 + size as f64);
                        model.bytes -= size as f64;
                        model.live.retain(|_, sizes| !sizes.is_empty());
                    },
                }
            }
            for (cohorts, model, _) in sides {
                let sums = |rows: &mut dyn Iterator<Item = (CohortKey, Sum)>| -> BTreeMap<u32, f64> {
                    rows.map(|(key, sum)| (key.node, sum.bytes)).collect()
                };
                prop_assert_eq!(sums(&mut cohorts.live()), bytes_of(&model.live));
                prop_assert_eq!(sums(&mut cohorts.peak()), model.at_peak);
                prop_assert_eq!(cohorts.high.peak_bytes, model.peak_bytes);
            }
        }
    }
}
