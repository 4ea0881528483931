//! Which blocks of a forked process are its own, and which it inherited.
//!
//! A row names the slice of birth. Births before the slice of the fork were inherited, later ones are the process's own.
//! In the slice of the fork itself both occur: there the row is split in the proportion of what was inherited to what
//! the process allocated under the same stack. Parent and child seldom share a stack, so that is all or nothing.

use crate::Amount;
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
}

/// The two parts of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Parts {
    pub(crate) own: Option<Amount>,
    pub(crate) inherited: Option<Amount>,
}

impl Parts {
    /// Both together, once each.
    pub(crate) fn each(self) -> impl Iterator<Item = Amount> {
        self.own.into_iter().chain(self.inherited)
    }
}

impl Births {
    /// Those of a task.
    pub(crate) fn new(recording: &Recording, task: &Task) -> Self {
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
        Self { first, mixed }
    }

    /// Splits a row.
    pub(crate) fn split(&self, row: &LiveRow) -> Parts {
        let own = match row.birth.cmp(&self.first) {
            std::cmp::Ordering::Less => 0.0,
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => self.mixed.get(&(row.node, row.allocator)).copied().unwrap_or(1.0),
        };
        let part = |part: f64| (part > 0.0).then(|| Amount::from(row).scaled(part));
        Parts { own: part(own), inherited: part(1.0 - own) }
    }
}
