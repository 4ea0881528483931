//! Which blocks of a forked process are its own, and which it inherited.
//!
//! A row names the slice of birth. Births before the slice of the fork were inherited, later ones are the process's own.
//! In the slice of the fork itself both occur: there the row is split in the proportion of what was inherited to what
//! the process allocated under the same stack. Parent and child seldom share a stack, so that is all or nothing.
//!
//! Inherited blocks count from the turn of the process on, see [`crate::heirs`].

use crate::Amount;
use crate::heirs::Turns;
use crate::moment::start_ns;
use crate::span::slice_at;
use heapray_capture::{Recording, Task};
use heapray_wire::LiveRow;
use std::collections::HashMap;

/// The births of one process.
#[derive(Debug, Default)]
pub(crate) struct Births {
    /// The slice of the fork.
    first: u32,
    /// Of sites that were inherited from that slice: the part that is the process's own.
    mixed: HashMap<(u32, u8), f64>,
    /// Since when inherited ones count.
    turns: Turns,
}

/// The two parts of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Parts {
    pub(crate) own: Option<Amount>,
    pub(crate) inherited: Option<Amount>,
    /// The first boundary at which the inherited part counts.
    pub(crate) since: u32,
}

impl Parts {
    /// Both together, once each, where they count.
    pub(crate) fn each(self) -> impl Iterator<Item = Amount> {
        self.own.into_iter().chain(self.inherited)
    }

    /// What counts of a row of a slice, or of a state within it.
    fn within(self, slice: u32) -> Self {
        Self { inherited: self.inherited.filter(|_| self.since <= slice), ..self }
    }
}

/// Inherited blocks that begin to count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry {
    /// The first boundary at which they do; 0: from the start on.
    pub(crate) since: u32,
    pub(crate) node: u32,
    pub(crate) allocator: u8,
    pub(crate) birth: u32,
    /// How much more of them that makes: less than nothing for what was freed before.
    pub(crate) amount: Amount,
}

impl Births {
    /// Those of a task, which answers for inherited blocks in its turn.
    pub(crate) fn new(recording: &Recording, task: &Task, turns: Turns) -> Self {
        let Some(inherited) = &task.inherited else { return Self::default() };
        let first = slice_at(recording, start_ns(task));
        let mut mixed: HashMap<(u32, u8), f64> = HashMap::new();
        for row in inherited.rows.iter().filter(|row| row.birth == first) {
            *mixed.entry((row.node, row.allocator)).or_default() += row.count;
        }
        let own = task.slices.get(first).map(|slice| slice.allocs).unwrap_or_default();
        let own: HashMap<(u32, u8), f64> =
            own.iter().map(|row| ((row.node, row.allocator), row.count)).collect();
        for (site, count) in &mut mixed {
            let own = own.get(site).copied().unwrap_or(0.0);
            *count = own / (own + *count).max(f64::MIN_POSITIVE);
        }
        Self { first, mixed, turns }
    }

    /// Splits a row of a slice of the task, or of a state within it, into what counts.
    pub(crate) fn split(&self, row: &LiveRow, slice: u32) -> Parts {
        self.parts(row).within(slice)
    }

    /// Splits a row.
    fn parts(&self, row: &LiveRow) -> Parts {
        let own = match row.birth.cmp(&self.first) {
            std::cmp::Ordering::Less => 0.0,
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => self.mixed.get(&(row.node, row.allocator)).copied().unwrap_or(1.0),
        };
        let part = |part: f64| (part > 0.0).then(|| Amount::from(row).scaled(part));
        Parts { own: part(own), inherited: part(1.0 - own), since: self.turns.since(row.birth) }
    }

    /// All that the task inherited and answers for at some time, with what it freed of that before. O(rows).
    pub(crate) fn entries(&self, task: &Task) -> Vec<Entry> {
        let entry = |row: &LiveRow, since: u32, amount: Amount| Entry {
            since,
            node: row.node,
            allocator: row.allocator,
            birth: row.birth,
            amount,
        };
        let inherited = task.inherited.iter().flat_map(|inherited| &inherited.rows);
        let mut entries: Vec<Entry> = inherited
            .map(|row| entry(row, self.turns.since(row.birth), row.into()))
            .filter(|entry| entry.since != Turns::NEVER)
            .collect();
        let last = entries.iter().map(|entry| entry.since).max().unwrap_or(0);
        for slice in task.slices.iter().take_while(|slice| slice.index < last) {
            for row in &slice.frees {
                let parts = self.parts(row);
                let is_early = parts.since > slice.index && parts.since != Turns::NEVER;
                entries.extend(
                    parts.inherited.filter(|_| is_early).map(|amount| entry(row, parts.since, -amount)),
                );
            }
        }
        entries
    }
}
