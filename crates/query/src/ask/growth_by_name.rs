//! Growth between two processes of one program: addresses say nothing there, so holders are matched by their names.

use crate::answer::{HolderGrowth, TypeShare};
use crate::{Session, rows, words};
use heapray_heap::{GrowthOptions, Holder, HolderOptions, TypeCount, holders};
use std::collections::BTreeMap;

/// Holders of the second process that retain more than those of the same name in the first, most growth first.
/// `delta` is the growth of all objects.
pub(super) fn by_name(
    before: &Session,
    after: &Session,
    options: &GrowthOptions,
    delta: i64,
) -> Vec<HolderGrowth> {
    let all = HolderOptions { limit: usize::MAX, ..HolderOptions::default() };
    let known: BTreeMap<String, Holder> =
        holders(&before.heap, &all).into_iter().map(|holder| (holder.trail.text.clone(), holder)).collect();
    let mut grown: Vec<(u64, Holder)> = holders(&after.heap, &all)
        .into_iter()
        .map(|holder| (more(&holder, known.get(&holder.trail.text)), holder))
        .filter(|(more, _)| *more >= options.min_bytes)
        .collect();
    grown.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.trail.text.cmp(&b.1.trail.text)));
    grown.truncate(options.limit);
    grown.into_iter().map(|(more, holder)| row(after, &known, (more, holder), delta)).collect()
}

fn more(holder: &Holder, before: Option<&Holder>) -> u64 {
    holder.retained.saturating_sub(before.map_or(0, |before| before.retained))
}

fn row(
    after: &Session,
    known: &BTreeMap<String, Holder>,
    (more, holder): (u64, Holder),
    delta: i64,
) -> HolderGrowth {
    let before = known.get(&holder.trail.text);
    let n_before = before.and_then(|before| before.length);
    let length = |length: Option<u64>| length.unwrap_or(0) as i64;
    HolderGrowth {
        kind: words::holder(holder.kind).to_owned(),
        delta_bytes: i64::try_from(more).unwrap_or(i64::MAX),
        n_delta: length(holder.length) - length(n_before),
        share: rows::share(more, delta.max(0) as u64),
        n_before,
        n_after: holder.length,
        types: new_elements(&holder.elements, before.map_or(&[], |before| &before.elements)),
        object: rows::object_name(&after.heap, holder.node),
        holder: holder.trail.text,
        type_name: holder.type_name,
    }
}

/// The elements of which there are more than before.
fn new_elements(after: &[TypeCount], before: &[TypeCount]) -> Vec<TypeShare> {
    let old = |name: &str| before.iter().find(|row| row.name == name);
    let mut more = after.to_vec();
    for row in &mut more {
        if let Some(old) = old(&row.name) {
            row.count = row.count.saturating_sub(old.count);
            row.bytes = row.bytes.saturating_sub(old.bytes);
        }
    }
    more.retain(|row| row.count > 0);
    rows::types(&more)
}
