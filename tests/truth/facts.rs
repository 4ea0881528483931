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

/// Whose references the collector reports in a way of its own: lru caches visit their links' values, the dict of interned strings
/// owns nothing, ctypes' classes and capsules run code of theirs.
fn is_exempt(tables: &HeapTables, node: u32) -> bool {
    let name = tables.type_name(node);
    let is_interned = name == "dict" && tables.shallow(node) > 50_000 && tables.targets(node).is_empty();
    // Values that lie in the instance are the instance's; newer interpreters visit them through the dict.
    let is_embedded = name == "dict" && tables.targets(node).is_empty();
    is_interned
        || is_embedded
        || name.contains("ctypes")
        || ["functools._lru_cache_wrapper", "PyCapsule", "StgDict"].contains(&name)
}

/// What of a snapshot disagrees with the interpreter, with counts.
#[derive(Default)]
struct Problems(BTreeMap<String, u64>);

impl Problems {
    fn note(&mut self, what: String) {
        *self.0.entry(what).or_default() += 1;
    }

    fn object(&mut self, tables: &HeapTables, node: u32, truth: &Oracle) {
        let name = tables.type_name(node);
        if !tables.flags[node as usize].has(NodeFlags::TRACKED) {
            self.note(format!("{name} not tracked"));
        }
        if truth.size != 0 && tables.shallow(node) != truth.size {
            self.note(format!("{name} size: {} is {}", tables.shallow(node), truth.size));
        }
        if is_exempt(tables, node) {
            return;
        }
        let ours = referents(tables, node);
        for missing in truth.referents.iter().filter(|referent| !ours.contains(referent)) {
            let to = tables.node_at(*missing).map_or("?", |node| tables.type_name(node));
            self.note(format!("{name} -> {to} missing"));
        }
    }

    /// Objects that the snapshot has and the interpreter does not list.
    fn extra(&mut self, tables: &HeapTables, oracle: &BTreeMap<u64, Oracle>) {
        let mut extra = 0;
        for node in 0..tables.n_nodes() {
            let flags = tables.flags[node as usize];
            // gc.get_objects() leaves the permanent generation out.
            let listed = flags.has(NodeFlags::TRACKED) && !flags.has(NodeFlags::FROZEN);
            extra += u32::from(listed && !oracle.contains_key(&tables.address(node)));
            if tables.refcount[node as usize] > 1_000_000 && !flags.has(NodeFlags::IMMORTAL) {
                self.note(format!(
                    "{} has {} references",
                    tables.type_name(node),
                    tables.refcount[node as usize]
                ));
            }
        }
        if extra > 16 {
            self.note(format!("{extra} objects tracked that gc.get_objects() did not list"));
        }
    }
}

#[test]
fn snapshots_agree_with_the_interpreter() {
    let mut all = Vec::new();
    for python in find_pythons() {
        let scratch = Scratch::new("facts");
        let (target, oracle) = target(python, &scratch, 1000);
        let (tables, summary) = image::take(&target);
        let mut problems = Problems::default();
        for (address, truth) in &oracle {
            match tables.node_at(*address) {
                Some(node) => problems.object(&tables, node, truth),
                None => problems.note("object missing".to_owned()),
            }
        }
        problems.extra(&tables, &oracle);
        let coverage = summary.explained as f64 / summary.references as f64;
        eprintln!("{}: {} objects, coverage {coverage:.5}", python.version(), summary.objects);
        if coverage < 0.999 {
            problems.note(format!("coverage {coverage}"));
        }
        all.extend(problems.0.into_iter().map(|(what, n)| format!("{}: {what} ({n})", python.version())));
    }
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}
