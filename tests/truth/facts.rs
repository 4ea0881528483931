//! Tracked set, references and sizes equal what the interpreter says.

use crate::{Scratch, heaps, image};
use heapray_capture::HeapTables;
use heapray_testkit::{Python, Target, find_pythons};
use heapray_wire::{EdgeStrength, NO_NODE, NodeFlags};
use std::collections::{BTreeMap, BTreeSet};

struct Oracle {
    size: u64,
    referents: Vec<u64>,
}

fn parse(bytes: &[u8]) -> BTreeMap<u64, Oracle> {
    let mut words =
        bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")));
    let mut out = BTreeMap::new();
    while let Some(address) = words.next() {
        let (size, n) = (words.next().expect("a size"), words.next().expect("a count"));
        let referents = words.by_ref().take(n as usize).collect();
        out.insert(address, Oracle { size, referents });
    }
    out
}

fn target(python: &Python, scratch: &Scratch, rounds: u32) -> (Target, BTreeMap<u64, Oracle>) {
    let (inside, path) = scratch.path(python, "dump");
    let script =
        format!("PATH, ROUNDS = {:?}, {rounds}\n{}", inside.display().to_string(), heaps::EVERY_TYPE);
    let mut target = Target::start(python, &script);
    assert_eq!(target.line(), "ready");
    let bytes = std::fs::read(&path).expect("the target wrote it");
    (target, parse(&bytes))
}

/// Addresses that the node refers to, with the edge to its type.
fn referents(tables: &HeapTables, node: u32) -> BTreeSet<u64> {
    let row = &tables.types[tables.type_of(node) as usize];
    let mut out: BTreeSet<u64> = tables
        .edges_of(node)
        .filter(|edge| edge.label.strength != EdgeStrength::Weak)
        .map(|edge| tables.address(edge.target))
        .collect();
    if row.node != NO_NODE {
        out.insert(tables.address(row.node));
    }
    out
}

/// What the collector reports in a way of its own: lru caches visit their links' values, the dict of interned strings
/// owns nothing, ctypes' classes and capsules run code of theirs.
fn is_exempt(tables: &HeapTables, node: u32) -> bool {
    let name = tables.type_name(node);
    let is_interned = name == "dict" && tables.shallow(node) > 50_000 && tables.targets(node).is_empty();
    is_interned
        || name.contains("ctypes")
        || ["functools._lru_cache_wrapper", "PyCapsule", "StgDict"].contains(&name)
}

#[test]
fn snapshots_agree_with_the_interpreter() {
    let mut problems = Vec::new();
    for python in find_pythons() {
        let scratch = Scratch::new("facts");
        let (target, oracle) = target(python, &scratch, 300);
        let (tables, summary) = image::take(&target);
        let mut count: BTreeMap<String, u64> = BTreeMap::new();
        let mut note = |what: String| *count.entry(what).or_default() += 1;
        for (address, truth) in &oracle {
            let Some(node) = tables.node_at(*address) else {
                note("object missing".to_owned());
                continue;
            };
            let name = tables.type_name(node).to_owned();
            if !tables.flags[node as usize].has(NodeFlags::TRACKED) {
                note(format!("{name} not tracked"));
            }
            let ours = referents(&tables, node);
            if is_exempt(&tables, node) {
                continue;
            }
            for missing in truth.referents.iter().filter(|referent| !ours.contains(referent)) {
                let to = tables.node_at(*missing).map_or("?", |node| tables.type_name(node));
                note(format!("{name} of {} edges -> {to} missing", ours.len()));
            }
            if truth.size != 0 && tables.shallow(node) != truth.size {
                note(format!("{name} size: {} is {}", tables.shallow(node), truth.size));
            }
        }
        let tracked =
            (0..tables.n_nodes()).filter(|node| tables.flags[*node as usize].has(NodeFlags::TRACKED));
        let extra = tracked.filter(|node| !oracle.contains_key(&tables.address(*node))).count();
        if extra > 16 {
            note(format!("{extra} objects tracked that gc.get_objects() did not list"));
        }
        let coverage = summary.explained as f64 / summary.references as f64;
        println!(
            "{}: {} objects, coverage {:.4} %, lost {}, unexplained {}",
            python.version(),
            summary.objects,
            coverage * 100.0,
            summary.lost_objects,
            summary.unexplained_objects
        );
        for node in (0..tables.n_nodes()).filter(|n| {
            tables.refcount[*n as usize] > 1_000_000 && !tables.flags[*n as usize].has(NodeFlags::IMMORTAL)
        }) {
            note(format!("{} has {} references", tables.type_name(node), tables.refcount[node as usize]));
        }
        if coverage < 0.999 {
            note(format!("coverage {coverage}"));
        }
        problems.extend(count.into_iter().map(|(what, n)| format!("{}: {what} ({n})", python.version())));
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
