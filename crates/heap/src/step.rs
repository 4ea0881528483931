//! The text of one step of a trail, by type kind and label kind only.
//!
//! A step is one edge; some say nothing of their own (`__dict__` before an attribute, a closure's cell) and have
//! no text. Nothing here knows a Python version.

use heapray_capture::HeapTables;
use heapray_wire::{Label, LabelKind, NO_STRING, Tail, TypeKind};

use crate::Heap;
use crate::heap::length;
use crate::shapes::NOT_HELD;

/// Keys of larger dicts are data: the form of a trail shows `[*]` for them.
const NAMED_KEYS_MAX: u64 = 32;

/// One edge of a trail with its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Holder.
    pub(crate) from: u32,
    /// Held.
    pub(crate) to: u32,
    /// Number of the edge among the holder's.
    pub(crate) position: u32,
    /// Its name.
    pub(crate) label: Label,
}

/// How to write keys and indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// As they are: `[17]`.
    Exact,
    /// As `[*]`: the form that alike trails share.
    Form,
}

/// The best-named retaining edge from one node to another; the edge to its type where there is no other.
/// O(out-degree of `from`).
pub(crate) fn between(heap: &Heap, from: u32, to: u32) -> Step {
    let tables = heap.tables();
    let shapes = &heap.graph.shapes;
    let row = &shapes.rows[tables.shape[from as usize] as usize];
    let positions = tables.targets(from).iter().zip(0u32..).filter(|(target, _)| **target == to);
    let best = positions
        .map(|(_, position)| (shapes.cost(row, position), position))
        .filter(|(cost, _)| *cost != NOT_HELD)
        .min();
    match best {
        Some((_, position)) => Step { from, to, position, label: tables.label(from, position) },
        None => Step { from, to, position: u32::MAX, label: type_label() },
    }
}

/// The label of the edge from an object to its heap type.
pub(crate) fn type_label() -> Label {
    let strength = heapray_wire::EdgeStrength::Owned;
    Label { kind: LabelKind::Type, strength, name: NO_STRING, number: 0 }
}

/// What the steps before say about the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Context {
    /// Nothing.
    #[default]
    Plain = 0,
    /// The holder is the `__dict__` of a module, class, function or instance.
    Namespace,
    /// The holder is the tuple of a function's cells.
    Closure,
    /// The holder is a cell of a function's closure.
    ClosureCell,
}

impl Context {
    /// What a trail that ends here must still say, because the step into it had no text.
    pub(crate) fn unsaid(self) -> &'static str {
        match self {
            Context::Namespace => ".__dict__",
            Context::Closure => ".__closure__",
            Context::Plain | Context::ClosureCell => "",
        }
    }

    /// The context with this number.
    pub(crate) fn from_index(index: u8) -> Context {
        match index {
            1 => Context::Namespace,
            2 => Context::Closure,
            3 => Context::ClosureCell,
            _ => Context::Plain,
        }
    }
}

/// The context of the step after `step`.
pub(crate) fn context_after(heap: &Heap, step: &Step, before: Context) -> Context {
    match step.label.kind {
        LabelKind::Field if is_namespace(heap, step) => Context::Namespace,
        LabelKind::Field if is_closure(heap, step) => Context::Closure,
        LabelKind::Closure => Context::ClosureCell,
        LabelKind::Index if before == Context::Closure => Context::ClosureCell,
        _ => Context::Plain,
    }
}

/// The text of a step; empty where it says nothing of its own.
pub(crate) fn text(heap: &Heap, step: &Step, context: Context, style: Style) -> String {
    let name = heap.tables().string(step.label.name);
    let n = step.label.number;
    match (step.label.kind, style) {
        (LabelKind::Attribute, _) => format!(".{name}"),
        (LabelKind::Local, _) => format!(".<local {name}>"),
        (LabelKind::Closure, _) => format!(".<closure {name}>"),
        (LabelKind::Index, Style::Form) if context == Context::Closure => ".<closure>".to_owned(),
        (LabelKind::Index, Style::Exact) if context == Context::Closure => format!(".<closure [{n}]>"),
        (LabelKind::Index, Style::Form) => "[*]".to_owned(),
        (LabelKind::Index, Style::Exact) => format!("[{n}]"),
        (LabelKind::Key, Style::Form) => ".keys()[*]".to_owned(),
        (LabelKind::Key, Style::Exact) => format!(".keys()[{n}]"),
        (LabelKind::Value, _) => value(heap, step, context, style),
        (LabelKind::Item, _) if !heap.is_object(step.from) => "[…]".to_owned(),
        (LabelKind::Item, _) => "{item}".to_owned(),
        (LabelKind::Stack, _) => ".<stack>".to_owned(),
        (LabelKind::Offset, _) => format!(".<+{n}>"),
        (LabelKind::Type, _) => ".__class__".to_owned(),
        (LabelKind::Field, _) => field(heap, step, context),
    }
}

/// A dict's value: an attribute where the dict is a namespace, else `['name']` or `[<type of the key>]`.
fn value(heap: &Heap, step: &Step, context: Context, style: Style) -> String {
    let tables = heap.tables();
    let key = key_of(tables, step);
    let key_name = key.and_then(|key| tables.name(key));
    if context == Context::Namespace {
        return match (key_name, key) {
            (Some(name), _) => format!(".{name}"),
            (None, Some(key)) => format!(".__dict__[<{}>]", short(tables.type_name(key))),
            (None, None) => ".__dict__[…]".to_owned(),
        };
    }
    let is_data = || length(tables, step.from).is_some_and(|length| length > NAMED_KEYS_MAX);
    match (style, key_name, key) {
        (Style::Form, None, _) => "[*]".to_owned(),
        (Style::Form, Some(_), _) if is_data() => "[*]".to_owned(),
        (_, Some(name), _) => format!("['{name}']"),
        (Style::Exact, None, Some(key)) => format!("[<{}>]", short(tables.type_name(key))),
        (Style::Exact, None, None) => "[…]".to_owned(),
    }
}

fn field(heap: &Heap, step: &Step, context: Context) -> String {
    let name = heap.tables().string(step.label.name);
    match heap.kind(step.from) {
        _ if is_namespace(heap, step) || is_closure(heap, step) => String::new(),
        TypeKind::Cell if context == Context::ClosureCell => String::new(),
        TypeKind::Cell => ".cell_contents".to_owned(),
        _ => format!(".{}", python_name(name)),
    }
}

fn is_closure(heap: &Heap, step: &Step) -> bool {
    heap.kind(step.from) == TypeKind::Function
        && heap.kind(step.to) == TypeKind::Tuple
        && python_name(heap.tables().string(step.label.name)) == "__closure__"
}

/// The key of a dict's value: the edge before it. None where the shape says otherwise.
fn key_of(tables: &HeapTables, step: &Step) -> Option<u32> {
    let before = step.position.checked_sub(1)?;
    let key = *tables.targets(step.from).get(before as usize)?;
    (tables.label(step.from, before).kind == LabelKind::Key && key < tables.n_nodes()).then_some(key)
}

/// Whether a step leads from a module, class, function or instance into its `__dict__`.
pub(crate) fn is_namespace(heap: &Heap, step: &Step) -> bool {
    let name = heap.tables().string(step.label.name).trim_matches('_');
    step.label.kind == LabelKind::Field
        && heap.kind(step.to) == TypeKind::Dict
        && (name == "dict" || name.ends_with("_dict"))
        && !matches!(heap.kind(step.from), TypeKind::Interpreter | TypeKind::Thread)
}

/// C names of fields as Python says them.
pub(crate) fn python_name(c_name: &str) -> &str {
    match c_name {
        "func_closure" => "__closure__",
        "func_defaults" => "__defaults__",
        "func_kwdefaults" => "__kwdefaults__",
        "func_globals" => "__globals__",
        "func_code" => "__code__",
        "func_annotations" => "__annotations__",
        "func_doc" | "tp_doc" => "__doc__",
        "func_module" => "__module__",
        "func_name" => "__name__",
        "func_qualname" => "__qualname__",
        "im_self" | "m_self" => "__self__",
        "im_func" => "__func__",
        "wr_callback" => "__callback__",
        "tp_base" => "__base__",
        "tp_bases" => "__bases__",
        "tp_mro" => "__mro__",
        "context" => "__context__",
        "cause" => "__cause__",
        "traceback" => "__traceback__",
        _ => c_name,
    }
}

/// The last part of a dotted name.
pub(crate) fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// A number with thousands apart: `999,998`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The step from `from` to `to` for the form of a trail: exact labels cost a scan of the holder's edges, so a
/// large container without names answers from its shape alone.
pub(crate) fn between_form(heap: &Heap, from: u32, to: u32, values: &mut Values) -> Step {
    let tables = heap.tables();
    let shape = &tables.shapes[tables.shape[from as usize] as usize];
    if tables.targets(from).len() <= 64 {
        return between(heap, from, to);
    }
    if shape.labels.is_empty() && tables.types[shape.type_idx as usize].node != to {
        match shape.tail {
            Tail::Index => return made(from, to, LabelKind::Index),
            Tail::Items => return made(from, to, LabelKind::Item),
            Tail::Pairs if values.is_value(tables, from, to) => return made(from, to, LabelKind::Value),
            Tail::Pairs => return made(from, to, LabelKind::Key),
            Tail::None => {}
        }
    }
    between(heap, from, to)
}

fn made(from: u32, to: u32, kind: LabelKind) -> Step {
    Step { from, to, position: u32::MAX, label: Label { kind, ..type_label() } }
}

/// Which nodes are values of the large dict asked about last.
#[derive(Debug, Default)]
pub(crate) struct Values {
    dict: Option<u32>,
    values: Vec<u32>,
}

impl Values {
    fn is_value(&mut self, tables: &HeapTables, dict: u32, node: u32) -> bool {
        if self.dict != Some(dict) {
            self.dict = Some(dict);
            self.values = tables.targets(dict).iter().copied().skip(1).step_by(2).collect();
            self.values.sort_unstable();
        }
        self.values.binary_search(&node).is_ok()
    }
}
