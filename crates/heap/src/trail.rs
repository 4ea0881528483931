//! The way from a root to an object, and its text. Finding it is `tree`'s, naming one step is `step`'s.

use heapray_wire::{LabelKind, NodeFlags, TypeKind};

use crate::step::{self, Context, Style, between, thousands};
use crate::{Heap, Region};

/// What a trail starts from, best names first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RootKind {
    /// A module that `sys.modules` holds.
    Module,
    /// A local variable of a running frame.
    Frame,
    /// A thread's own fields: its context, its exception, its dict of `threading.local`s.
    Thread,
    /// A type that no module names.
    Type,
    /// A field of the interpreter other than its modules.
    Interpreter,
    /// Static memory, C stack or heap block of native code.
    Native,
    /// The reference count says that something holds it; nothing found says what.
    Unknown,
    /// Nothing refers to it although it is counted: a lost reference.
    Lost,
    /// Unreachable, waits for the collector.
    Garbage,
}

/// What a user would call the thing that holds: the last place of a trail that has a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HolderKind {
    /// `module.name`.
    ModuleGlobal,
    /// `module.Class.name`.
    ClassAttribute,
    /// A variable or default value of a function.
    Closure,
    /// `functools.lru_cache`.
    Cache,
    /// `threading.local`.
    ThreadLocal,
    /// An asyncio task.
    Task,
    /// A local variable of a running frame.
    Local,
    /// A local variable of a suspended generator or coroutine.
    Generator,
    /// A field of the interpreter or of a thread: context variables, `atexit`, `gc.callbacks`.
    Interpreter,
    /// Native code.
    Native,
    /// Unknown: an unexplained reference count.
    Unknown,
    /// Nobody: a lost reference.
    Lost,
    /// Nobody: garbage.
    Garbage,
}

/// One way from a root to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    /// Node ids from the root to the object, both included, however long.
    pub nodes: Vec<u32>,
    /// What it starts from.
    pub root: RootKind,
    /// What kind of holder has the object, see [`HolderKind`].
    pub holder: HolderKind,
    /// The text in parts, first the root: `data_pipeline`, `.buffer`, `[99998]`. At most 32: where the trail is
    /// longer, its middle is one step `… (999,998 more)`.
    pub steps: Vec<String>,
    /// The steps joined: `data_pipeline.buffer[99998]`.
    pub text: String,
}

/// Longer trails are shown in part.
const SHOWN_MAX: usize = 31;
/// Edges shown at the start of a long trail.
const SHOWN_FIRST: usize = 8;
/// Edges shown at its end.
const SHOWN_LAST: usize = 4;

impl Heap {
    /// The best trail of a node. O(its length + the out-degrees of the nodes shown).
    pub fn trail(&self, node: u32) -> Trail {
        trail_along(self, self.path(node))
    }

    /// The nodes of the best trail, root first.
    pub fn path(&self, node: u32) -> Vec<u32> {
        let mut nodes = vec![node];
        let mut at = node;
        while let Some(above) = self.trail_parent(at) {
            nodes.push(above);
            at = above;
        }
        nodes.reverse();
        nodes
    }

    /// The best trail of a node with indices and keys as `[*]`: the same from snapshot to snapshot.
    pub fn stable_name(&self, node: u32) -> String {
        stable_name_along(self, &self.path(node))
    }
}

/// The trail along these nodes with indices and keys as `[*]`.
pub(crate) fn stable_name_along(heap: &Heap, nodes: &[u32]) -> String {
    join(&write(heap, nodes, Style::Form))
}

/// The trail along these nodes, root first, each holding the next.
pub(crate) fn trail_along(heap: &Heap, nodes: Vec<u32>) -> Trail {
    let mut steps = write(heap, &nodes, Style::Exact);
    let head = Head::new(heap, &nodes);
    let text = join(&steps);
    steps[0] = steps[0].replace(REST_HERE, "");
    Trail { root: head.root, holder: holder_kind(heap, &nodes, &head), text, steps, nodes }
}

/// Marks where in the text of a head the rest of the trail belongs: `local batch[0] in normalize (app.py:3)`.
const REST_HERE: char = '\u{1f}';

/// The parts of a trail as one text.
pub(crate) fn join<S: AsRef<str>>(parts: &[S]) -> String {
    let Some((head, rest)) = parts.split_first() else { return String::new() };
    let (before, after) = head.as_ref().split_once(REST_HERE).unwrap_or((head.as_ref(), ""));
    let mut text = before.to_owned();
    rest.iter().for_each(|part| text.push_str(part.as_ref()));
    text.push_str(after);
    text
}

/// The steps of a trail as text, the middle of a long one elided.
pub(crate) fn write(heap: &Heap, nodes: &[u32], style: Style) -> Vec<String> {
    let head = Head::new(heap, nodes);
    let mut out = vec![head.text];
    let n_edges = nodes.len() - 1 - head.start;
    let elided = if n_edges > SHOWN_MAX { n_edges - SHOWN_FIRST - SHOWN_LAST } else { 0 };
    let mut context = Context::Plain;
    let mut edge = 0;
    while edge < n_edges {
        if elided > 0 && edge == SHOWN_FIRST {
            out.push(format!("… ({} more)", thousands(elided as u64)));
            edge += elided;
        }
        let at = head.start + edge;
        let step = between(heap, nodes[at], nodes[at + 1]);
        if edge >= head.told {
            out.push(step::text(heap, &step, context, style));
        }
        context = step::context_after(heap, &step, context);
        edge += 1;
    }
    if n_edges > head.told {
        out.push(context.unsaid().to_owned());
    }
    out.retain(|text| !text.is_empty());
    out
}

/// How a trail begins.
struct Head {
    /// Index of the node that the text starts from.
    start: usize,
    /// Edges after it that the head's text tells already.
    told: usize,
    root: RootKind,
    text: String,
}

impl Head {
    fn new(heap: &Heap, nodes: &[u32]) -> Head {
        let root = nodes[0];
        let tables = heap.tables();
        let named = |node: u32| tables.name(node).unwrap_or("?").to_owned();
        let simple = |root, text| Head { start: 0, told: 0, root, text };
        if let Some(start) = module_of(heap, nodes) {
            return Head { start, told: 0, root: RootKind::Module, text: named(nodes[start]) };
        }
        let type_name = tables.type_name(root);
        match heap.region(root) {
            Region::Lost => return simple(RootKind::Lost, format!("(lost {type_name})")),
            Region::Garbage => return simple(RootKind::Garbage, format!("(garbage {type_name})")),
            Region::Live => {}
        }
        match heap.kind(root) {
            TypeKind::StackFrame => frame(heap, nodes, 0),
            TypeKind::Thread if is_frame(heap, nodes.get(1)) => frame(heap, nodes, 1),
            TypeKind::Thread => thread(heap, nodes),
            TypeKind::Interpreter => simple(RootKind::Interpreter, "(interpreter)".to_owned()),
            TypeKind::NativeStatic | TypeKind::NativeStack | TypeKind::NativeBlock => {
                simple(RootKind::Native, format!("({})", named(root)))
            }
            TypeKind::Type => {
                let text = tables.name(root).map_or_else(|| format!("({type_name})"), str::to_owned);
                simple(RootKind::Type, text)
            }
            TypeKind::UnknownHolder => simple(RootKind::Unknown, "(unknown holder)".to_owned()),
            _ if tables.flags[root as usize].has(NodeFlags::IMMORTAL) => {
                simple(RootKind::Interpreter, format!("(immortal {type_name})"))
            }
            _ => simple(RootKind::Unknown, format!("({type_name} held from outside Python)")),
        }
    }
}

/// Index of the last module that `sys.modules` holds (or that is a root) on a trail.
fn module_of(heap: &Heap, nodes: &[u32]) -> Option<usize> {
    let is_dict = |at: usize| heap.kind(nodes[at]) == TypeKind::Dict;
    let held_by_interpreter = |at: usize| heap.kind(nodes[at]) == TypeKind::Interpreter;
    (0..nodes.len().min(8)).rev().find(|&at| {
        heap.kind(nodes[at]) == TypeKind::Module
            && heap.tables().name(nodes[at]).is_some()
            && (at == 0 || (at >= 2 && is_dict(at - 1) && held_by_interpreter(at - 2)))
    })
}

/// `local batch in normalize (data_pipeline.py:12), thread 4242`.
fn frame(heap: &Heap, nodes: &[u32], start: usize) -> Head {
    let tables = heap.tables();
    let root = nodes[start];
    let name = tables.name(root).unwrap_or("?");
    let is_thread = |holder: &&u32| heap.kind(**holder) == TypeKind::Thread;
    let thread = heap.graph().holders(root).iter().find(is_thread).and_then(|thread| tables.name(*thread));
    let place = match thread {
        Some(thread) => format!("{name}, {thread}"),
        None => name.to_owned(),
    };
    let Some(&held) = nodes.get(start + 1) else {
        return Head { start, told: 0, root: RootKind::Frame, text: place };
    };
    let label = between(heap, root, held).label;
    let text = match label.kind {
        LabelKind::Local => format!("local {}{REST_HERE} in {place}", tables.string(label.name)),
        LabelKind::Closure => format!("closure variable {}{REST_HERE} in {place}", tables.string(label.name)),
        LabelKind::Field => format!("{}{REST_HERE} of {place}", step::python_name(tables.string(label.name))),
        _ => format!("value on the stack{REST_HERE} of {place}"),
    };
    Head { start, told: 1, root: RootKind::Frame, text }
}

/// What a thread runs: a frame, or its object where frames are objects (3.10).
fn is_frame(heap: &Heap, node: Option<&u32>) -> bool {
    node.is_some_and(|node| matches!(heap.kind(*node), TypeKind::StackFrame | TypeKind::Frame))
}

/// A thread's field, or a `threading.local` reached through its dict.
fn thread(heap: &Heap, nodes: &[u32]) -> Head {
    let name = heap.tables().name(nodes[0]).unwrap_or("thread");
    let local = nodes.iter().take(6).rposition(|node| is_thread_local(heap, *node));
    match local {
        Some(start) => Head {
            start,
            told: 0,
            root: RootKind::Thread,
            text: format!("threading.local{REST_HERE} in {name}"),
        },
        None => Head { start: 0, told: 0, root: RootKind::Thread, text: format!("({name})") },
    }
}

pub(crate) fn is_thread_local(heap: &Heap, node: u32) -> bool {
    heap.kind(node) == TypeKind::ThreadLocal || heap.tables().type_name(node).starts_with("_thread._local")
}

/// The last place on the trail that a programmer would call the holder.
fn holder_kind(heap: &Heap, nodes: &[u32], head: &Head) -> HolderKind {
    let mut kind = match head.root {
        RootKind::Module => HolderKind::ModuleGlobal,
        RootKind::Frame => HolderKind::Local,
        RootKind::Thread | RootKind::Interpreter => HolderKind::Interpreter,
        RootKind::Type => HolderKind::ClassAttribute,
        RootKind::Native => HolderKind::Native,
        RootKind::Unknown => HolderKind::Unknown,
        RootKind::Lost => return HolderKind::Lost,
        RootKind::Garbage => return HolderKind::Garbage,
    };
    let last = nodes.len() - 1;
    for (at, &node) in nodes.iter().enumerate().skip(head.start) {
        let next = nodes.get(at + 1).map(|next| heap.kind(*next));
        kind = match heap.kind(node) {
            TypeKind::Type if next == Some(TypeKind::Dict) && at + 2 <= last => HolderKind::ClassAttribute,
            TypeKind::Function if at < last && holds_values(next) => HolderKind::Closure,
            TypeKind::LruCache => HolderKind::Cache,
            TypeKind::ThreadLocal => HolderKind::ThreadLocal,
            TypeKind::Task => HolderKind::Task,
            TypeKind::Generator | TypeKind::Coroutine | TypeKind::AsyncGenerator if at < last => {
                HolderKind::Generator
            }
            _ if head.root == RootKind::Thread && is_thread_local(heap, node) => HolderKind::ThreadLocal,
            _ => kind,
        };
    }
    kind
}

/// Whether a function's referent is its closure or defaults rather than its code or globals.
fn holds_values(next: Option<TypeKind>) -> bool {
    matches!(next, Some(TypeKind::Tuple | TypeKind::Cell | TypeKind::Dict))
}

#[cfg(test)]
mod tests {
    use heapray_wire::{Label, LabelKind, NodeFlags, TypeKind};

    use super::{HolderKind, RootKind};
    use crate::Heap;
    use crate::synthetic::{Builder, plain};

    fn check(builder: Builder, node: u32, text: &str, holder: HolderKind) {
        let heap = Heap::load(builder.build());
        let trail = heap.trail(node);
        assert_eq!((trail.text.as_str(), trail.holder), (text, holder));
    }

    #[test]
    fn a_module_list_element_reads_as_python() {
        let mut b = Builder::new();
        let items: Vec<u32> = (0..100).map(|_| b.object("numpy.ndarray", TypeKind::Array)).collect();
        let buffer = b.list(&items);
        b.global("data_pipeline", "buffer", buffer);
        check(b, items[98], "data_pipeline.buffer[98]", HolderKind::ModuleGlobal);
    }

    #[test]
    fn instance_dict_and_inline_values_read_alike() {
        for with_dict in [true, false] {
            let mut b = Builder::new();
            let (app, x) = (b.instance("app.App"), b.instance("app.X"));
            b.global("app", "app", app);
            if with_dict {
                let dict = b.dict();
                b.field(app, "__dict__", dict);
                b.set_item(dict, "x", x);
            } else {
                b.attribute(app, "x", x);
            }
            check(b, x, "app.app.x", HolderKind::ModuleGlobal);
        }
    }

    #[test]
    fn dict_keys_are_named_where_known() {
        let mut b = Builder::new();
        let (cache, known, other, by_int) = (b.dict(), b.instance("X"), b.instance("X"), b.instance("X"));
        b.global("app", "cache", cache);
        b.set_item(cache, "users", known);
        b.set_item(cache, "http://x", other);
        let one = b.object("int", TypeKind::Int);
        b.push(cache, one);
        b.push(cache, by_int);
        let heap = Heap::load(b.build());
        assert_eq!(heap.trail(known).text, "app.cache['users']");
        assert_eq!(heap.trail(other).text, "app.cache[<str>]");
        assert_eq!(heap.trail(by_int).text, "app.cache[<int>]");
        assert_eq!(heap.trail(one).text, "app.cache.keys()[2]");
        assert_eq!(heap.stable_name(known), "app.cache['users']");
        assert_eq!(heap.stable_name(by_int), "app.cache[*]");
    }

    #[test]
    fn class_attribute_closure_and_cache_are_told_apart() {
        let mut b = Builder::new();
        let (class, dict, registry, x) =
            (b.object("type", TypeKind::Type), b.dict(), b.list(&[]), b.instance("X"));
        b.global("app", "Handler", class);
        b.field(class, "tp_dict", dict);
        b.set_item(dict, "registry", registry);
        b.push(registry, x);
        let (function, cells, cell, items, y) = (
            b.object("function", TypeKind::Function),
            b.object("tuple", TypeKind::Tuple),
            b.object("cell", TypeKind::Cell),
            b.list(&[]),
            b.instance("Y"),
        );
        b.global("app", "handler", function);
        b.field(function, "func_closure", cells);
        b.push(cells, cell);
        b.field(cell, "cell_contents", items);
        b.push(items, y);
        let (lru, cached, z) =
            (b.object("functools._lru_cache_wrapper", TypeKind::LruCache), b.dict(), b.instance("Z"));
        b.global("app", "load", lru);
        b.field(lru, "cache", cached);
        let key = b.object("tuple", TypeKind::Tuple);
        b.push(cached, key);
        b.push(cached, z);
        let heap = Heap::load(b.build());
        let got = |node| (heap.trail(node).text, heap.trail(node).holder);
        assert_eq!(got(x), ("app.Handler.registry[0]".into(), HolderKind::ClassAttribute));
        assert_eq!(got(y), ("app.handler.<closure [0]>[0]".into(), HolderKind::Closure));
        assert_eq!(got(z), ("app.load.cache[<tuple>]".into(), HolderKind::Cache));
    }

    #[test]
    fn a_local_names_function_line_and_thread() {
        let mut b = Builder::new();
        let batch = b.list(&[]);
        let item = b.instance("X");
        b.push(batch, item);
        let frame = b.frame("thread 4242", "normalize (data_pipeline.py:12)");
        b.local(frame, "batch", batch);
        let text = "local batch[0] in normalize (data_pipeline.py:12), thread 4242";
        check(b, item, text, HolderKind::Local);
    }

    #[test]
    fn a_module_is_a_better_name_than_a_frames_globals() {
        let mut b = Builder::new();
        let buffer = b.list(&[]);
        b.global("app", "buffer", buffer);
        let globals = b.module("app");
        let frame = b.frame("thread 1", "f (app.py:1)");
        b.field(frame, "f_globals", globals);
        check(b, buffer, "app.buffer", HolderKind::ModuleGlobal);
    }

    #[test]
    fn native_and_unknown_holders_are_named() {
        let mut b = Builder::new();
        let (handler, stray) = (b.object("function", TypeKind::Function), b.dict());
        let holder = b.synthetic(TypeKind::NativeStatic, "static Handlers in libpython3.12.so");
        b.push(holder, handler);
        b.flag(stray, NodeFlags::ROOT);
        let heap = Heap::load(b.build());
        assert_eq!(heap.trail(handler).text, "(static Handlers in libpython3.12.so)[…]");
        assert_eq!(heap.trail(handler).holder, HolderKind::Native);
        assert_eq!(heap.trail(stray).text, "(dict held from outside Python)");
        assert_eq!(heap.trail(stray).root, RootKind::Unknown);
    }

    #[test]
    fn lost_and_garbage_say_so() {
        let mut b = Builder::new();
        let (lost, below, a) = (b.dict(), b.instance("X"), b.instance("Node"));
        b.set_item(lost, "k", below);
        b.flag(lost, NodeFlags::ORPHAN | NodeFlags::ROOT);
        b.attribute(a, "parent", a);
        let heap = Heap::load(b.build());
        assert_eq!(heap.trail(below).text, "(lost dict)['k']");
        assert_eq!(heap.trail(below).holder, HolderKind::Lost);
        assert_eq!(heap.trail(a).text, "(garbage Node)");
    }

    #[test]
    fn a_thread_local_is_named_by_its_thread() {
        let mut b = Builder::new();
        let (dict, local, values, x) =
            (b.dict(), b.object("_thread._localdummy", TypeKind::ThreadLocal), b.dict(), b.instance("X"));
        let thread = b.synthetic(TypeKind::Thread, "thread 7");
        b.field(thread, "dict", dict);
        b.set_item(dict, "thread.local.0x7f", local);
        b.field(local, "__dict__", values);
        b.set_item(values, "x", x);
        check(b, x, "threading.local.x in thread 7", HolderKind::ThreadLocal);
    }

    #[test]
    fn long_trails_are_shown_in_part() {
        let mut b = Builder::new();
        let head = b.instance("app.Node");
        b.global("app", "head", head);
        let mut last = head;
        for _ in 0..1_000_000 {
            let next = b.instance("app.Node");
            b.attribute(last, "next", next);
            last = next;
        }
        let heap = Heap::load(b.build());
        let trail = heap.trail(last);
        assert_eq!(trail.nodes.len(), 1_000_005);
        assert_eq!(trail.text, "app.head.next.next.next.next.next.next… (999,990 more).next.next.next.next");
    }

    #[test]
    fn a_weakref_callback_and_a_bound_method_are_spelled_out() {
        let mut b = Builder::new();
        let (reference, method, object) = (
            b.object("weakref.ReferenceType", TypeKind::WeakReference),
            b.object("method", TypeKind::Method),
            b.instance("app.Job"),
        );
        b.global("app", "ref", reference);
        b.field(reference, "wr_callback", method);
        b.field(method, "im_self", object);
        let inside = b.instance("Z");
        b.edge(object, Label { number: 24, ..plain(LabelKind::Offset) }, inside);
        let heap = Heap::load(b.build());
        assert_eq!(heap.trail(object).text, "app.ref.__callback__.__self__");
        assert_eq!(heap.trail(inside).text, "app.ref.__callback__.__self__.<+24>");
    }
}
