//! Reference cycles: garbage that waits for the collector, garbage that it can never free, and live cycles.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use heapray_wire::{NodeFlags, TypeKind};

use crate::anchors::is_anchor;
use crate::scc::components;
use crate::step::{self, Context, Style};
use crate::types::count_types;
use crate::{Heap, Region, Trail, TypeCount};

/// Which cycles to list.
#[derive(Clone, Copy, Debug)]
pub struct CycleOptions {
    /// Groups listed of each sort.
    pub limit: usize,
    /// Also search the live heap (about 0.1 µs a node).
    pub retained: bool,
}

impl Default for CycleOptions {
    fn default() -> Self {
        CycleOptions { limit: 20, retained: true }
    }
}

/// Cycles with the same types.
#[derive(Clone, Debug, PartialEq)]
pub struct CycleGroup {
    /// Number of such cycles (strongly connected components).
    pub cycles: u64,
    /// Objects in them.
    pub objects: u64,
    /// Bytes of the blocks of the objects in them.
    pub bytes: u64,
    /// Bytes that go when they go: with everything that only they hold.
    pub frees_bytes: u64,
    /// Types of the objects of one cycle, most frequent first.
    pub types: Vec<TypeCount>,
    /// Objects in them with a finalizer.
    pub finalizers: u64,
    /// Objects in them that the collector cannot see through: such cycles are never collected.
    pub untraversed: u64,
    /// Objects in them in the permanent generation (`gc.freeze`): not collected while frozen.
    pub frozen: u64,
    /// An object of the largest of them.
    pub example: u32,
    /// One way round that cycle: `Node.parent`, `.children`, `[0]`.
    pub around: Vec<String>,
    /// Retained cycles: the trail to the object at which the largest is entered.
    pub entry: Option<Trail>,
}

/// The answer of [`cycles`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cycles {
    /// Unreachable cycles that the collector will free, most bytes first.
    pub garbage: Vec<CycleGroup>,
    /// Unreachable cycles that it never frees, most bytes first.
    pub uncollectable: Vec<CycleGroup>,
    /// Live cycles, most bytes first.
    pub retained: Vec<CycleGroup>,
    /// All unreachable objects: those of cycles and what hangs off them.
    pub garbage_objects: u64,
    /// Bytes of their blocks.
    pub garbage_bytes: u64,
}

/// Steps of the way round a cycle that are shown.
const AROUND_MAX: usize = 12;
/// Nodes looked at in the search for a way round.
const AROUND_BUDGET: usize = 10_000;

/// Groups of cycles by the types in them.
///
/// # Cost
/// O(garbage and its edges); with `retained`, O(nodes + edges), 8 bytes a node while it runs.
pub fn cycles(heap: &Heap, options: &CycleOptions) -> Cycles {
    let mut answer = Cycles::default();
    for node in 0..heap.n_nodes() {
        if heap.region(node) == Region::Garbage {
            answer.garbage_objects += 1;
            answer.garbage_bytes += heap.tables().block(node);
        }
    }
    if answer.garbage_objects > 0 {
        let found = components(heap, |node| heap.region(node) == Region::Garbage);
        let (never, waiting): (Vec<_>, Vec<_>) =
            found.iter().partition(|nodes| is_uncollectable(heap, nodes));
        answer.garbage = group(heap, &waiting, options, false);
        answer.uncollectable = group(heap, &never, options, false);
    }
    if options.retained {
        let found = components(heap, |node| heap.region(node) == Region::Live && is_data(heap, node));
        answer.retained = group(heap, &found.iter().collect::<Vec<_>>(), options, true);
    }
    answer
}

/// The collector frees a cycle only if it sees every reference in it: each object tracked, and traversed whole.
fn is_uncollectable(heap: &Heap, nodes: &[u32]) -> bool {
    nodes.iter().any(|node| {
        let flags = heap.tables().flags[*node as usize];
        flags.has(NodeFlags::UNTRAVERSED)
    })
}

/// What a program holds, not what it is: functions, types and modules always form one huge cycle.
fn is_data(heap: &Heap, node: u32) -> bool {
    let is_code = matches!(heap.kind(node), TypeKind::Function | TypeKind::Code);
    heap.is_object(node) && !is_code && !is_anchor(heap, node)
}

/// Sums of one group while it is being made.
#[derive(Default)]
struct Sum<'c> {
    cycles: u64,
    objects: u64,
    bytes: u64,
    frees_bytes: u64,
    finalizers: u64,
    untraversed: u64,
    frozen: u64,
    largest: &'c [u32],
    largest_bytes: u64,
}

fn group(heap: &Heap, components: &[&[u32]], options: &CycleOptions, retained: bool) -> Vec<CycleGroup> {
    let mut sums: BTreeMap<Vec<(u32, u32)>, Sum<'_>> = BTreeMap::new();
    for &nodes in components {
        sums.entry(signature(heap, nodes)).or_default().add(heap, nodes);
    }
    let mut rows: Vec<Sum<'_>> = sums.into_values().collect();
    rows.sort_by_key(|sum| (Reverse(sum.frees_bytes), Reverse(sum.objects), sum.largest[0]));
    rows.truncate(options.limit);
    rows.into_iter().map(|sum| sum.row(heap, retained)).collect()
}

/// How many objects of which type; of a large component only which types, so that alike ones meet.
fn signature(heap: &Heap, nodes: &[u32]) -> Vec<(u32, u32)> {
    let mut types: Vec<u32> = nodes.iter().map(|node| heap.tables().type_of(*node)).collect();
    types.sort_unstable();
    let is_small = types.len() <= 16;
    let parts = types.chunk_by(|a, b| a == b);
    parts.map(|part| (part[0], if is_small { part.len() as u32 } else { 0 })).collect()
}

impl<'c> Sum<'c> {
    fn add(&mut self, heap: &Heap, nodes: &'c [u32]) {
        let tables = heap.tables();
        let flagged = |bit| nodes.iter().filter(|node| tables.flags[**node as usize].has(bit)).count() as u64;
        let bytes: u64 = nodes.iter().map(|node| tables.block(*node)).sum();
        self.cycles += 1;
        self.objects += nodes.len() as u64;
        self.bytes += bytes;
        self.frees_bytes += retained_together(heap, nodes);
        self.finalizers += flagged(NodeFlags::FINALIZER);
        self.untraversed += flagged(NodeFlags::UNTRAVERSED);
        self.frozen += flagged(NodeFlags::FROZEN);
        if self.largest.is_empty() || bytes > self.largest_bytes {
            (self.largest, self.largest_bytes) = (nodes, bytes);
        }
    }

    fn row(self, heap: &Heap, retained: bool) -> CycleGroup {
        let entry = self.largest.iter().copied().min_by_key(|node| (heap.tree.cost[*node as usize], *node));
        let example = entry.unwrap_or(0);
        CycleGroup {
            cycles: self.cycles,
            objects: self.objects,
            bytes: self.bytes,
            frees_bytes: self.frees_bytes,
            types: by_count(count_types(heap, self.largest.iter().copied(), usize::MAX)),
            finalizers: self.finalizers,
            untraversed: self.untraversed,
            frozen: self.frozen,
            example,
            around: around(heap, example, self.largest),
            entry: retained.then(|| heap.trail(example)),
        }
    }
}

fn by_count(mut types: Vec<TypeCount>) -> Vec<TypeCount> {
    types.sort_by(|a, b| (b.count, b.bytes).cmp(&(a.count, a.bytes)).then_with(|| a.name.cmp(&b.name)));
    types
}

/// Retained sizes of those nodes of a component that no other of it dominates.
fn retained_together(heap: &Heap, nodes: &[u32]) -> u64 {
    let mut sorted = nodes.to_vec();
    sorted.sort_unstable();
    let is_in = |node: u32| sorted.binary_search(&node).is_ok();
    // What dominates a node of a cycle from inside it does so through nodes of it.
    let is_top = |node: &&u32| heap.dominator(**node).is_none_or(|above| !is_in(above));
    nodes.iter().filter(is_top).map(|node| heap.retained(*node)).sum()
}

/// A shortest way from a node of a component back to it, as text.
fn around(heap: &Heap, start: u32, nodes: &[u32]) -> Vec<String> {
    let mut sorted = nodes.to_vec();
    sorted.sort_unstable();
    let mut before: BTreeMap<u32, u32> = BTreeMap::new();
    let mut queue = vec![start];
    let mut at = 0;
    while at < queue.len().min(AROUND_BUDGET) && !before.contains_key(&start) {
        let node = queue[at];
        at += 1;
        heap.graph().for_each_held(heap.tables(), node, |target| {
            if sorted.binary_search(&target).is_ok() && !before.contains_key(&target) {
                before.insert(target, node);
                queue.push(target);
            }
        });
    }
    let mut way = vec![start];
    let mut node = start;
    while let Some(&above) = before.get(&node) {
        way.push(above);
        node = above;
        if node == start {
            break;
        }
    }
    way.reverse();
    let mut steps = vec![step::short(heap.tables().type_name(start)).to_owned()];
    let mut context = Context::Plain;
    for pair in way.windows(2).take(AROUND_MAX) {
        let step = step::between(heap, pair[0], pair[1]);
        steps.push(step::text(heap, &step, context, Style::Exact));
        context = step::context_after(heap, &step, context);
    }
    steps.retain(|text| !text.is_empty());
    if way.len() > AROUND_MAX + 1 {
        steps.push("…".to_owned());
    }
    steps
}

#[cfg(test)]
mod tests {
    use heapray_wire::{NodeFlags, TypeKind};

    use super::{CycleOptions, cycles};
    use crate::Heap;
    use crate::synthetic::{Builder, Dice};

    #[test]
    fn garbage_is_grouped_by_types_and_told_from_what_is_never_freed() {
        let mut b = Builder::new();
        for i in 0..30 {
            let (node, dict, data) = (b.instance("app.Node"), b.dict(), b.object("bytes", TypeKind::Bytes));
            b.bytes(data, 1000);
            b.field(node, "__dict__", dict);
            b.set_item(dict, "me", node);
            b.set_item(dict, "data", data);
            b.flag(node, NodeFlags::FINALIZER);
            if i == 0 {
                b.flag(node, NodeFlags::UNTRAVERSED);
            }
        }
        let heap = Heap::load(b.build());
        let answer = cycles(&heap, &CycleOptions::default());
        assert_eq!((answer.garbage.len(), answer.uncollectable.len()), (1, 1));
        let group = &answer.garbage[0];
        assert_eq!((group.cycles, group.objects, group.finalizers), (29, 58, 29));
        assert_eq!(group.frees_bytes, 29 * (1000 + 4 * 64));
        assert_eq!(group.around, ["Node", ".me"]);
        assert_eq!(answer.uncollectable[0].cycles, 1);
        assert_eq!(answer.garbage_objects, 150);
    }

    #[test]
    fn a_retained_cycle_names_its_entry() {
        let mut b = Builder::new();
        let (parent, children, child) = (b.instance("app.Node"), b.list(&[]), b.instance("app.Node"));
        b.attribute(parent, "children", children);
        b.push(children, child);
        b.attribute(child, "parent", parent);
        b.global("app", "tree", parent);
        let heap = Heap::load(b.build());
        let answer = cycles(&heap, &CycleOptions::default());
        assert_eq!(answer.retained.len(), 1);
        assert_eq!(answer.retained[0].entry.as_ref().map(|trail| trail.text.as_str()), Some("app.tree"));
        assert_eq!(answer.retained[0].around, ["Node", ".children", "[0]", ".parent"]);
    }

    /// Whether `to` is reached from `from` in at least one step.
    fn reaches(heap: &Heap, from: u32, to: u32) -> bool {
        let mut seen = vec![false; heap.n_nodes() as usize];
        let mut todo = vec![from];
        while let Some(node) = todo.pop() {
            let mut found = false;
            heap.graph().for_each_held(heap.tables(), node, |target| {
                found |= target == to;
                if !std::mem::replace(&mut seen[target as usize], true) {
                    todo.push(target);
                }
            });
            if found {
                return true;
            }
        }
        false
    }

    #[test]
    fn components_are_those_of_mutual_reach() {
        for seed in 0..100 {
            let mut dice = Dice::new(seed);
            let n = 2 + dice.below(20);
            let mut b = Builder::new();
            for _ in 0..n {
                b.list(&[]);
            }
            for _ in 0..dice.below(n * 2) {
                b.push(dice.below(n) as u32, dice.below(n) as u32);
            }
            let heap = Heap::load(b.build());
            let found = crate::scc::components(&heap, |_| true);
            let mut component = vec![None; n as usize];
            for (i, nodes) in found.iter().enumerate() {
                nodes.iter().for_each(|node| component[*node as usize] = Some(i));
            }
            for a in 0..n as u32 {
                for c in 0..n as u32 {
                    let together = reaches(&heap, a, c) && reaches(&heap, c, a);
                    let same =
                        component[a as usize].is_some() && component[a as usize] == component[c as usize];
                    assert_eq!(together, same, "seed {seed}: {a} and {c}");
                }
            }
        }
    }
}
