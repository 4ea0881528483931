//! Cycles: unreachable garbage piles up because the collector is off, frozen or rare, or cannot see the cycle.
//!
//! Garbage between two collections is normal. It counts here when the collector does not run (disabled, or the
//! objects are in the permanent generation), when a full collection came and left it, or when a cycle goes through
//! objects that the collector does not traverse.

use super::{BYTES, Evidence, SHARE, confidence, course, fill};
use crate::history::{History, Snap};
use crate::steady::Course;
use crate::types::gained;
use crate::verdict::{Finding, Kind, Verdict};
use heapray_heap::Region;
use heapray_wire::NodeFlags;
use std::collections::{BTreeMap, BTreeSet};

/// Why the collector does not get rid of the garbage.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    Disabled,
    Frozen,
    /// Type names in the cycles that the collector does not traverse.
    Untraversed(Vec<String>),
    Survives,
    Rare(i64),
}

/// Objects of a type to look at, and garbage to search from each.
const SAMPLE: usize = 32;
const SEARCH: usize = 4096;
/// Part of the garbage that untraversed objects of a type must be.
const RARITY: f64 = 0.01;
/// Part of the garbage that must be frozen, or survive collections.
const PART: f64 = 0.3;
/// First thresholds above this make collections rare. CPython's own is 700 (2,000 from 3.13 on, 10,000 from 3.15).
const RARE_THRESHOLD: i64 = 20_000;

/// Looks for garbage that piles up.
pub(crate) fn look(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    let history = &evidence.history;
    let is_garbage = |k: usize, node: u32| history.snaps[k].heap.region(node) == Region::Garbage;
    let level = |k: usize, of: &dyn Fn(u32) -> u64| {
        let nodes = (0..history.snaps[k].tables.n_nodes()).filter(|node| is_garbage(k, *node));
        nodes.map(of).sum::<u64>() as f64
    };
    let count = history.series(|k| level(k, &|_| 1));
    let bytes = history.series(|k| level(k, &|node| crate::tree::weight(history.snaps[k].tables, node)));
    if bytes.gain() < BYTES.max(SHARE * evidence.account.process_gain()) {
        return;
    }
    let Some(cause) = cause(history) else {
        verdict.dismissed.push("garbage waits for the collector, which is on".to_string());
        return;
    };
    match course(&count, &bytes) {
        Course::Steady => {}
        Course::LevelsOff => {
            verdict.undecided = true;
            return;
        }
        Course::Flat => return,
    }
    let types = gained(history, |node| is_garbage(0, node), |node| is_garbage(history.len() - 1, node));
    let mut found = finding(&cause, types);
    found.confidence = confidence(&count);
    fill(&mut found, evidence, &bytes, &count);
    verdict.findings.push(found);
}

fn cause(history: &History<'_>) -> Option<Cause> {
    let last = history.last();
    if last.tables.int("gc.enabled") == Some(0) {
        return Some(Cause::Disabled);
    }
    let garbage: Vec<u32> = nodes_of(last, Region::Garbage);
    let share = |flag: u16| {
        let n = garbage.iter().filter(|node| last.tables.flags[**node as usize].has(flag)).count();
        n as f64 / garbage.len().max(1) as f64
    };
    if share(NodeFlags::FROZEN) >= PART {
        return Some(Cause::Frozen);
    }
    let untraversed = untraversed_types(last, &garbage);
    if !untraversed.is_empty() {
        return Some(Cause::Untraversed(untraversed));
    }
    let survivors = garbage.iter().filter(|node| stays_garbage(history, **node)).count();
    if survivors as f64 >= PART * garbage.len() as f64 && full_collection_ran(history) {
        return Some(Cause::Survives);
    }
    let threshold = last.tables.int("gc.threshold0").unwrap_or(0);
    (threshold == 0 || threshold > RARE_THRESHOLD).then_some(Cause::Rare(threshold))
}

fn nodes_of(snap: &Snap<'_>, region: Region) -> Vec<u32> {
    (0..snap.tables.n_nodes()).filter(|node| snap.heap.region(*node) == region).collect()
}

/// Types of untraversed objects that are part of cycles in the garbage, where they are no rarity. An untraversed
/// object that is merely held by garbage (code, for one) goes with it and explains nothing.
fn untraversed_types(last: &Snap<'_>, garbage: &[u32]) -> Vec<String> {
    let tables = last.tables;
    let mut by_type: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for &node in garbage {
        if tables.flags[node as usize].has(NodeFlags::UNTRAVERSED) {
            by_type.entry(tables.type_of(node)).or_default().push(node);
        }
    }
    let mut named: Vec<(usize, String)> = Vec::new();
    for (type_idx, nodes) in by_type {
        let stride = nodes.len().div_ceil(SAMPLE);
        let sample: Vec<u32> = nodes.iter().step_by(stride).copied().collect();
        let n_cyclic = sample.iter().filter(|node| reaches_itself(last, **node)).count();
        if n_cyclic * 2 > sample.len() {
            named.push((nodes.len(), tables.string(tables.types[type_idx as usize].name).to_string()));
        }
    }
    named.retain(|(n, _)| *n as f64 >= RARITY * garbage.len() as f64);
    named.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    named.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Whether a garbage node is on a cycle, as far as a short search tells.
fn reaches_itself(last: &Snap<'_>, start: u32) -> bool {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![start];
    while let Some(node) = waiting.pop() {
        for &target in last.tables.targets(node) {
            if target == start {
                return true;
            }
            if seen.len() < SEARCH && last.heap.region(target) == Region::Garbage && seen.insert(target) {
                waiting.push(target);
            }
        }
    }
    false
}

fn stays_garbage(history: &History<'_>, node: u32) -> bool {
    (0..history.len()).all(|k| {
        history.in_snap(k, node).is_some_and(|then| history.snaps[k].heap.region(then) == Region::Garbage)
    })
}

/// The count of the oldest generation fell between two snapshots: a full collection set it to zero.
fn full_collection_ran(history: &History<'_>) -> bool {
    let counts: Vec<i64> = history.snaps.iter().filter_map(|snap| snap.tables.int("gc.count2")).collect();
    counts.windows(2).any(|pair| pair[1] < pair[0])
}

fn finding(cause: &Cause, types: Vec<crate::verdict::TypeGrowth>) -> Finding {
    let main = types.first().map_or("objects", |gain| gain.name.as_str()).to_string();
    let (root, advice) = match cause {
        Cause::Disabled => (
            "the collector is off (gc.disable)".to_string(),
            format!(
                "call gc.enable() or gc.collect() now and then, or break the cycles of {main} (weakref, close())"
            ),
        ),
        Cause::Frozen => (
            "the garbage is frozen (gc.freeze)".to_string(),
            format!(
                "objects became garbage after gc.freeze(): call gc.collect() before it, or gc.unfreeze(), or break the cycles of {main}"
            ),
        ),
        Cause::Untraversed(names) => (
            format!("cycles through {}, which the collector does not traverse", names.join(", ")),
            format!(
                "cycles through {} are never collected: break them by hand, or look for a newer version of that package",
                names.join(", ")
            ),
        ),
        Cause::Survives => (
            "a full collection ran and left it".to_string(),
            format!(
                "cycles of {main} survive collections: a C type in them does not let the collector see its references"
            ),
        ),
        Cause::Rare(threshold) => (
            format!("the collector is rare (threshold {threshold})"),
            format!(
                "lower gc.set_threshold(), call gc.collect() now and then, or break the cycles of {main}"
            ),
        ),
    };
    Finding {
        kind: Kind::Cycle,
        holder: format!("unreachable cycles of {main}"),
        root,
        trail: types.iter().take(4).map(|gain| format!("garbage: {} of {}", gain.count, gain.name)).collect(),
        types,
        bytes_per_hour: 0.0,
        interval: [0.0; 2],
        share: 0.0,
        confidence: 0.0,
        allocated_at: Vec::new(),
        advice,
        source: None,
        objects_per_hour: 0.0,
    }
}
