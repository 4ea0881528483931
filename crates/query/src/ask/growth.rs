//! `growth`: what became more between two snapshots.

use super::growth_by_name::by_name;
use crate::answer::{ContainerGrowth, GrowthAnswer, HolderGrowth, RegionGrowth, TypeGrowth};
use crate::{QueryError, Session, rows, words};
use heapray_heap::GrowthOptions;

/// How to compare two snapshots.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// Rows of each list.
    pub limit: usize,
    /// Compare snapshots of different processes too: the same program after a restart, two workers of one service.
    /// Holders are then matched by name, all objects are born or gone,
    /// and nothing is said of containers or per hour.
    pub any_process: bool,
}

/// Compares two snapshots of one process.
///
/// # Errors
/// They are of different processes and that was not asked for; the later one is given first.
pub fn growth(before: &Session, after: &Session, how: Comparison) -> Result<GrowthAnswer, QueryError> {
    let Comparison { limit, any_process } = how;
    let mut seconds = before.process.taken_at.zip(after.process.taken_at).map(|(first, last)| last - first);
    let difference_of_process = before.contradiction(after);
    let is_one = difference_of_process.is_none();
    match difference_of_process {
        Some(_) if any_process => seconds = None,
        Some(why) => return Err(not_of_one_process(&why)),
        None if seconds.is_some_and(|seconds| seconds < 0.0) => return Err(wrong_order()),
        None => {}
    }
    let options = GrowthOptions { limit, ..GrowthOptions::default() };
    let found = heapray_heap::growth(&before.heap, &after.heap, &options);
    let delta = difference(found.after.bytes, found.before.bytes);
    let (holders, containers) = if is_one {
        let holders = found.holders.iter().take(limit).map(|row| holder_row(after, row, delta)).collect();
        (holders, found.containers.iter().take(limit).map(container_row).collect())
    } else {
        (by_name(before, after, &options, delta), Vec::new())
    };
    Ok(GrowthAnswer {
        before: before.process.clone(),
        after: after.process.clone(),
        seconds,
        delta_bytes: delta,
        bytes_per_hour: seconds.filter(|s| *s > 0.0).map(|seconds| delta as f64 / seconds * 3_600.0),
        n_born: found.born.count,
        n_died: found.died.count,
        types: found.types.iter().take(limit).map(type_row).collect(),
        holders,
        containers,
        garbage: region_row(&found.garbage),
        lost: region_row(&found.lost),
        coverage: after.coverage.clone(),
    })
}

fn not_of_one_process(why: &str) -> QueryError {
    let problem = format!(
        "the snapshots are not of one process: {why}; add --any-process to compare them all the same (a restarted \
         service, two workers of one)"
    );
    QueryError::NotComparable { problem }
}

fn wrong_order() -> QueryError {
    let problem = "the second snapshot is older than the first; give the older one first".to_owned();
    QueryError::NotComparable { problem }
}

fn difference(after: u64, before: u64) -> i64 {
    let wide = i128::from(after) - i128::from(before);
    wide.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

fn type_row(row: &heapray_heap::TypeGrowth) -> TypeGrowth {
    TypeGrowth {
        name: row.name.clone(),
        n_before: row.before.count,
        n_after: row.after.count,
        n_born: row.born.count,
        n_died: row.died.count,
        delta_bytes: difference(row.after.bytes, row.before.bytes),
    }
}

fn holder_row(after: &Session, row: &heapray_heap::HolderGrowth, delta: i64) -> HolderGrowth {
    HolderGrowth {
        holder: row.stable_name.clone(),
        kind: words::holder(row.kind).to_owned(),
        type_name: row.type_name.clone(),
        delta_bytes: row.net_bytes,
        n_delta: row.net_count,
        share: rows::share(row.net_bytes.max(0) as u64, delta.max(0) as u64),
        n_before: row.length_before,
        n_after: row.length_after,
        types: rows::types(&row.types),
        object: rows::object_name(&after.heap, row.example),
    }
}

fn container_row(row: &heapray_heap::ContainerGrowth) -> ContainerGrowth {
    ContainerGrowth {
        container: row.trail.text.clone(),
        type_name: row.type_name.clone(),
        n_before: row.length_before,
        n_after: row.length_after,
        delta_bytes: difference(row.retained_after, row.retained_before),
    }
}

fn region_row(row: &heapray_heap::RegionGrowth) -> RegionGrowth {
    RegionGrowth {
        n_before: row.before.count,
        n_after: row.after.count,
        delta_bytes: difference(row.after.bytes, row.before.bytes),
        types: rows::types(&row.types),
    }
}
