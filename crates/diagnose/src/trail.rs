//! How a place is called: the text of its trail, of its root, and the steps in between with their types.
//!
//! Text of single trails is `heap`'s; here long chains of equal links are folded to their owner, and slots named.

use crate::history::Snap;
use crate::tree::kind;
use heapray_capture::HeapTables;
use heapray_heap::{Heap, RootKind};
use heapray_wire::{EdgeStrength, LabelKind, TypeKind};

/// The text of a way from a root to a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    /// Where it begins.
    pub(crate) root: String,
    /// The whole as one expression.
    pub(crate) text: String,
    /// Each named place on it as an expression, with its type.
    pub(crate) steps: Vec<String>,
    /// File and line, where a frame or function on the way names them.
    pub(crate) source: Option<String>,
}

/// A chain of more equal links than this is folded.
const FOLD_AFTER: usize = 6;
/// Longest period of a chain: `node.__dict__['next']` has two steps a link.
const PERIOD_MAX: usize = 4;
/// Steps shown at most.
const STEPS: usize = 12;

/// The number of the edge from `from` to `to`: the first that holds.
pub(crate) fn edge_between(tables: &HeapTables, from: u32, to: u32) -> Option<u32> {
    let holds = |at: &usize| {
        let strength = tables.label(from, *at as u32).strength;
        !matches!(strength, EdgeStrength::Weak | EdgeStrength::Borrowed)
    };
    let targets = tables.targets(from);
    (0..targets.len()).filter(|at| targets[*at] == to).find(holds).map(|at| at as u32)
}

/// The name of the slot that edge number `at` of a node fills, where it has one.
pub(crate) fn slot_name(tables: &HeapTables, node: u32, at: u32) -> Option<String> {
    let label = tables.label(node, at);
    match label.kind {
        LabelKind::Field | LabelKind::Attribute | LabelKind::Local | LabelKind::Closure => {
            Some(tables.string(label.name).to_string())
        }
        LabelKind::Value => key_name(tables, node, at).map(str::to_string),
        _ => None,
    }
}

fn key_name(tables: &HeapTables, node: u32, at: u32) -> Option<&str> {
    let key = *tables.targets(node).get(at.checked_sub(1)? as usize)?;
    (kind(tables, key) == TypeKind::Str).then(|| tables.name(key)).flatten()
}

/// A path up to the first link of a long chain of equal links, and how many nodes were left out.
fn fold<'p>(tables: &HeapTables, path: &'p [u32]) -> (&'p [u32], usize) {
    for period in 1..=PERIOD_MAX {
        let mut run = 0;
        for at in period..path.len() {
            run = if tables.type_of(path[at]) == tables.type_of(path[at - period]) { run + 1 } else { 0 };
            if run >= FOLD_AFTER * period {
                let kept = (at + 1 - run).max(period);
                return (&path[..kept], path.len() - kept);
            }
        }
    }
    (path, 0)
}

/// The text of the way to `node`.
pub(crate) fn way(snap: &Snap<'_>, node: u32) -> Way {
    let path = snap.heap.path(node);
    let (kept, n_folded) = fold(snap.tables, &path);
    let trail = snap.heap.trail(kept[kept.len() - 1]);
    let mut way = Way { root: root_text(&trail), text: trail.text, ..Way::default() };
    way.source = kept.iter().rev().find_map(|node| source_of(snap.tables, *node));
    way.steps = steps(snap.heap, kept);
    if n_folded > 0 {
        way.steps.push(format!("… {n_folded} more links of {}", snap.tables.type_name(node)));
    }
    way
}

/// The places on a path by name; those without a name of their own are left out.
fn steps(heap: &Heap, path: &[u32]) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    let mut before = String::new();
    for &node in path.iter().skip(path.len().saturating_sub(2 * STEPS)) {
        let trail = heap.trail(node);
        let is_named = trail.text != before && !trail.text.ends_with(".__dict__");
        if is_named && (trail.root == RootKind::Module || !steps.is_empty() || node == path[path.len() - 1]) {
            steps.push(format!("{}: {}", trail.text, heap.tables().type_name(node)));
        }
        before = trail.text;
    }
    let extra = steps.len().saturating_sub(STEPS);
    steps.drain(..extra);
    steps
}

fn root_text(trail: &heapray_heap::Trail) -> String {
    let first = trail.steps.first().map_or("", String::as_str);
    let kind = match trail.root {
        RootKind::Module => "module",
        RootKind::Frame => "running frame:",
        RootKind::Thread => "thread",
        RootKind::Type => "class",
        RootKind::Interpreter => "interpreter",
        RootKind::Native => "native code",
        RootKind::Unknown => "unknown holder",
        RootKind::Lost => "lost reference",
        RootKind::Garbage => "garbage",
    };
    if first.starts_with('(') {
        first.trim_matches(['(', ')']).to_string()
    } else {
        format!("{kind} {first}")
    }
}

fn source_of(tables: &HeapTables, node: u32) -> Option<String> {
    let name = tables.name(node)?;
    let (_, place) = name.rsplit_once('(')?;
    let place = place.strip_suffix(')')?;
    place.contains(':').then(|| place.to_string())
}
