//! Lost references: Python objects pile up that nothing in the heap refers to, as C code kept a count of theirs.
//!
//! Counts the objects at the top of what is lost, by type; what they hold is theirs. Also objects that the graph
//! does refer to but with fewer references than counted, where nothing in memory explains the rest.

use super::{BYTES, Evidence, SHARE, confidence, course, fill};
use crate::history::Snap;
use crate::steady::Course;
use crate::tree::{kind, parent};
use crate::types::gained;
use crate::verdict::{Finding, Kind, TypeGrowth, Verdict};
use heapray_heap::Region;
use heapray_wire::{NO_NODE, NodeFlags, TypeKind};

/// Looks for lost references.
pub(crate) fn look(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    let history = &evidence.history;
    let lost: Vec<Vec<bool>> = history.snaps.iter().map(lost_nodes).collect();
    let count_of = |k: usize| lost[k].iter().filter(|is_lost| **is_lost).count() as f64;
    let bytes_of = |k: usize| {
        let tables = history.snaps[k].tables;
        let nodes = (0..tables.n_nodes()).filter(|node| lost[k][*node as usize]);
        nodes.map(|node| crate::tree::weight(tables, node)).sum::<u64>() as f64
    };
    let (count, bytes) = (history.series(count_of), history.series(bytes_of));
    let big_enough = bytes.gain() >= BYTES.max(SHARE * evidence.account.process_gain());
    match course(&count, &bytes) {
        Course::Steady if big_enough => {}
        Course::LevelsOff if big_enough => {
            verdict.dismissed.push("objects without a referrer grow, and slower and slower".to_string());
            verdict.undecided = true;
            return;
        }
        _ => return,
    }
    let (first, last) = (&lost[0], &lost[lost.len() - 1]);
    let tops = gained(
        history,
        |node| first[node as usize] && is_top(&history.snaps[0], node),
        |node| last[node as usize] && is_top(history.last(), node),
    );
    let all = gained(history, |node| first[node as usize], |node| last[node as usize]);
    let mut found = finding(&tops, all);
    found.confidence = confidence(&count);
    fill(&mut found, evidence, &bytes, &count);
    verdict.findings.push(found);
}

/// What is lost in a snapshot: what only orphans reach, and what hangs on objects with an unexplained count.
fn lost_nodes(snap: &Snap<'_>) -> Vec<bool> {
    let mut lost = vec![false; snap.heap.n_nodes() as usize];
    for node in snap.heap.order() {
        let parent = parent(snap.heap, *node);
        let at_top =
            parent == NO_NODE && (snap.heap.region(*node) == Region::Lost || is_unexplained(snap, *node));
        lost[*node as usize] = at_top || (parent != NO_NODE && lost[parent as usize]);
    }
    lost
}

/// An ordinary object that is a root only because nothing explains its reference count.
fn is_unexplained(snap: &Snap<'_>, node: u32) -> bool {
    let flags = snap.tables.flags[node as usize];
    let is_named = flags.0 & (NodeFlags::SYNTHETIC | NodeFlags::STATIC | NodeFlags::IMMORTAL) != 0;
    flags.has(NodeFlags::ROOT) && !is_named && kind(snap.tables, node) != TypeKind::Module
}

fn is_top(snap: &Snap<'_>, node: u32) -> bool {
    parent(snap.heap, node) == NO_NODE
}

fn finding(tops: &[TypeGrowth], all: Vec<TypeGrowth>) -> Finding {
    let names: Vec<&str> = tops.iter().take(3).map(|gain| gain.name.as_str()).collect();
    let named = if names.is_empty() { "objects".to_string() } else { names.join(", ") };
    let mut types: Vec<TypeGrowth> = tops.iter().take(4).cloned().collect();
    types.extend(all.into_iter().filter(|gain| !tops.iter().take(4).any(|top| top.name == gain.name)));
    Finding {
        kind: Kind::LostReference,
        holder: format!("no referrer: {named}"),
        root: "a reference count that C code did not give back".to_string(),
        trail: tops
            .iter()
            .take(3)
            .map(|gain| format!("nothing refers to {} objects of {}", gain.count, gain.name))
            .collect(),
        types,
        bytes_per_hour: 0.0,
        interval: [0.0; 2],
        share: 0.0,
        confidence: 0.0,
        allocated_at: Vec::new(),
        advice: format!(
            "a C extension forgets to release {named}: look for calls into C code that take or return such objects, \
             and for a newer version of that package"
        ),
        source: None,
        objects_per_hour: 0.0,
    }
}
