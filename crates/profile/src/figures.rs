//! The figures of each site over a span: alive at its end, alive at its begin, survivors, freed, allocated.
//!
//! With `L(t)` the blocks alive at `t`: `L(to) = L(from) + survivors − died`, where survivors were born in the span and
//! died are those of `L(from)` that were freed in it. Survivors and died share no sample, so the variance of the
//! growth is the sum of theirs, while samples that were freed again take their variance with them.

use crate::births::{Births, Entry, Parts};
use crate::heirs::Heirs;
use crate::moment::end_ns;
use crate::span::{peak_slice, slice_at, time_of};
use crate::{Amount, Moment, Selection, Span};
use heapray_capture::{Recording, Task};
use heapray_wire::LiveRow;
use std::collections::HashMap;

/// Points of a trend, begin and end included.
pub const TREND_POINTS: usize = 13;

/// Figures of something over a span.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Alive at the end.
    pub live: Amount,
    /// Alive at the begin.
    pub before: Amount,
    /// Born in the span and alive at its end.
    pub survivors: Amount,
    /// Alive at the begin and freed in the span.
    pub died: Amount,
    /// Allocated in the span, freed or not.
    pub allocated: Amount,
    /// Allocated in the span and freed in the slice that they were allocated in.
    pub temporary: Amount,
    /// Live bytes at equal steps from the begin to the end of the span.
    pub trend: [f64; TREND_POINTS],
}

impl Figures {
    /// What is alive at the end more than at the begin.
    pub fn growth(&self) -> Amount {
        self.survivors.change(self.died)
    }

    /// Adds the figures of another site.
    pub fn add(&mut self, other: &Self) {
        self.live += other.live;
        self.before += other.before;
        self.survivors += other.survivors;
        self.died += other.died;
        self.allocated += other.allocated;
        self.temporary += other.temporary;
        for (point, more) in self.trend.iter_mut().zip(other.trend) {
            *point += more;
        }
    }
}

/// One site: a stack and an allocator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Site {
    /// Innermost node of the stack; `NO_NODE` where none is known.
    pub node: u32,
    /// The allocator.
    pub allocator: u8,
    /// Its figures.
    pub figures: Figures,
}

/// The figures of all sites that a selection lets pass, by node and allocator. O(rows of the recording).
pub fn figures(recording: &Recording, selection: &Selection, span: &Span) -> Vec<Site> {
    let mut sums = Sums::new(recording, selection, span);
    for (at, task) in selection.tasks(recording) {
        sums.task(at, task);
    }
    sums.finish()
}

/// Sites by the order in which they are met.
#[derive(Default)]
pub(crate) struct Sites {
    index: HashMap<(u32, u8), usize>,
    rows: Vec<Site>,
}

impl Sites {
    /// The figures of a site, empty at first.
    pub(crate) fn at(&mut self, node: u32, allocator: u8) -> &mut Figures {
        let next = self.rows.len();
        let at = *self.index.entry((node, allocator)).or_insert(next);
        if at == next {
            self.rows.push(Site { node, allocator, figures: Figures::default() });
        }
        &mut self.rows[at].figures
    }

    fn finish(mut self) -> Vec<Site> {
        self.rows.sort_unstable_by_key(|site| (site.node, site.allocator));
        self.rows
    }

    /// Sums of what lives, as something that is.
    pub(crate) fn settled(self) -> Vec<Site> {
        let mut rows = self.finish();
        rows.iter_mut().for_each(|site| site.figures.live = site.figures.live.settled());
        rows.retain(|site| site.figures != Figures::default());
        rows
    }
}

struct Sums<'a> {
    recording: &'a Recording,
    selection: &'a Selection,
    span: &'a Span,
    heirs: Heirs<'a>,
    /// The first slice behind each point of the trend.
    points: [u32; TREND_POINTS],
    sites: Sites,
    /// By site: blocks from before the span that one process took over from another within it.
    passed_on: HashMap<(u32, u8), Amount>,
}

/// One process within the span.
struct Life<'a> {
    task: &'a Task,
    moment: Moment,
    /// Slices below are before the span.
    from: u32,
    /// Slices from here on are not looked at.
    limit: u32,
    /// Which blocks were inherited.
    births: Births,
    /// Those of them that count, and since when.
    entries: Vec<Entry>,
}

impl Life<'_> {
    /// Whether inherited blocks of a birth that count since a boundary are survivors of the span: born in it, and not counted at
    /// its begin.
    fn survives(&self, birth: u32, since: u32) -> bool {
        birth >= self.from && since > self.from
    }
}

impl<'a> Sums<'a> {
    fn new(recording: &'a Recording, selection: &'a Selection, span: &'a Span) -> Self {
        let (start, end) = (time_of(recording, span.from), time_of(recording, span.to));
        let points = std::array::from_fn(|i| {
            let t = start as f64 + (end - start) as f64 * i as f64 / (TREND_POINTS - 1) as f64;
            let at = recording.slice_times.partition_point(|(_, end)| *end as f64 <= t + 0.5) as u32;
            if i + 1 == TREND_POINTS { span.to } else { at.clamp(span.from, span.to) }
        });
        let gone_ns =
            |at: usize, task: &Task| (span.moments[at] == Moment::Gone).then(|| end_ns(recording, task));
        let heirs = Heirs::new(recording, selection, &gone_ns);
        Self { recording, selection, span, heirs, points, sites: Sites::default(), passed_on: HashMap::new() }
    }

    fn task(&mut self, at: usize, task: &Task) {
        let life = self.life(at, task);
        if life.moment == Moment::Gone && self.end_slice(&life) < self.span.from {
            return;
        }
        self.before(&life);
        self.within(&life);
        match life.moment {
            Moment::Boundary(_) => {}
            Moment::Peak => self.peak(&life),
            Moment::Gone => self.leave(&life),
        }
    }

    fn life<'t>(&self, at: usize, task: &'t Task) -> Life<'t> {
        let moment = self.span.moments[at];
        let limit = match moment {
            Moment::Boundary(boundary) => boundary,
            Moment::Peak => peak_slice(self.recording, at),
            Moment::Gone => self.span.to,
        };
        let births = Births::new(self.recording, task, self.heirs.turns(at));
        let mut entries = births.entries(task);
        entries.retain(|entry| entry.since <= limit && self.selection.has(entry.node, entry.allocator));
        Life { task, moment, from: self.span.from.min(limit), limit, births, entries }
    }

    /// Everything that happened before the span, and what was inherited and counts by then, once for each block.
    fn each_before(&self, life: &Life<'_>, each: &mut dyn FnMut(u32, u8, Amount)) {
        let selection = self.selection;
        for entry in life.entries.iter().filter(|entry| entry.since <= life.from) {
            each(entry.node, entry.allocator, entry.amount);
        }
        for slice in life.task.slices.iter().take_while(|slice| slice.index < life.from) {
            for row in slice.allocs.iter().filter(|row| selection.has(row.node, row.allocator)) {
                each(row.node, row.allocator, row.into());
            }
            for row in &slice.frees {
                let parts = self.parts(life, row, slice.index);
                parts.each().for_each(|amount| each(row.node, row.allocator, -amount));
            }
        }
    }

    fn before(&mut self, life: &Life<'_>) {
        let mut sites = std::mem::take(&mut self.sites);
        self.each_before(life, &mut |node, allocator, amount| {
            let site = sites.at(node, allocator);
            site.before += amount;
            site.trend[0] += amount.bytes;
        });
        self.sites = sites;
    }

    /// Slices of the span: what was allocated, and up to the process's moment what lives.
    fn within(&mut self, life: &Life<'_>) {
        self.enter(life);
        // The slice of a high-water mark is allocated from, but what lives is told by the mark. Where the user named no end, what was
        // allocated behind the moment counts too.
        let is_asked = self.span.to_asked;
        let last = life.limit + u32::from(life.moment == Moment::Peak);
        for slice in &life.task.slices {
            if slice.index < life.from || is_asked && slice.index >= last {
                continue;
            }
            let point = self.point(slice.index.min(last));
            let shows = slice.index < life.limit;
            let keeps = shows && matches!(life.moment, Moment::Boundary(_));
            for row in slice.allocs.iter().filter(|row| self.selection.has(row.node, row.allocator)) {
                let site = self.sites.at(row.node, row.allocator);
                site.allocated += row.into();
                site.trend[point] += if shows { row.bytes } else { 0.0 };
                if keeps {
                    site.survivors += row.into();
                }
            }
            for row in &slice.frees {
                self.freed(life, (slice.index, row), shows.then_some(point));
            }
        }
    }

    /// Inherited blocks that begin to count within the span.
    fn enter(&mut self, life: &Life<'_>) {
        for entry in life.entries.iter().filter(|entry| entry.since > life.from) {
            let point = self.point(entry.since - 1);
            let site = self.sites.at(entry.node, entry.allocator);
            site.trend[point] += entry.amount.bytes;
            if !matches!(life.moment, Moment::Boundary(_)) {
                continue;
            }
            if life.survives(entry.birth, entry.since) {
                site.survivors += entry.amount;
            } else {
                *self.passed_on.entry((entry.node, entry.allocator)).or_default() += entry.amount;
            }
        }
    }

    /// One row of frees within the span; at a point of the trend, unless the high-water mark tells what lives.
    fn freed(&mut self, life: &Life<'_>, (slice, row): (u32, &LiveRow), point: Option<usize>) {
        let parts = self.parts(life, row, slice);
        if parts.each().next().is_none() {
            return;
        }
        let site = self.sites.at(row.node, row.allocator);
        if row.birth == slice {
            parts.own.into_iter().for_each(|amount| site.temporary += amount);
        }
        let Some(point) = point else { return };
        parts.each().for_each(|amount| site.trend[point] -= amount.bytes);
        if !matches!(life.moment, Moment::Boundary(_)) {
            return;
        }
        if let Some(amount) = parts.own {
            if row.birth < life.from {
                site.died += amount;
            } else {
                site.survivors += -amount;
            }
        }
        if let Some(amount) = parts.inherited {
            if life.survives(row.birth, parts.since) {
                site.survivors += -amount;
            } else if parts.since > life.from {
                *self.passed_on.entry((row.node, row.allocator)).or_default() += -amount;
            } else {
                site.died += amount;
            }
        }
    }

    /// The high-water mark says what lives; what lived before and is not in it died.
    fn peak(&mut self, life: &Life<'_>) {
        self.leave(life);
        let point = self.point(life.limit);
        for row in life.task.peak.iter().flat_map(|peak| &peak.rows) {
            let parts = self.parts(life, row, life.limit);
            if parts.each().next().is_none() {
                continue;
            }
            let site = self.sites.at(row.node, row.allocator);
            parts.each().for_each(|amount| site.trend[point] += amount.bytes);
            if let Some(amount) = parts.own {
                if row.birth < life.from {
                    site.died += -amount;
                } else {
                    site.survivors += amount;
                }
            }
            if let Some(amount) = parts.inherited {
                if life.survives(row.birth, parts.since) {
                    site.survivors += amount;
                } else if parts.since > life.from {
                    *self.passed_on.entry((row.node, row.allocator)).or_default() += amount;
                } else {
                    site.died += -amount;
                }
            }
        }
    }

    /// Takes away all that the trend saw of a process up to its limit; all that lived before the span died.
    fn leave(&mut self, life: &Life<'_>) {
        let point = self.point(self.end_slice(life).min(life.limit));
        let mut sites = std::mem::take(&mut self.sites);
        self.each_before(life, &mut |node, allocator, amount| {
            let site = sites.at(node, allocator);
            site.died += amount;
            site.trend[point] -= amount.bytes;
        });
        self.sites = sites;
        for entry in life.entries.iter().filter(|entry| entry.since > life.from) {
            self.sites.at(entry.node, entry.allocator).trend[point] -= entry.amount.bytes;
        }
        for slice in &life.task.slices {
            if slice.index < life.from || slice.index >= life.limit {
                continue;
            }
            for row in slice.allocs.iter().filter(|row| self.selection.has(row.node, row.allocator)) {
                self.sites.at(row.node, row.allocator).trend[point] -= row.bytes;
            }
            for row in &slice.frees {
                for amount in self.parts(life, row, slice.index).each() {
                    self.sites.at(row.node, row.allocator).trend[point] += amount.bytes;
                }
            }
        }
    }

    /// The slice in which a process ended.
    fn end_slice(&self, life: &Life<'_>) -> u32 {
        life.task.end.as_ref().map_or(life.limit, |end| slice_at(self.recording, end.t_ns))
    }

    /// The first point of the trend behind a slice.
    fn point(&self, slice: u32) -> usize {
        self.points.partition_point(|behind| *behind <= slice).min(TREND_POINTS - 1)
    }

    /// The parts of a row of a slice that count: selected, and inherited ones only where no other process answers for them.
    fn parts(&self, life: &Life<'_>, row: &LiveRow, slice: u32) -> Parts {
        if !self.selection.has(row.node, row.allocator) {
            return Parts::default();
        }
        life.births.split(row, slice)
    }

    fn finish(self) -> Vec<Site> {
        let mut rows = self.sites.finish();
        for site in &mut rows {
            let passed_on = self.passed_on.get(&(site.node, site.allocator));
            settle(&mut site.figures, passed_on.copied().unwrap_or_default());
        }
        rows.retain(|site| site.figures != Figures::default());
        rows
    }
}

/// Turns sums of steps into states. What was passed on did not die in the process that held it before, unless that had freed more:
/// then it was counted nowhere at the begin, and came within the span.
fn settle(figures: &mut Figures, passed_on: Amount) {
    if passed_on.is_at_most(figures.died) {
        figures.died += -passed_on;
    } else {
        figures.survivors += passed_on;
    }
    let mut live = figures.before;
    live += figures.survivors;
    live += -figures.died;
    figures.live = live.settled();
    figures.before = figures.before.settled();
    figures.survivors = figures.survivors.settled();
    figures.died = figures.died.settled();
    figures.temporary = figures.temporary.settled();
    let mut bytes = 0.0;
    for point in &mut figures.trend {
        bytes += *point;
        *point = if bytes < 0.5 { 0.0 } else { bytes };
    }
}
