//! `diff`: two recordings, place by place. Places are the same where their names are.

use super::rows::estimate;
use super::{Allocations, Charge, What, by_name, detail};
use crate::answer::{DiffAnswer, DiffRow, PlaceRow};
use heapray_profile::{Amount, GroupBy};
use std::collections::BTreeMap;

/// A place, or a stack with its innermost place.
pub(super) type Key = (PlaceRow, Option<Vec<PlaceRow>>);

/// What a place comes to, by the name that tells it from others.
pub(super) struct Named {
    /// Without the directories of files: the same program may lie elsewhere.
    pub(super) key: Key,
    /// As it is.
    pub(super) name: Key,
    /// What it comes to.
    pub(super) amount: Amount,
}

/// Compares two recordings, the largest difference first.
pub fn diff(
    before: &Allocations,
    after: &Allocations,
    what: What,
    (by, limit): (GroupBy, usize),
) -> DiffAnswer {
    let (all_before, places_before) = before.by_name(what, by);
    let (all_after, places_after) = after.by_name(what, by);
    let mut both: BTreeMap<Key, (Key, Amount, Amount)> = BTreeMap::new();
    // The names that places go by now, where they are still there.
    for Named { key, name, amount } in places_after {
        both.entry(key).or_insert_with(|| (name, Amount::default(), Amount::default())).2 += amount;
    }
    for Named { key, name, amount } in places_before {
        both.entry(key).or_insert_with(|| (name, Amount::default(), Amount::default())).1 += amount;
    }
    let mut rows: Vec<(Key, Amount, Amount)> = both.into_values().collect();
    rows.retain(|(_, before, after)| before.bytes != after.bytes || before.count != after.count);
    // Stable: places of equal differences stay in the order of their names.
    let size = |before: &Amount, after: &Amount| (after.bytes - before.bytes).abs();
    rows.sort_by(|a, b| size(&b.1, &b.2).total_cmp(&size(&a.1, &a.2)));
    let n_rows = rows.len() as u64;
    rows.truncate(limit);
    DiffAnswer {
        before: before.weighed_of(what, all_before.n_records),
        after: after.weighed_of(what, all_after.n_records),
        what: what.name().to_owned(),
        by: by_name(by).to_owned(),
        total_before: estimate(all_before),
        total_after: estimate(all_after),
        delta: estimate(all_after.change(all_before)),
        rows: rows.into_iter().map(row).collect(),
        n_rows,
    }
}

fn row(((place, stack), before, after): (Key, Amount, Amount)) -> DiffRow {
    let delta = estimate(after.change(before));
    DiffRow { place, stack, before: estimate(before), after: estimate(after), delta }
}

impl Allocations {
    /// The sum, and the amount of each place under its name.
    pub(super) fn by_name(&self, what: What, by: GroupBy) -> (Amount, Vec<Named>) {
        let (sites, _) = self.weighed(what);
        let names = self.names(detail(by));
        let mut all = Amount::default();
        let groups = self.groups(&names, &sites, by, Charge::Own);
        let rows = groups
            .iter()
            .map(|group| {
                let amount = what.of(&group.figures);
                all += amount;
                let name = (self.group_place(&names, group, by), self.group_stack(&names, group, by));
                let stack = name.1.as_ref().map(|stack| stack.iter().map(nameless).collect());
                Named { key: (nameless(&name.0), stack), name, amount }
            })
            .collect();
        (all, rows)
    }
}

fn nameless(place: &PlaceRow) -> PlaceRow {
    PlaceRow { file: place.file.is_some().then(|| place.short_file.clone()), ..place.clone() }
}
