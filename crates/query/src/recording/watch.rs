//! `watch`: the same recording again and again; each tick tells what changed since the one before, as `tracemalloc`'s
//! `compare_to` does.

use super::diff::{Key, Named};
use super::rows::{estimate, whole};
use super::{Allocations, What};
use crate::answer::{WatchAnswer, WatchRow};
use heapray_profile::{Amount, GroupBy};
use std::collections::BTreeMap;

/// What makes blocks one row, in the words of `tracemalloc`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchBy {
    /// The line.
    #[default]
    Line,
    /// The file.
    File,
    /// The whole stack.
    Traceback,
}

/// Remembers the tick before.
#[derive(Debug)]
pub struct Watch {
    by: WatchBy,
    limit: usize,
    n_ticks: u64,
    seconds: f64,
    before: BTreeMap<Key, (Key, Amount)>,
}

impl Watch {
    /// Nothing seen yet.
    pub fn new(by: WatchBy, limit: usize) -> Self {
        Self { by, limit, n_ticks: 0, seconds: 0.0, before: BTreeMap::new() }
    }

    /// Compares with the tick before; the first one compares with nothing.
    pub fn tick(&mut self, now: &Allocations) -> WatchAnswer {
        let (by, name) = match self.by {
            WatchBy::Line => (GroupBy::Line, "line"),
            WatchBy::File => (GroupBy::File, "file"),
            WatchBy::Traceback => (GroupBy::Stack, "traceback"),
        };
        let (all, places) = now.by_name(What::Live, by);
        let mut after: BTreeMap<Key, (Key, Amount)> = BTreeMap::new();
        for Named { key, name, amount } in places {
            after.entry(key).or_insert_with(|| (name, Amount::default())).1 += amount;
        }
        let before = |key: &Key| self.before.get(key).map(|(_, amount)| *amount).unwrap_or_default();
        let mut rows: Vec<WatchRow> =
            after.iter().map(|(key, (name, amount))| row(name, *amount, before(key))).collect();
        let gone = self.before.iter().filter(|(key, _)| !after.contains_key(*key));
        rows.extend(gone.map(|(_, (name, amount))| row(name, Amount::default(), *amount)));
        rows.retain(|row| row.size != 0 || row.size_diff != 0 || row.count_diff != 0);
        // As `StatisticDiff._sort_key`, the largest first; then by name.
        rows.sort_by(|a, b| {
            let key = |row: &WatchRow| (row.size_diff.abs(), row.size, row.count_diff.abs(), row.count);
            key(b).cmp(&key(a)).then_with(|| (&a.place, &a.stack).cmp(&(&b.place, &b.stack)))
        });
        rows.truncate(self.limit);
        let before = self.before.values().fold((0.0, 0.0), |sum, (_, a)| (sum.0 + a.bytes, sum.1 + a.count));
        let end = now.span.ns.1 as f64 / 1e9;
        let seconds = std::mem::replace(&mut self.seconds, end);
        let answer = WatchAnswer {
            recording: now.recorded(&now.span, all.n_records),
            by: name.to_owned(),
            tick: self.n_ticks,
            seconds: if self.n_ticks == 0 { 0.0 } else { end - seconds },
            live: estimate(all),
            size_diff: whole(all.bytes - before.0),
            count_diff: whole(all.count - before.1),
            rows,
        };
        self.before = after;
        self.n_ticks += 1;
        answer
    }
}

fn row((place, stack): &Key, now: Amount, before: Amount) -> WatchRow {
    WatchRow {
        place: place.clone(),
        stack: stack.clone(),
        size: whole(now.bytes),
        size_error: whole(now.bytes_error()),
        size_diff: whole(now.bytes - before.bytes),
        count: whole(now.count),
        count_diff: whole(now.count - before.count),
        average: if now.count > 0.0 { whole(now.bytes / now.count) } else { 0 },
    }
}
