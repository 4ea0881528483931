//! What each shape means for the graph: which of its edges hold their target, and how good their names are.
//!
//! One row per shape, computed once; the hot loops ask it instead of labels.

use heapray_capture::HeapTables;
use heapray_wire::{EdgeStrength, Label, LabelKind, NO_NODE, Tail, TypeKind};

/// Cost of an edge that holds nothing (weak, borrowed).
pub(crate) const NOT_HELD: u8 = u8::MAX;
/// Highest cost of an edge or root; costs are at least 1.
pub(crate) const COST_MAX: u8 = 15;
/// Cost of the edge from an object to its type.
pub(crate) const TYPE_COST: u8 = 10;

/// One shape as the graph sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShapeInfo {
    /// Node of the type, where instances own a reference to it, else [`NO_NODE`].
    pub(crate) type_node: u32,
    /// Index of the first label's cost.
    pub(crate) first_cost: u32,
    /// Number of fixed labels.
    pub(crate) n_labels: u32,
    /// Cost of tail edges 0, 2, 4, …
    pub(crate) tail_even: u8,
    /// Cost of tail edges 1, 3, 5, …
    pub(crate) tail_odd: u8,
    /// Every edge holds its target.
    pub(crate) all_held: bool,
}

/// All shapes, and the cost of each of their labels.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    pub(crate) rows: Vec<ShapeInfo>,
    pub(crate) costs: Vec<u8>,
}

impl Shapes {
    pub(crate) fn new(tables: &HeapTables) -> Shapes {
        let mut shapes = Shapes::default();
        for shape in &tables.shapes {
            let row = &tables.types[shape.type_idx as usize];
            let first_cost = shapes.costs.len() as u32;
            shapes.costs.extend(shape.labels.iter().map(|label| cost(tables, row.kind, *label)));
            let (tail_even, tail_odd) = match shape.tail {
                Tail::Pairs => (2, 1),
                Tail::Index | Tail::Items | Tail::None => (1, 1),
            };
            let counted = row.counted && row.node < tables.n_nodes();
            shapes.rows.push(ShapeInfo {
                type_node: if counted { row.node } else { NO_NODE },
                first_cost,
                n_labels: shape.labels.len() as u32,
                tail_even,
                tail_odd,
                all_held: shapes.costs[first_cost as usize..].iter().all(|cost| *cost != NOT_HELD),
            });
        }
        shapes
    }

    /// Cost of edge `i` of a node of this shape.
    #[inline]
    pub(crate) fn cost(&self, row: &ShapeInfo, i: u32) -> u8 {
        if i < row.n_labels {
            return self.costs[(row.first_cost + i) as usize];
        }
        if (i - row.n_labels).is_multiple_of(2) { row.tail_even } else { row.tail_odd }
    }

    /// Whether edge `i` of a node of this shape holds its target.
    #[inline]
    pub(crate) fn holds(&self, row: &ShapeInfo, i: u32) -> bool {
        row.all_held || i >= row.n_labels || self.costs[(row.first_cost + i) as usize] != NOT_HELD
    }

    /// Calls `f` with each target that `node` holds and the cost of the edge, its type last.
    #[inline]
    pub(crate) fn for_each(&self, tables: &HeapTables, node: u32, mut f: impl FnMut(u32, u8)) {
        let row = &self.rows[tables.shape[node as usize] as usize];
        let n_nodes = tables.n_nodes();
        let targets = tables.targets(node);
        let n_fixed = (row.n_labels as usize).min(targets.len());
        let (fixed, tail) = targets.split_at(n_fixed);
        for (i, &target) in fixed.iter().enumerate() {
            let cost = self.costs[row.first_cost as usize + i];
            if cost != NOT_HELD && target < n_nodes {
                f(target, cost);
            }
        }
        let mut costs = (row.tail_even, row.tail_odd);
        for &target in tail {
            if target < n_nodes {
                f(target, costs.0);
            }
            costs = (costs.1, costs.0);
        }
        if row.type_node != NO_NODE {
            f(row.type_node, TYPE_COST);
        }
    }
}

/// How far an edge is from what a programmer would write: 1 is an attribute, an element, a variable.
fn cost(tables: &HeapTables, source: TypeKind, label: Label) -> u8 {
    if matches!(label.strength, EdgeStrength::Weak | EdgeStrength::Borrowed) {
        return NOT_HELD;
    }
    let base = match label.kind {
        LabelKind::Attribute | LabelKind::Index | LabelKind::Value | LabelKind::Item => 1,
        LabelKind::Local | LabelKind::Closure => 1,
        LabelKind::Key => 2,
        LabelKind::Stack => 3,
        LabelKind::Offset => 4,
        LabelKind::Type => TYPE_COST,
        LabelKind::Field => field_cost(source, tables.string(label.name)),
    };
    match label.strength {
        EdgeStrength::Inferred => (base + 2).min(COST_MAX),
        _ => base,
    }
}

/// Fields that lead astray are dear: a function's globals name a module's variable worse than the module does.
fn field_cost(source: TypeKind, name: &str) -> u8 {
    if source == TypeKind::Interpreter {
        return if name.ends_with("modules") { 1 } else { 6 };
    }
    let name = name.trim_start_matches("func_").trim_start_matches("tp_").trim_start_matches("f_");
    match name.trim_matches('_') {
        "globals" | "builtins" | "back" | "previous" => 14,
        "subclasses" | "mro" | "weaklist" | "weaklistoffset" | "cache_keys" | "cached_keys" => 10,
        "bases" | "base" | "module" | "objclass" => 8,
        "callback" | "wr_callback" => 5,
        "code" | "annotations" | "doc" => 3,
        _ if name.starts_with("co_") => 3,
        _ => 1,
    }
}
