//! The way from a root to a node as text: steps as one would write them in Python, the holder's name, the root's.
//!
//! Long chains of equal steps are folded. It finds no way of its own, see `tree`.

use crate::history::Snap;
use crate::tree::kind;
use heapray_capture::HeapTables;
use heapray_wire::{EdgeStrength, LabelKind, NO_NODE, TypeKind};

/// The text of a way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    /// Where it begins.
    pub(crate) root: String,
    /// The whole as one expression.
    pub(crate) text: String,
    /// Each named place on it as an expression, with its type.
    pub(crate) steps: Vec<String>,
    /// File and line, where a frame or code names them.
    pub(crate) source: Option<String>,
    /// It begins at a running frame.
    pub(crate) from_frame: bool,
}

/// A chain of equal steps longer than this is folded.
const FOLD_AFTER: usize = 6;
/// Longest period of a chain: `node.__dict__['next']` has two steps a link.
const PERIOD_MAX: usize = 4;

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

/// The path without the repetitions of a long chain: where it folds, the rest of the chain is left out.
/// Answers the kept nodes and how many were left out.
pub(crate) fn fold(tables: &HeapTables, path: &[u32]) -> (Vec<u32>, usize) {
    for period in 1..=PERIOD_MAX {
        let mut run = 0;
        for at in period..path.len() {
            let same = tables.shape[path[at] as usize] == tables.shape[path[at - period] as usize]
                || tables.type_of(path[at]) == tables.type_of(path[at - period]);
            run = if same && !is_plain(tables, path[at]) { run + 1 } else { 0 };
            if run >= FOLD_AFTER * period {
                let begin = at + 1 - run;
                return (path[..begin].to_vec(), path.len() - begin);
            }
        }
    }
    (path.to_vec(), 0)
}

/// Builtin containers nest by themselves; a period of dicts in dicts alone is no chain.
fn is_plain(tables: &HeapTables, node: u32) -> bool {
    matches!(kind(tables, node), TypeKind::Module | TypeKind::Type) && tables.name(node).is_none()
}

/// The text of the way to `node`, which may go on along `more` below it.
pub(crate) fn way(snap: &Snap<'_>, node: u32) -> Way {
    let tables = snap.tables;
    let (path, n_folded) = fold(tables, &snap.tree.path(node));
    let begin = path.iter().rposition(|node| is_anchor(tables, *node)).unwrap_or(0);
    let mut way = Way { root: root_text(tables, &path, begin), ..Way::default() };
    way.text = anchor_text(tables, path[begin]);
    way.from_frame = kind(tables, path[begin]) == TypeKind::StackFrame;
    way.source = path.iter().rev().find_map(|node| source_of(tables, *node));
    for pair in path[begin..].windows(2) {
        let step = step_text(tables, pair[0], pair[1]);
        if step.is_empty() {
            continue;
        }
        way.text.push_str(&step);
        way.steps.push(format!("{}: {}", way.text, tables.type_name(pair[1])));
    }
    if n_folded > 1 {
        way.steps.push(format!("… {n_folded} more links of {}", tables.type_name(path[path.len() - 1])));
    }
    way
}

/// Whether a trail may begin at a node by its own name.
fn is_anchor(tables: &HeapTables, node: u32) -> bool {
    match kind(tables, node) {
        TypeKind::Module => tables.name(node).is_some(),
        TypeKind::StackFrame | TypeKind::NativeStatic | TypeKind::NativeStack | TypeKind::UnknownHolder => {
            true
        }
        _ => false,
    }
}

fn anchor_text(tables: &HeapTables, node: u32) -> String {
    let name = tables.name(node).unwrap_or("");
    match kind(tables, node) {
        TypeKind::Module | TypeKind::NativeStatic | TypeKind::NativeStack | TypeKind::StackFrame
            if !name.is_empty() =>
        {
            name.to_string()
        }
        TypeKind::Interpreter => "interpreter".to_string(),
        TypeKind::Thread => {
            if name.is_empty() {
                "thread".to_string()
            } else {
                name.to_string()
            }
        }
        TypeKind::UnknownHolder => "C code".to_string(),
        TypeKind::Type => tables.name(node).unwrap_or("type").to_string(),
        _ => format!("<{}>", tables.type_name(node)),
    }
}

fn root_text(tables: &HeapTables, path: &[u32], begin: usize) -> String {
    let anchor = path[begin];
    let name = tables.name(anchor).unwrap_or("");
    match kind(tables, anchor) {
        TypeKind::Module => format!("module {name}"),
        TypeKind::StackFrame => format!("running frame {name}"),
        TypeKind::Interpreter => "interpreter".to_string(),
        TypeKind::Thread => format!("thread {name}"),
        TypeKind::NativeStatic | TypeKind::NativeStack | TypeKind::NativeBlock => {
            format!("native code: {name}")
        }
        TypeKind::UnknownHolder => "C code that keeps a reference".to_string(),
        _ => format!("{} without a named holder", tables.type_name(anchor)),
    }
}

/// One step from a node to the next; empty where Python hides it (`__dict__`, a cell's contents).
pub(crate) fn step_text(tables: &HeapTables, from: u32, to: u32) -> String {
    let Some(at) = edge_between(tables, from, to) else { return type_step(tables, from, to) };
    let label = tables.label(from, at);
    let name = tables.string(label.name);
    match label.kind {
        LabelKind::Field if is_hidden(name) => String::new(),
        LabelKind::Field | LabelKind::Attribute => format!(".{name}"),
        LabelKind::Local if kind(tables, from) == TypeKind::StackFrame => format!(" local {name}"),
        LabelKind::Local => format!(".{name}"),
        LabelKind::Closure => format!(".__closure__[{name}]"),
        LabelKind::Index => format!("[{}]", label.number),
        LabelKind::Key => ".keys()[…]".to_string(),
        LabelKind::Value => value_step(tables, from, at),
        LabelKind::Item => "{…}".to_string(),
        LabelKind::Stack => " temporary".to_string(),
        LabelKind::Offset => String::new(),
        LabelKind::Type => ".__class__".to_string(),
    }
}

fn type_step(tables: &HeapTables, from: u32, to: u32) -> String {
    let row = &tables.types[tables.type_of(from) as usize];
    if row.node == to && to != NO_NODE { ".__class__".to_string() } else { String::new() }
}

fn value_step(tables: &HeapTables, from: u32, at: u32) -> String {
    match key_name(tables, from, at) {
        Some(name) if is_namespace_like(tables, from) => format!(".{name}"),
        Some(name) => format!("['{name}']"),
        None => "[…]".to_string(),
    }
}

/// A dict whose first key is a dunder is a module's or class's namespace; others are asked about by their label.
fn is_namespace_like(tables: &HeapTables, dict: u32) -> bool {
    let first = (0..tables.targets(dict).len().min(16)).step_by(2);
    first
        .filter_map(|key| tables.name(tables.targets(dict)[key]))
        .any(|name| name.starts_with("__") && name.ends_with("__"))
}

fn is_hidden(field: &str) -> bool {
    matches!(
        field,
        "__dict__" | "tp_dict" | "md_dict" | "cell_contents" | "dict" | "modules" | "ob_ref" | "func_closure"
    )
}

fn source_of(tables: &HeapTables, node: u32) -> Option<String> {
    let name = tables.name(node)?;
    let (_, place) = name.rsplit_once('(')?;
    let place = place.strip_suffix(')')?;
    place.contains(':').then(|| place.to_string())
}
