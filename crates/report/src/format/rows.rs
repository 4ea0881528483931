//! One row per site, as csv and parquet hold it.

use crate::place::folded;
use heapray_query::answer::{ProfileSite, StackProfile};

/// The columns of text.
pub(super) const TEXTS: [&str; 5] = ["function", "file", "allocator", "thread", "stack"];

/// The columns of whole numbers.
pub(super) const NUMBERS: [&str; 16] = [
    "line",
    "weight_bytes",
    "weight_bytes_error",
    "weight_count",
    "weight_count_error",
    "live_bytes",
    "live_bytes_error",
    "live_count",
    "growth_bytes",
    "growth_count",
    "allocated_bytes",
    "allocated_bytes_error",
    "allocated_count",
    "temporary_bytes",
    "temporary_count",
    "n_records",
];

/// A site as it is written.
pub(super) struct Row {
    pub(super) texts: [String; 5],
    pub(super) numbers: [i64; 16],
}

/// All sites, so that every column sums up to what other reports say; the heaviest first, then by stack.
pub(super) fn rows(profile: &StackProfile) -> Vec<Row> {
    let mut rows: Vec<Row> = profile.sites.iter().map(|site| row(profile, site)).collect();
    rows.sort_by(|a, b| (b.numbers[1], &a.texts).cmp(&(a.numbers[1], &b.texts)));
    rows
}

fn row(profile: &StackProfile, site: &ProfileSite) -> Row {
    let places = &profile.stacks[site.stack as usize].places;
    let stack = || places.iter().map(|place| &profile.places[*place as usize]);
    let innermost = stack().next_back();
    let text = |text: Option<&String>| text.cloned().unwrap_or_default();
    Row {
        texts: [
            text(innermost.and_then(|place| place.function.as_ref())),
            text(innermost.and_then(|place| place.file.as_ref())),
            site.allocator.clone(),
            site.thread.clone(),
            folded(stack()),
        ],
        numbers: [
            innermost.and_then(|place| place.line).map_or(0, i64::from),
            site.weight.bytes,
            site.weight.bytes_error,
            site.weight.count,
            site.weight.count_error,
            site.live.bytes,
            site.live.bytes_error,
            site.live.count,
            site.growth.bytes,
            site.growth.count,
            site.allocated.bytes,
            site.allocated.bytes_error,
            site.allocated.count,
            site.temporary.bytes,
            site.temporary.count,
            site.weight.n_records,
        ],
    }
}
