//! `growth`: what became more between two snapshots.

use crate::Session;
use crate::answer::{ContainerGrowth, GrowthAnswer, HolderGrowth, RegionGrowth, TypeGrowth};
use crate::{rows, words};
use heapray_heap::GrowthOptions;

/// Compares two snapshots of one process.
pub fn growth(before: &Session, after: &Session, limit: usize) -> GrowthAnswer {
    let options = GrowthOptions { limit, ..GrowthOptions::default() };
    let found = heapray_heap::growth(&before.heap, &after.heap, &options);
    let delta = difference(found.after.bytes, found.before.bytes);
    let seconds = before.process.taken_at.zip(after.process.taken_at).map(|(first, last)| last - first);
    GrowthAnswer {
        before: before.process.clone(),
        after: after.process.clone(),
        seconds,
        delta_bytes: delta,
        bytes_per_hour: seconds.filter(|s| *s > 0.0).map(|seconds| delta as f64 / seconds * 3_600.0),
        n_born: found.born.count,
        n_died: found.died.count,
        types: found.types.iter().take(limit).map(type_row).collect(),
        holders: found.holders.iter().take(limit).map(|row| holder_row(after, row, delta)).collect(),
        containers: found.containers.iter().take(limit).map(container_row).collect(),
        garbage: region_row(&found.garbage),
        lost: region_row(&found.lost),
        coverage: after.coverage.clone(),
    }
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
