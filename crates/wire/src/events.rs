//! A chunk of events: each allocation is a number in a list of distinct (node, allocator, size), each free the
//! distance back to its allocation, each address mostly a place among those freed before.
//!
//! Allocators hand out what was freed last, so an address is looked for among the last freed ones of its size class
//! first. Chunks stand alone: what was allocated before the chunk is freed in full.

use alloc::vec;
use alloc::vec::Vec;

use crate::bytes::{Source, put};
use crate::columns::{ids, put_ids, unzigzag64, zigzag64};
use crate::distinct::{Distinct, Key, mix};
use crate::malformed::Malformed;
use crate::recording::{EventRow, allocator};

/// Most events of one chunk; `capture`'s writer makes several out of more.
pub(crate) const MAX_EVENTS: usize = 1 << 18;

/// Freed addresses that a size class remembers.
const REMEMBERED: usize = 64;

/// How many of them, the last ones, an address is looked for among.
const LOOKED_AT: usize = 8;

/// What many events share.
#[derive(Clone, Copy, Default, PartialEq)]
struct Site {
    node: u32,
    allocator: u8,
    size: u64,
}

impl Site {
    fn of(event: &EventRow) -> Self {
        Self { node: event.node, allocator: event.allocator, size: event.size }
    }

    /// Blocks of one class take each other's places: by 16 bytes up to 1 KiB, then by powers of two; blocks of
    /// Python's two small-object domains apart from those of malloc.
    fn class(&self) -> u16 {
        let size = match self.size {
            0..=1024 => self.size.div_ceil(16) as u16,
            large => 64 + (u64::BITS - large.leading_zeros()) as u16,
        };
        let small = matches!(self.allocator, allocator::PYTHON_MEM | allocator::PYTHON_OBJECT);
        size + if small { N_CLASSES / 2 } else { 0 }
    }
}

const N_CLASSES: u16 = 2 * (64 + u64::BITS as u16 + 1);

impl Key for Site {
    #[inline]
    fn hash(&self) -> u64 {
        mix(mix(0, self.size), u64::from(self.node) | u64::from(self.allocator) << 32)
    }
}

/// The last addresses freed, by class.
struct Freed {
    slots: Vec<[u64; REMEMBERED]>,
    n: Vec<u8>,
}

impl Freed {
    fn new() -> Self {
        Self { slots: vec![[0; REMEMBERED]; N_CLASSES.into()], n: vec![0; N_CLASSES.into()] }
    }

    #[inline]
    fn push(&mut self, class: u16, address: u64) {
        let n = &mut self.n[usize::from(class)];
        self.slots[usize::from(class)][usize::from(*n) % REMEMBERED] = address;
        *n = n.wrapping_add(1);
    }

    /// How far from the last one `address` is, among the last [`LOOKED_AT`].
    #[inline]
    fn find(&self, class: u16, address: u64) -> Option<usize> {
        let (slots, n) = (&self.slots[usize::from(class)], self.n[usize::from(class)]);
        let at = |depth: usize| slots[usize::from(n).wrapping_sub(1 + depth) % REMEMBERED];
        (0..LOOKED_AT).find(|depth| at(*depth) == address && address != 0)
    }

    /// Takes the address `depth` from the last one out; 0 where there is none.
    #[inline]
    fn take(&mut self, class: u16, depth: usize) -> u64 {
        let (slots, n) = (&mut self.slots[usize::from(class)], &mut self.n[usize::from(class)]);
        let place = |depth: usize| usize::from(*n).wrapping_sub(1 + depth) % REMEMBERED;
        let address = slots[place(depth)];
        for depth in (1..=depth).rev() {
            slots[place(depth)] = slots[place(depth - 1)];
        }
        slots[place(0)] = 0;
        *n = n.wrapping_sub(1);
        address
    }
}

/// In units of 16 bytes, which blocks are aligned to; the low bits go on top.
fn units(address: u64) -> u64 {
    address.rotate_right(4)
}

/// The columns of a chunk while it is written.
#[derive(Default)]
struct Columns {
    is_free: Vec<u8>,
    site: Vec<u32>,
    address: Vec<u8>,
    distance: Vec<u8>,
    far_site: Vec<u32>,
    far_address: Vec<u8>,
}

/// Appends events.
pub(crate) fn put_events(events: &[EventRow], out: &mut Vec<u8>) {
    assert!(events.len() <= MAX_EVENTS, "chunk over capacity");
    put(out, events.len() as u64);
    put_times(events, out);
    let mut sites = Distinct::new();
    let columns = columns(events, &mut sites);
    let rank = put_sites(&sites.values, &columns, out);
    out.extend_from_slice(&columns.is_free);
    let mut column = Vec::new();
    columns.site.iter().for_each(|site| put(&mut column, u64::from(rank[*site as usize])));
    put_column(&column, out);
    put_column(&columns.address, out);
    put_column(&columns.distance, out);
    column.clear();
    columns.far_site.iter().for_each(|site| put(&mut column, u64::from(rank[*site as usize])));
    put_column(&column, out);
    put_column(&columns.far_address, out);
}

fn put_column(column: &[u8], out: &mut Vec<u8>) {
    put(out, column.len() as u64);
    out.extend_from_slice(column);
}

/// Times as runs: their lengths, then how much later each is than the one before.
fn put_times(events: &[EventRow], out: &mut Vec<u8>) {
    let runs = || events.chunk_by(|a, b| a.t_ns == b.t_ns);
    put(out, runs().count() as u64);
    runs().for_each(|run| put(out, run.len() as u64));
    let mut before = 0;
    for run in runs() {
        put(out, run[0].t_ns.wrapping_sub(before));
        before = run[0].t_ns;
    }
}

/// Appends the sites, most frequent first, and answers each one's place there.
fn put_sites(sites: &[Site], columns: &Columns, out: &mut Vec<u8>) -> Vec<u32> {
    let mut count = vec![0_u32; sites.len()];
    columns.site.iter().chain(&columns.far_site).for_each(|site| count[*site as usize] += 1);
    let mut order: Vec<u32> = (0..sites.len() as u32).collect();
    order.sort_by_key(|site| core::cmp::Reverse(count[*site as usize]));
    let sorted = || order.iter().map(|site| &sites[*site as usize]);
    put(out, sites.len() as u64);
    put_ids(sorted().map(|site| site.node), out);
    sorted().for_each(|site| out.push(site.allocator));
    sorted().for_each(|site| put(out, site.size));
    let mut rank = vec![0; order.len()];
    order.iter().enumerate().for_each(|(new, old)| rank[*old as usize] = new as u32);
    rank
}

fn columns(events: &[EventRow], sites: &mut Distinct<Site>) -> Columns {
    let mut columns = Columns { is_free: vec![0; events.len().div_ceil(8)], ..Columns::default() };
    let mut live = Live::new(events.len());
    let mut freed = Freed::new();
    let mut last = [0; N_CLASSES as usize];
    let mut last_far = 0;
    for (i, event) in events.iter().enumerate() {
        let site = Site::of(event);
        let class = site.class();
        if event.kind == EventRow::ALLOC {
            columns.site.push(sites.number(site));
            let last = &mut last[usize::from(class)];
            match freed.find(class, event.address) {
                Some(depth) => {
                    freed.take(class, depth);
                    columns.address.push(depth as u8);
                }
                None => put_escaped(&mut columns.address, zigzag64(units(event.address), *last)),
            }
            *last = units(event.address);
            live.insert(event.address, i as u32);
            continue;
        }
        columns.is_free[i / 8] |= 1 << (i % 8);
        match live.remove(event.address).filter(|at| Site::of(&events[*at as usize]) == site) {
            Some(at) => put(&mut columns.distance, u64::from(i as u32 - at)),
            None => {
                columns.distance.push(0);
                columns.far_site.push(sites.number(site));
                put(&mut columns.far_address, zigzag64(units(event.address), last_far));
                last_far = units(event.address);
            }
        }
        freed.push(class, event.address);
    }
    columns
}

/// Appends a difference behind the numbers that stand for depths; the few that would not fit wrap to them, so they
/// follow the mark `LOOKED_AT` in full.
fn put_escaped(out: &mut Vec<u8>, difference: u64) {
    match difference.checked_add(LOOKED_AT as u64 + 1) {
        Some(code) => put(out, code),
        None => {
            put(out, LOOKED_AT as u64);
            put(out, difference);
        }
    }
}

/// Which event allocated each live address of the chunk: open addressing, as this crate has no `std`.
struct Live {
    /// Address, and number of the event + 1; 0 for a place never used, `GONE` for an address that was freed.
    slots: Vec<(u64, u32)>,
}

const GONE: u32 = u32::MAX;

impl Live {
    fn new(n: usize) -> Self {
        Self { slots: vec![(0, 0); (n * 2).next_power_of_two()] }
    }

    #[inline]
    fn slot(&mut self, address: u64) -> &mut (u64, u32) {
        let mask = self.slots.len() - 1;
        let mut at = (mix(0, address) >> 32) as usize & mask;
        while self.slots[at].1 != 0 && self.slots[at].0 != address {
            at = (at + 1) & mask;
        }
        &mut self.slots[at]
    }

    #[inline]
    fn insert(&mut self, address: u64, event: u32) {
        *self.slot(address) = (address, event + 1);
    }

    #[inline]
    fn remove(&mut self, address: u64) -> Option<u32> {
        let slot = self.slot(address);
        if slot.1 == 0 || slot.1 == GONE {
            return None;
        }
        let event = slot.1 - 1;
        slot.1 = GONE;
        Some(event)
    }
}

/// Replaces `events` by what `source` holds; what was there before is overwritten, so that its memory is used again.
pub(crate) fn events_into(source: &mut Source<'_>, events: &mut Vec<EventRow>) -> Result<(), Malformed> {
    let n = source.u64()?;
    if n > MAX_EVENTS as u64 {
        return Err(source.bad(n));
    }
    let runs = times(source, n)?;
    let mut reading = Reading::new(source, n as usize)?;
    events.resize(n as usize, EventRow::default());
    let mut i = 0;
    for (n, t_ns) in runs {
        for _ in 0..n {
            let event = match reading.is_free[i / 8] >> (i % 8) & 1 {
                0 => reading.alloc(t_ns),
                _ => reading.free(t_ns, &events[..i]),
            };
            events[i] = event.ok_or(Malformed::Short { what: source.what })?;
            i += 1;
        }
    }
    reading.end()
}

/// Lengths and times of the runs; the lengths are `n` in sum.
fn times(source: &mut Source<'_>, n: u64) -> Result<Vec<(u32, u64)>, Malformed> {
    let n_runs = source.count(2)?;
    let mut runs = vec![(0, 0); n_runs];
    let mut left = n;
    for run in &mut runs {
        run.0 = source.u32()?;
        left = left.checked_sub(u64::from(run.0)).ok_or_else(|| source.bad(u64::from(run.0)))?;
    }
    if left > 0 {
        return Err(source.bad(left));
    }
    let mut t_ns = 0_u64;
    for run in &mut runs {
        t_ns = t_ns.wrapping_add(source.u64()?);
        run.1 = t_ns;
    }
    Ok(runs)
}

fn sites(source: &mut Source<'_>) -> Result<Vec<(Site, u16)>, Malformed> {
    let n = source.count(3)?;
    let mut sites = vec![(Site::default(), 0); n];
    ids(source, &mut sites, |site, id| site.0.node = id)?;
    sites.iter_mut().try_for_each(|site| source.byte().map(|byte| site.0.allocator = byte))?;
    sites.iter_mut().try_for_each(|site| source.u64().map(|value| site.0.size = value))?;
    sites.iter_mut().for_each(|site| site.1 = site.0.class());
    Ok(sites)
}

/// Numbers of one column, read as fast as they can be: `None` for whatever is wrong with it.
struct Column<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Column<'a> {
    fn of(source: &mut Source<'a>) -> Result<Self, Malformed> {
        let n_bytes = source.count(1)?;
        Ok(Self { bytes: source.take(n_bytes)?, at: 0 })
    }

    #[inline(always)]
    fn next(&mut self) -> Option<u64> {
        let first = *self.bytes.get(self.at)?;
        self.at += 1;
        if first < 0x80 {
            return Some(first.into());
        }
        let second = *self.bytes.get(self.at)?;
        if second < 0x80 {
            self.at += 1;
            return Some(u64::from(first & 0x7f) | u64::from(second) << 7);
        }
        self.long()
    }

    /// The number whose first byte was passed.
    #[cold]
    fn long(&mut self) -> Option<u64> {
        let mut source = Source::new(&self.bytes[self.at - 1..], "events");
        let value = source.u64().ok()?;
        self.at = self.bytes.len() - source.n_left();
        Some(value)
    }
}

/// What is read of a chunk.
struct Reading<'a> {
    is_free: &'a [u8],
    sites: Vec<(Site, u16)>,
    site: Column<'a>,
    address: Column<'a>,
    distance: Column<'a>,
    far_site: Column<'a>,
    far_address: Column<'a>,
    freed: Freed,
    last: Vec<u64>,
    last_far: u64,
}

impl<'a> Reading<'a> {
    fn new(source: &mut Source<'a>, n: usize) -> Result<Self, Malformed> {
        Ok(Self {
            sites: sites(source)?,
            is_free: source.take(n.div_ceil(8))?,
            site: Column::of(source)?,
            address: Column::of(source)?,
            distance: Column::of(source)?,
            far_site: Column::of(source)?,
            far_address: Column::of(source)?,
            freed: Freed::new(),
            last: vec![0; N_CLASSES.into()],
            last_far: 0,
        })
    }

    #[inline]
    fn alloc(&mut self, t_ns: u64) -> Option<EventRow> {
        let (site, class) = *self.sites.get(self.site.next()? as usize)?;
        let last = &mut self.last[usize::from(class)];
        let code = self.address.next()?;
        let address = if code < LOOKED_AT as u64 {
            self.freed.take(class, code as usize)
        } else if code > LOOKED_AT as u64 {
            unzigzag64(code - (LOOKED_AT as u64 + 1), *last).rotate_left(4)
        } else {
            unzigzag64(self.address.next()?, *last).rotate_left(4)
        };
        *last = units(address);
        Some(event(site, EventRow::ALLOC, t_ns, address))
    }

    #[inline]
    fn free(&mut self, t_ns: u64, before: &[EventRow]) -> Option<EventRow> {
        let distance = self.distance.next()?;
        if distance == 0 {
            return self.far_free(t_ns);
        }
        let at = before.len().checked_sub(distance as usize)?;
        let freed = EventRow { t_ns, kind: EventRow::FREE, ..*before.get(at)? };
        self.freed.push(Site::of(&freed).class(), freed.address);
        Some(freed)
    }

    fn far_free(&mut self, t_ns: u64) -> Option<EventRow> {
        let (site, class) = *self.sites.get(self.far_site.next()? as usize)?;
        self.last_far = unzigzag64(self.far_address.next()?, self.last_far);
        let address = self.last_far.rotate_left(4);
        self.freed.push(class, address);
        Some(event(site, EventRow::FREE, t_ns, address))
    }

    fn end(&self) -> Result<(), Malformed> {
        let columns = [&self.site, &self.address, &self.distance, &self.far_site, &self.far_address];
        match columns.iter().map(|column| column.bytes.len() - column.at).sum() {
            0 => Ok(()),
            n_bytes => Err(Malformed::Trailing { n_bytes }),
        }
    }
}

#[inline]
fn event(site: Site, kind: u8, t_ns: u64, address: u64) -> EventRow {
    EventRow { t_ns, kind, allocator: site.allocator, node: site.node, address, size: site.size }
}
