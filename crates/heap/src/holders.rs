//! What is large though nothing leaks: the named places of a program by retained size.

use heapray_wire::{NO_NODE, Tail, TypeKind};

use crate::anchors::is_anchor;
use crate::trail::is_thread_local;
use crate::types::count_types;
use crate::{Heap, HolderKind, Region, Trail, TypeCount};

/// What to list.
#[derive(Clone, Copy, Debug)]
pub struct HolderOptions {
    /// Rows.
    pub limit: usize,
    /// Holders below this retained size are left out.
    pub min_bytes: u64,
}

impl Default for HolderOptions {
    fn default() -> Self {
        HolderOptions { limit: 20, min_bytes: 1024 }
    }
}

/// A named place that holds much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The object it holds: a list, dict, instance.
    pub node: u32,
    /// What kind of place.
    pub kind: HolderKind,
    /// Its best trail; the text is its name.
    pub trail: Trail,
    /// Type of the object.
    pub type_name: String,
    /// Elements, where it is a container.
    pub length: Option<u64>,
    /// Types of its elements, most frequent first, at most 3.
    pub elements: Vec<TypeCount>,
    /// Retained bytes.
    pub retained: u64,
    /// Where most of it lies further down (each step at least 70 % of the one above): that object's trail and retained bytes.
    pub accumulates: Option<(Trail, u64)>,
}

/// Part of a holder's retained bytes that one object further down must have for the search to go on there.
const DESCENT_SHARE: (u64, u64) = (7, 10);
/// Steps of that search at most.
const DESCENT_MAX: usize = 1000;

/// Named places by retained size, largest first, each object once.
///
/// # Cost
/// O(nodes), and for each row the length of its trails.
pub fn holders(heap: &Heap, options: &HolderOptions) -> Vec<Holder> {
    let mut found: Vec<u32> = candidates(heap);
    found.retain(|node| heap.retained(*node) >= options.min_bytes);
    found.sort_by_key(|node| (std::cmp::Reverse(heap.retained(*node)), *node));
    found.truncate(options.limit);
    let children = heaviest_dominated(heap);
    found.into_iter().map(|node| row(heap, node, &children)).collect()
}

fn row(heap: &Heap, node: u32, heaviest: &[u32]) -> Holder {
    let trail = heap.trail(node);
    let deep = descend(heap, node, heaviest);
    Holder {
        node,
        kind: trail.holder,
        trail,
        type_name: heap.tables().type_name(node).to_owned(),
        length: heap.length(node),
        elements: elements(heap, node),
        retained: heap.retained(node),
        accumulates: (deep != node).then(|| (heap.trail(deep), heap.retained(deep))),
    }
}

/// Values of module, class, thread-local and frame variables, closures, caches and tasks.
fn candidates(heap: &Heap) -> Vec<u32> {
    heap.order()
        .iter()
        .copied()
        .take_while(|node| heap.region(*node) == Region::Live)
        .filter(|node| heap.is_object(*node) && is_value(heap.kind(*node)) && is_named(heap, *node))
        .collect()
}

/// Code and types are what a program is, not what it holds.
fn is_value(kind: TypeKind) -> bool {
    !matches!(kind, TypeKind::Module | TypeKind::Type | TypeKind::Function | TypeKind::Code | TypeKind::Cell)
}

fn is_named(heap: &Heap, node: u32) -> bool {
    if matches!(heap.kind(node), TypeKind::LruCache | TypeKind::Task | TypeKind::ThreadLocal) {
        return true;
    }
    let Some(above) = heap.trail_parent(node) else {
        return true;
    };
    match heap.kind(above) {
        TypeKind::Dict => is_anchor(heap, above) || in_thread_local(heap, above),
        TypeKind::Cell => true,
        TypeKind::Generator | TypeKind::Coroutine | TypeKind::AsyncGenerator => true,
        TypeKind::Interpreter => !is_anchor(heap, node),
        _ => !heap.is_object(above),
    }
}

/// Whether a dict holds the variables of a `threading.local`.
fn in_thread_local(heap: &Heap, dict: u32) -> bool {
    let mut at = dict;
    for _ in 0..3 {
        match heap.trail_parent(at) {
            Some(above) if is_thread_local(heap, above) => return true,
            Some(above) => at = above,
            None => return false,
        }
    }
    false
}

/// For each node the heaviest of those it dominates; [`NO_NODE`] where there is none.
fn heaviest_dominated(heap: &Heap) -> Vec<u32> {
    let mut heaviest = vec![NO_NODE; heap.n_nodes() as usize];
    for node in 0..heap.n_nodes() {
        if let Some(above) = heap.dominator(node) {
            let slot = &mut heaviest[above as usize];
            if *slot == NO_NODE || heap.retained(node) > heap.retained(*slot) {
                *slot = node;
            }
        }
    }
    heaviest
}

/// Down the dominator tree while one object has most of it; answers the last such.
fn descend(heap: &Heap, node: u32, heaviest: &[u32]) -> u32 {
    let mut at = node;
    for _ in 0..DESCENT_MAX {
        let below = heaviest[at as usize];
        let is_less = |below: u32| {
            let (part, whole) = (u128::from(heap.retained(below)), u128::from(heap.retained(at)));
            part * u128::from(DESCENT_SHARE.1) < whole * u128::from(DESCENT_SHARE.0)
        };
        if below == NO_NODE || is_less(below) {
            break;
        }
        at = below;
    }
    at
}

/// The most frequent types of a container's elements (of a dict's values).
fn elements(heap: &Heap, node: u32) -> Vec<TypeCount> {
    let tables = heap.tables();
    let shape = &tables.shapes[tables.shape[node as usize] as usize];
    let (skip, step) = match shape.tail {
        Tail::Index | Tail::Items => (0, 1),
        Tail::Pairs => (1, 2),
        Tail::None => return Vec::new(),
    };
    let targets = tables.targets(node).iter().skip(shape.labels.len() + skip).step_by(step);
    let targets = targets.copied().filter(|target| *target < heap.n_nodes());
    let mut rows = count_types(heap, targets, usize::MAX);
    rows.sort_by(|a, b| (b.count, b.bytes).cmp(&(a.count, a.bytes)).then_with(|| a.name.cmp(&b.name)));
    rows.truncate(3);
    rows
}

#[cfg(test)]
mod tests {
    use heapray_wire::TypeKind;

    use super::{HolderOptions, holders};
    use crate::synthetic::Builder;
    use crate::{Heap, HolderKind};

    #[test]
    fn places_are_ranked_by_what_they_retain() {
        let mut b = Builder::new();
        let (app, cache, small) = (b.instance("app.App"), b.dict(), b.list(&[]));
        b.attribute(app, "cache", cache);
        for i in 0..100 {
            let value = b.object("bytes", TypeKind::Bytes);
            b.set_item(cache, &format!("k{i}"), value);
        }
        let held = b.object("bytes", TypeKind::Bytes);
        b.bytes(held, 4000);
        let frame = b.frame("thread 1", "main (app.py:3)");
        b.local(frame, "data", held);
        b.bytes(small, 2000);
        b.global("app", "app", app);
        b.global("app", "small", small);
        let heap = Heap::load(b.build());
        let rows = holders(&heap, &HolderOptions { limit: 3, min_bytes: 0 });
        let names: Vec<_> = rows.iter().map(|row| (row.trail.text.as_str(), row.kind)).collect();
        assert_eq!(
            names,
            [
                ("app.app", HolderKind::ModuleGlobal),
                ("local data in main (app.py:3), thread 1", HolderKind::Local),
                ("app.small", HolderKind::ModuleGlobal),
            ]
        );
        let (deep, bytes) = rows[0].accumulates.clone().expect("the cache has most of it");
        assert_eq!((deep.text.as_str(), bytes), ("app.app.cache", 201 * 64));
    }

    #[test]
    fn elements_are_counted_by_type() {
        let mut b = Builder::new();
        let cache = b.dict();
        b.global("app", "cache", cache);
        for i in 0..5 {
            let value = if i == 0 { b.list(&[]) } else { b.object("bytes", TypeKind::Bytes) };
            b.set_item(cache, &format!("k{i}"), value);
        }
        let heap = Heap::load(b.build());
        let rows = holders(&heap, &HolderOptions { limit: 1, min_bytes: 0 });
        let elements: Vec<_> = rows[0].elements.iter().map(|row| (row.name.as_str(), row.count)).collect();
        assert_eq!(elements, [("bytes", 4), ("list", 1)]);
        assert_eq!(rows[0].length, Some(5));
    }
}
