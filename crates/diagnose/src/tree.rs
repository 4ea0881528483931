//! The holding tree of one snapshot: each object under the one reference that a person would name first.
//!
//! A shortest-path tree from the roots in which a step costs little where a name is worth reading (module variable,
//! attribute, element) and much where it is incidental (a running frame, a C stack, an object's type, a function's
//! globals). What roots do not reach is *lost* (under an object that nothing refers to) or *garbage*. It names
//! nothing, see `trail`. Invariant: every object is in exactly one place, so sizes add up.

use heapray_capture::HeapTables;
use heapray_wire::{EdgeStrength, Label, LabelKind, NO_NODE, NodeFlags, ShapeRow, Tail, TypeKind};

/// Why an object is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A root reaches it.
    Held,
    /// Only objects reach it that nothing refers to.
    Lost,
    /// Nothing outside reaches it: cycles.
    Garbage,
}

/// The tree, with the sums of its subtrees. Columns by node id.
#[derive(Debug)]
pub(crate) struct HoldingTree {
    /// The node above; [`NO_NODE`] at the top and for garbage.
    pub(crate) parent: Vec<u32>,
    /// Held nodes, then lost ones, each after its parent.
    pub(crate) order: Vec<u32>,
    /// How many of `order` are held.
    pub(crate) n_held: usize,
    /// Bytes of the blocks of a node and all nodes below it.
    pub(crate) bytes: Vec<u64>,
    /// Objects: a node and all below it, synthetic ones not counted.
    pub(crate) count: Vec<u32>,
    fate: Vec<Fate>,
}

/// Not followed: it keeps nothing alive.
const NEVER: u8 = u8::MAX;
/// Costs are below this; one bucket each.
const BUCKETS: usize = 128;
const STEP: u8 = 4;
const MODULE: u8 = 1;
const INFERRED: u8 = 8;
const TYPE: u8 = 60;
const ASIDE: u8 = 30;

/// Fields that lead to what an object merely uses, not to what it holds.
const ASIDE_FIELDS: [&str; 17] = [
    "__globals__",
    "func_globals",
    "f_globals",
    "f_builtins",
    "__builtins__",
    "func_builtins",
    "builtins",
    "tp_mro",
    "tp_base",
    "tp_bases",
    "__mro__",
    "__base__",
    "__bases__",
    "f_back",
    "tp_cache",
    "md_def",
    "__class__",
];

impl HoldingTree {
    /// Builds it. Cost: O(nodes + edges), 21 bytes a node.
    pub(crate) fn build(tables: &HeapTables) -> Self {
        let n = tables.n_nodes() as usize;
        let mut search = Search::new(tables);
        for node in 0..n as u32 {
            if let Some(cost) = root_cost(tables, node) {
                search.start(node, cost);
            }
        }
        search.run();
        let n_held = search.order.len();
        for node in 0..n as u32 {
            if search.is_new(node) && tables.flags[node as usize].has(NodeFlags::ORPHAN) {
                search.start(node, 0);
            }
        }
        for node in 0..n as u32 {
            if kind(tables, node) == TypeKind::UnknownHolder {
                search.start(node, 8);
            }
        }
        search.run();
        let Search { parent, order, distance, .. } = search;
        let mut fate = vec![Fate::Garbage; n];
        for (at, node) in order.iter().enumerate() {
            fate[*node as usize] = if at < n_held { Fate::Held } else { Fate::Lost };
        }
        drop(distance);
        let mut tree = HoldingTree { parent, order, n_held, bytes: vec![0; n], count: vec![0; n], fate };
        tree.sum(tables);
        tree
    }

    fn sum(&mut self, tables: &HeapTables) {
        for node in 0..tables.n_nodes() {
            self.bytes[node as usize] = weight(tables, node);
            self.count[node as usize] = u32::from(!tables.flags[node as usize].has(NodeFlags::SYNTHETIC));
        }
        for node in self.order.iter().rev() {
            let parent = self.parent[*node as usize];
            if parent != NO_NODE {
                self.bytes[parent as usize] += self.bytes[*node as usize];
                self.count[parent as usize] += self.count[*node as usize];
            }
        }
    }

    /// Why a node is in memory.
    pub(crate) fn fate(&self, node: u32) -> Fate {
        self.fate[node as usize]
    }

    /// The nodes from the top down to `node`, both included.
    pub(crate) fn path(&self, node: u32) -> Vec<u32> {
        let mut path = vec![node];
        let mut at = node;
        while self.parent[at as usize] != NO_NODE {
            at = self.parent[at as usize];
            path.push(at);
        }
        path.reverse();
        path
    }

    /// Which of `top` (or none) each node is under, top nodes included: index into `top`, or `u16::MAX`.
    pub(crate) fn under(&self, top: &[u32]) -> Vec<u16> {
        let mut under = vec![u16::MAX; self.parent.len()];
        for (idx, node) in top.iter().enumerate() {
            under[*node as usize] = idx as u16;
        }
        for node in &self.order {
            let parent = self.parent[*node as usize];
            if under[*node as usize] == u16::MAX && parent != NO_NODE {
                under[*node as usize] = under[parent as usize];
            }
        }
        under
    }
}

/// Bytes that a node stands for: its blocks, or its size where it has none of its own. What an allocator spends far
/// beyond what was asked for is not the object's, see [`slack`].
pub(crate) fn weight(tables: &HeapTables, node: u32) -> u64 {
    let flags = tables.flags[node as usize];
    if flags.has(NodeFlags::STATIC) {
        return 0;
    }
    match tables.block(node) {
        0 if !flags.has(NodeFlags::SYNTHETIC) => tables.shallow(node),
        bytes => bytes - slack(tables, node),
    }
}

/// Bytes of a node's blocks far beyond its size, for types whose size is all they own: a page for a buffer that
/// was cut short.
pub(crate) fn slack(tables: &HeapTables, node: u32) -> u64 {
    let is_exact = matches!(
        kind(tables, node),
        TypeKind::List | TypeKind::Bytes | TypeKind::Str | TypeKind::Array | TypeKind::Tuple
    ) || tables.type_name(node) == "bytearray";
    let usual = tables.shallow(node) + tables.shallow(node) / 2 + 128;
    let is_spent = is_exact && !tables.flags[node as usize].has(NodeFlags::SYNTHETIC);
    if is_spent { tables.block(node).saturating_sub(usual) } else { 0 }
}

/// What the type of a node is to a reader.
pub(crate) fn kind(tables: &HeapTables, node: u32) -> TypeKind {
    tables.types[tables.type_of(node) as usize].kind
}

/// The cost at which a root begins; `None` where a node is no root.
fn root_cost(tables: &HeapTables, node: u32) -> Option<u32> {
    let flags = tables.flags[node as usize];
    let is_root = flags.has(NodeFlags::ROOT) && !flags.has(NodeFlags::ORPHAN);
    match kind(tables, node) {
        TypeKind::Interpreter => Some(0),
        TypeKind::Thread => Some(16),
        TypeKind::StackFrame => is_root.then_some(24),
        TypeKind::NativeStatic => Some(16),
        TypeKind::NativeStack => Some(56),
        TypeKind::NativeBlock => is_root.then_some(40),
        TypeKind::UnknownHolder => None,
        TypeKind::Type if flags.has(NodeFlags::STATIC) => Some(8),
        _ if flags.has(NodeFlags::STATIC) => Some(40),
        _ if is_root => Some(48),
        _ => None,
    }
}

struct Search<'a> {
    tables: &'a HeapTables,
    /// Cost of each edge of a shape, in order; the last is the tail's.
    costs: Vec<Box<[u8]>>,
    is_module: Vec<bool>,
    type_node: Vec<u32>,
    distance: Vec<u32>,
    parent: Vec<u32>,
    order: Vec<u32>,
    done: Vec<bool>,
    buckets: Vec<Vec<u32>>,
    waiting: usize,
    now: u32,
}

impl<'a> Search<'a> {
    fn new(tables: &'a HeapTables) -> Self {
        let n = tables.n_nodes() as usize;
        let row = |shape: &ShapeRow| &tables.types[shape.type_idx as usize];
        let type_node = |shape: &ShapeRow| if row(shape).counted { row(shape).node } else { NO_NODE };
        Search {
            tables,
            costs: tables.shapes.iter().map(|shape| shape_costs(tables, shape)).collect(),
            is_module: tables.shapes.iter().map(|shape| row(shape).kind == TypeKind::Module).collect(),
            type_node: tables.shapes.iter().map(type_node).collect(),
            distance: vec![u32::MAX; n],
            parent: vec![NO_NODE; n],
            order: Vec::with_capacity(n),
            done: vec![false; n],
            buckets: vec![Vec::new(); BUCKETS],
            waiting: 0,
            now: 0,
        }
    }

    fn is_new(&self, node: u32) -> bool {
        !self.done[node as usize]
    }

    fn start(&mut self, node: u32, cost: u32) {
        self.offer(node, self.now + cost, NO_NODE);
    }

    fn offer(&mut self, node: u32, distance: u32, parent: u32) {
        let at = node as usize;
        if self.done[at] || distance >= self.distance[at] {
            return;
        }
        self.distance[at] = distance;
        self.parent[at] = parent;
        self.buckets[distance as usize % BUCKETS].push(node);
        self.waiting += 1;
    }

    /// Dial's algorithm: Dijkstra's with one bucket per distance, as costs are small.
    fn run(&mut self) {
        while self.waiting > 0 {
            let bucket = self.now as usize % BUCKETS;
            while let Some(node) = self.buckets[bucket].pop() {
                self.waiting -= 1;
                if !self.done[node as usize] && self.distance[node as usize] == self.now {
                    self.settle(node);
                }
            }
            self.now += 1;
        }
    }

    fn settle(&mut self, node: u32) {
        self.done[node as usize] = true;
        self.order.push(node);
        let tables = self.tables;
        let shape = tables.shape[node as usize] as usize;
        let n_costs = self.costs[shape].len();
        for (i, &target) in tables.targets(node).iter().enumerate() {
            let cost = self.costs[shape][i.min(n_costs - 1)];
            if cost == NEVER || target >= tables.n_nodes() {
                continue;
            }
            let is_module = self.is_module[tables.shape[target as usize] as usize];
            let cost = if is_module { MODULE.min(cost) } else { cost };
            self.offer(target, self.now + u32::from(cost), node);
        }
        let type_node = self.type_node[shape];
        if type_node != NO_NODE {
            self.offer(type_node, self.now + u32::from(TYPE), node);
        }
    }
}

fn shape_costs(tables: &HeapTables, shape: &ShapeRow) -> Box<[u8]> {
    let of_pseudo = tables.types[shape.type_idx as usize].kind == TypeKind::UnknownHolder;
    let mut costs: Vec<u8> = shape.labels.iter().map(|label| label_cost(tables, label)).collect();
    costs.push(if shape.tail == Tail::None && of_pseudo { STEP + 4 } else { STEP });
    costs.into_boxed_slice()
}

fn label_cost(tables: &HeapTables, label: &Label) -> u8 {
    match label.strength {
        EdgeStrength::Weak | EdgeStrength::Borrowed => return NEVER,
        EdgeStrength::Inferred => return INFERRED,
        EdgeStrength::Owned => {}
    }
    match label.kind {
        LabelKind::Type => TYPE,
        LabelKind::Field if ASIDE_FIELDS.contains(&tables.string(label.name)) => ASIDE,
        LabelKind::Stack => 2 * STEP,
        LabelKind::Offset => INFERRED,
        _ => STEP,
    }
}
