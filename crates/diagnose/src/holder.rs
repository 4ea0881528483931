//! Tells what a place of growth is: its name and trail, what piled up there, who else holds it, what to check.
//!
//! All text of a reference finding is made here; figures are the rule's.

use crate::history::History;
use crate::places::Place;
use crate::trail::way;
use crate::tree::{kind, parent, under};
use crate::types::gained;
use crate::verdict::TypeGrowth;
use heapray_wire::{EdgeStrength, NO_NODE, TypeKind};
use std::collections::BTreeMap;

/// What is told of a place.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) holder: String,
    pub(crate) root: String,
    pub(crate) trail: Vec<String>,
    pub(crate) types: Vec<TypeGrowth>,
    pub(crate) advice: String,
    pub(crate) source: Option<String>,
}

/// How many objects to look at for other holders.
const SAMPLE: usize = 64;
/// Steps shown below the holder, down to an object that piled up.
const BELOW: usize = 3;

/// Describes a place. Cost: O(nodes + edges) for other holders.
pub(crate) fn describe(history: &History<'_>, place: &Place) -> Told {
    let last = history.last();
    let target = place.target();
    let up = way(last, target);
    let types = types_under(history, place);
    let mut trail = up.steps.clone();
    trail.extend(below(history, target));
    trail.extend(others(history, target).into_iter().map(|name| format!("also held by {name}")));
    let advice = advice(history, place, &types);
    Told { holder: up.text, root: up.root, trail, types, advice, source: up.source }
}

fn types_under(history: &History<'_>, place: &Place) -> Vec<TypeGrowth> {
    let in_last = under(history.last().heap, &place.tops(history, history.len() - 1));
    let in_first = under(history.snaps[0].heap, &place.tops(history, 0));
    gained(history, |node| in_first[node as usize], |node| in_last[node as usize])
}

/// From the holder down to an object that piled up: at each step the new child with most below it.
fn below(history: &History<'_>, target: u32) -> Vec<String> {
    let last = history.last();
    let mut steps = Vec::new();
    let mut at = target;
    for _ in 0..BELOW {
        let children = last.tables.targets(at).iter().copied();
        let is_new = |child: &u32| parent(last.heap, *child) == at && !history.is_persistent(*child);
        let biggest = children.filter(is_new).max_by_key(|child| (last.sizes.bytes[*child as usize], *child));
        let Some(child) = biggest else { break };
        steps.push(format!("{}: {}", last.heap.trail(child).text, last.tables.type_name(child)));
        at = child;
    }
    steps
}

/// Other objects that hold what piled up directly under `target`, by name.
fn others(history: &History<'_>, target: u32) -> Vec<String> {
    let last = history.last();
    let tables = last.tables;
    let is_new = |child: &&u32| parent(last.heap, **child) == target && !history.is_persistent(**child);
    let mut sample: Vec<u32> = tables.targets(target).iter().filter(is_new).take(SAMPLE).copied().collect();
    sample.sort_unstable();
    let mut holders: BTreeMap<u32, usize> = BTreeMap::new();
    for node in (0..tables.n_nodes()).filter(|node| *node != target && history.is_persistent(*node)) {
        for (at, child) in tables.targets(node).iter().enumerate() {
            if sample.binary_search(child).is_ok() && holds(tables.label(node, at as u32).strength) {
                *holders.entry(node).or_default() += 1;
            }
        }
    }
    let many = |n: &usize| *n >= 4 && *n * 2 >= sample.len();
    let mut found: Vec<(usize, u32)> =
        holders.iter().filter(|row| many(row.1)).map(|row| (*row.1, *row.0)).collect();
    found.sort_by_key(|(n, node)| (std::cmp::Reverse(*n), *node));
    let reached = |node: &u32| parent(last.heap, *node) != NO_NODE;
    found.into_iter().map(|row| row.1).filter(reached).take(3).map(|node| way(last, node).text).collect()
}

fn holds(strength: EdgeStrength) -> bool {
    !matches!(strength, EdgeStrength::Weak | EdgeStrength::Borrowed)
}

fn advice(history: &History<'_>, place: &Place, types: &[TypeGrowth]) -> String {
    let tables = history.last().tables;
    let holder = kind(tables, place.target());
    let main = types.first().map_or("objects", |gain| gain.name.as_str());
    let has = |part: &str| types.iter().any(|gain| gain.name.contains(part));
    match holder {
        _ if has("traceback") => {
            "an exception object is raised again and again and keeps every traceback: raise a new one each time, or \
             clear __traceback__"
                .to_string()
        }
        _ if has(".Task") => "tasks start and never end: cancel or await them".to_string(),
        TypeKind::LruCache => {
            "the cache has no bound, or keeps what it is asked about (self?): give it a maxsize, or cache per instance"
                .to_string()
        }
        TypeKind::Dict => format!("keys are added and never removed: bound the cache or delete entries; check who adds {main}"),
        TypeKind::Deque => "items are added faster than they are taken: bound it (maxlen) or slow the producer".to_string(),
        TypeKind::List | TypeKind::Set => format!("{main} is added and never removed: check who adds and who should clear it"),
        TypeKind::StackFrame | TypeKind::Generator | TypeKind::Coroutine => {
            format!("a running function keeps {main} in its local variables: check its loop")
        }
        TypeKind::Interpreter | TypeKind::Thread | TypeKind::NativeStatic | TypeKind::NativeBlock => {
            format!("registered with the interpreter or C code and never taken back: check who registers {main}")
        }
        _ => format!("check who adds {main} here and who should remove it"),
    }
}
