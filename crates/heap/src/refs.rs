//! The neighbours of one node, both ways, with the names of the references.

use heapray_wire::{Label, NO_NODE};

use crate::Heap;
use crate::step::{Context, Step, Style, between, context_after, python_name, text, type_label};

/// One reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The node at the other end.
    pub node: u32,
    /// Its label; strength tells weak and borrowed ones.
    pub label: Label,
    /// The label as text: `.payload`, `[17]`, `['name']`.
    pub text: String,
}

/// What a node refers to, in the order of its edges, weak ones and the one to its type included; at most `limit`.
pub fn referents(heap: &Heap, node: u32, limit: usize) -> Vec<Reference> {
    let tables = heap.tables();
    let context = context_of(heap, node);
    let row = &tables.types[tables.type_of(node) as usize];
    let fields = (0u32..).zip(tables.edges_of(node)).map(|(position, edge)| Step {
        from: node,
        to: edge.target,
        position,
        label: edge.label,
    });
    let to_type = (row.counted && row.node < tables.n_nodes()).then(|| Step {
        from: node,
        to: row.node,
        position: u32::MAX,
        label: type_label(),
    });
    let steps = fields.filter(|step| step.to < tables.n_nodes()).chain(to_type).take(limit);
    steps.map(|step| reference(heap, step.to, &step, context)).collect()
}

/// What refers to a node, by rising node id, weak ones last; at most `limit`.
///
/// # Cost
/// The out-degrees of the referrers, and one look at each node whose shape has weak references.
pub fn referrers(heap: &Heap, node: u32, limit: usize) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut last = NO_NODE;
    for &holder in heap.graph().holders(node) {
        if found.len() >= limit {
            return found;
        }
        if holder != last {
            collect(heap, holder, node, true, &mut found);
        }
        last = holder;
    }
    let tables = heap.tables();
    let is_weak: Vec<bool> = heap.graph().shapes.rows.iter().map(|row| !row.all_held).collect();
    for holder in 0..heap.n_nodes() {
        if found.len() >= limit {
            break;
        }
        if is_weak[tables.shape[holder as usize] as usize] && tables.targets(holder).contains(&node) {
            collect(heap, holder, node, false, &mut found);
        }
    }
    found.truncate(limit);
    found
}

/// All references of `holder` to `node` that hold it, or all that do not.
fn collect(heap: &Heap, holder: u32, node: u32, held: bool, found: &mut Vec<Reference>) {
    let tables = heap.tables();
    let row = &heap.graph().shapes.rows[tables.shape[holder as usize] as usize];
    let context = context_of(heap, holder);
    for (position, &target) in (0u32..).zip(tables.targets(holder)) {
        if target == node && heap.graph().shapes.holds(row, position) == held {
            let step = Step { from: holder, to: node, position, label: tables.label(holder, position) };
            found.push(reference(heap, holder, &step, context));
        }
    }
    if held && row.type_node == node {
        let step = Step { from: holder, to: node, position: u32::MAX, label: type_label() };
        found.push(reference(heap, holder, &step, context));
    }
}

fn reference(heap: &Heap, node: u32, step: &Step, context: Context) -> Reference {
    let mut text = text(heap, step, context, Style::Exact);
    if text.is_empty() {
        text = format!(".{}", python_name(heap.tables().string(step.label.name)));
    }
    Reference { node, label: step.label, text }
}

/// What the best trail to a node says about the steps from it.
pub(crate) fn context_of(heap: &Heap, node: u32) -> Context {
    match heap.trail_parent(node) {
        Some(above) => context_after(heap, &between(heap, above, node), Context::Plain),
        None => Context::Plain,
    }
}

#[cfg(test)]
mod tests {
    use heapray_wire::EdgeStrength;

    use super::{referents, referrers};
    use crate::Heap;
    use crate::synthetic::Builder;

    #[test]
    fn both_ways_are_labelled_and_weak_ones_come_last() {
        let mut b = Builder::new();
        let x = b.instance("app.X");
        let reference = b.instance("weakref.ReferenceType");
        b.weak(reference, "wr_object", x);
        let list = b.list(&[x, x]);
        b.global("app", "items", list);
        b.global("app", "reference", reference);
        b.global("app", "x", x);
        let dict = b.module("app");
        let heap = Heap::load(b.build());
        let got: Vec<_> = referrers(&heap, x, 10).into_iter().map(|r| (r.node, r.text)).collect();
        let expected = [(list, "[0]"), (list, "[1]"), (dict, ".x"), (reference, ".wr_object")];
        assert_eq!(got, expected.map(|(node, text)| (node, text.to_owned())));
        let weak = referents(&heap, reference, 10);
        assert_eq!((weak.len(), weak[0].node, weak[0].label.strength), (1, x, EdgeStrength::Weak));
        assert_eq!(referrers(&heap, x, 2).len(), 2);
    }
}
