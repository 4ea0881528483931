//! From growth at thousands of objects to the few places that a person would name.
//!
//! Walks down from the roots along the growth. In something with named slots (a module, class, instance, frame)
//! each slot is a place of its own; in a container, growth that splits over many elements belongs to the container.
//! It does not judge a place: rules do.

use crate::growth::Growth;
use crate::history::{History, Snap};
use crate::steady::Series;
use crate::trail::{edge_between, slot_name};
use crate::tree::{kind, parent, under, weight};
use heapray_wire::{NO_NODE, TypeKind};
use std::collections::BTreeMap;

/// A place where held memory grows.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The object that holds: in the last snapshot.
    pub(crate) node: u32,
    /// The named slot of it that grows, where it is one.
    pub(crate) slot: Option<Slot>,
    /// Bytes over time.
    pub(crate) bytes: Series,
    /// Objects over time.
    pub(crate) count: Series,
}

/// What a node holds under one name: an attribute, a variable, or several C fields of one name (callbacks).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Its name.
    pub(crate) name: String,
    /// The largest new thing there, in the last snapshot.
    pub(crate) child: u32,
}

impl Place {
    /// The deepest node that stands for the place.
    pub(crate) fn target(&self) -> u32 {
        self.slot.as_ref().map_or(self.node, |slot| slot.child)
    }

    /// The tops of what is at the place in snapshot `k`; nothing where the place was not there.
    pub(crate) fn tops(&self, history: &History<'_>, k: usize) -> Vec<u32> {
        match (&self.slot, history.in_snap(k, self.node)) {
            (Some(slot), Some(then)) => in_slot(&history.snaps[k], then, &slot.name),
            (None, Some(then)) => vec![then],
            (_, None) => Vec::new(),
        }
    }
}

/// New things in one slot.
#[derive(Clone, Copy, Debug, Default)]
struct NewInSlot {
    bytes: u64,
    largest: u32,
    largest_bytes: u64,
}

impl NewInSlot {
    fn add(&mut self, child: u32, bytes: u64) {
        self.bytes += bytes;
        if bytes > self.largest_bytes {
            (self.largest, self.largest_bytes) = (child, bytes);
        }
    }
}

/// What a node holds under a name, as far as the tree of trails has it there.
fn in_slot(snap: &Snap<'_>, node: u32, name: &str) -> Vec<u32> {
    let targets = snap.tables.targets(node);
    let is_it = |at: &usize| {
        parent(snap.heap, targets[*at]) == node
            && slot_name(snap.tables, node, *at as u32).as_deref() == Some(name)
    };
    let mut found: Vec<u32> = (0..targets.len()).filter(is_it).map(|at| targets[at]).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Growth below this part of all growth is not followed.
const PART: f64 = 0.02;
/// Bytes below which nothing is followed.
const BYTES: i64 = 1024;
/// The part that one element must have for a container not to be the place itself.
const BIG_DROP: f64 = 0.7;
/// The part of a node's own growth that a slot must have to be a place.
const SLOT: f64 = 0.2;
/// Most places.
const PLACES: usize = 64;

/// All places where held memory grows, most bytes first.
pub(crate) fn places(history: &History<'_>, growth: &Growth) -> Vec<Place> {
    let held = history.last().held();
    let is_top = |node: &&u32| history.is_persistent(**node) && growth.above(**node) == NO_NODE;
    let tops: Vec<u32> = held.iter().filter(is_top).copied().collect();
    let all: i64 = tops.iter().map(|node| growth.total(*node).bytes).sum();
    let least = BYTES.max((all as f64 * PART) as i64);
    let mut below: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for node in held {
        let counts = history.is_persistent(*node) && growth.total(*node).bytes >= least;
        if counts && growth.above(*node) != NO_NODE {
            below.entry(growth.above(*node)).or_default().push(*node);
        }
    }
    let mut walk = Walk { history, growth, below, least, found: Vec::new() };
    let mut waiting: Vec<u32> = tops.into_iter().filter(|node| growth.total(*node).bytes >= least).collect();
    while let Some(node) = waiting.pop() {
        waiting.extend(walk.visit(node));
    }
    let mut found = walk.found;
    found.sort_by(|a, b| b.bytes.gain().total_cmp(&a.bytes.gain()).then(a.node.cmp(&b.node)));
    found.truncate(PLACES);
    found
}

/// The place that has most of what is new in the last snapshot, whatever it had before.
pub(crate) fn with_most_new(
    history: &History<'_>,
    growth: &Growth,
    series: (Series, Series),
) -> Option<Place> {
    let last = history.last();
    let mut new: BTreeMap<u32, u64> = BTreeMap::new();
    for &node in last.held().iter().filter(|node| !history.is_persistent(**node)) {
        if growth.above(node) != NO_NODE {
            *new.entry(growth.above(node)).or_default() += weight(last.tables, node);
        }
    }
    let (&node, _) = new.iter().max_by_key(|(node, bytes)| (**bytes, std::cmp::Reverse(**node)))?;
    let mut slots: BTreeMap<String, NewInSlot> = BTreeMap::new();
    for (at, &child) in (0..).zip(last.tables.targets(node)) {
        if parent(last.heap, child) == node
            && !history.is_persistent(child)
            && let Some(name) = slot_name(last.tables, node, at)
        {
            slots.entry(name).or_default().add(child, last.sizes.bytes[child as usize]);
        }
    }
    let largest = slots.into_iter().max_by_key(|(_, new)| new.bytes).filter(|_| has_slots(history, node));
    let slot = largest.map(|(name, new)| Slot { name, child: new.largest });
    Some(Place { node, slot, bytes: series.0, count: series.1 })
}

struct Walk<'a, 'h> {
    history: &'a History<'h>,
    growth: &'a Growth,
    below: BTreeMap<u32, Vec<u32>>,
    least: i64,
    found: Vec<Place>,
}

impl Walk<'_, '_> {
    /// Finds what grows at `node` itself; answers where to go on.
    fn visit(&mut self, node: u32) -> Vec<u32> {
        let mut next = self.below.remove(&node).unwrap_or_default();
        next.sort_by_key(|child| (std::cmp::Reverse(self.growth.total(*child).bytes), *child));
        let own = self.growth.own(node).bytes;
        let total = self.growth.total(node).bytes;
        if has_slots(self.history, node) {
            if own >= self.least {
                self.add_slots(node);
            }
            return next;
        }
        let biggest = next.first().map_or(0, |child| self.growth.total(*child).bytes);
        if biggest as f64 >= BIG_DROP * total as f64 {
            return next;
        }
        if self.growth.total(node).bytes >= self.least {
            self.add_whole(node);
        }
        Vec::new()
    }

    /// The container itself: all growth below it belongs to it.
    fn add_whole(&mut self, node: u32) {
        let under = under(self.history.last().heap, &[node]);
        let places: Vec<bool> = (0..under.len())
            .map(|at| {
                under[at] && self.growth.own(at as u32).count >= 0 && self.growth.own(at as u32).bytes > 0
            })
            .collect();
        let (bytes, count) = self.growth.series(self.history, &places);
        self.found.push(Place { node, slot: None, bytes, count });
    }

    /// What is new directly under a node with named slots, slot by slot.
    fn add_slots(&mut self, node: u32) {
        let tables = self.history.last().tables;
        let heap = self.history.last().heap;
        let sizes = &self.history.last().sizes;
        let own = self.growth.own(node).bytes as f64;
        let mut slots: BTreeMap<String, NewInSlot> = BTreeMap::new();
        for (at, &child) in (0..).zip(tables.targets(node)) {
            if parent(heap, child) != node || self.history.is_persistent(child) {
                continue;
            }
            if let Some(name) = slot_name(tables, node, at) {
                slots.entry(name).or_default().add(child, sizes.bytes[child as usize]);
            }
        }
        slots.retain(|_, new| new.bytes as f64 >= SLOT * own);
        let mut found = Vec::new();
        for (name, new) in slots {
            let (bytes, count) = self.slot_series(node, &name);
            if bytes.gain() >= SLOT * own {
                found.push(Place { node, slot: Some(Slot { name, child: new.largest }), bytes, count });
            }
        }
        let explained: f64 = found.iter().map(|place| place.bytes.gain()).sum();
        self.found.append(&mut found);
        if explained < 0.5 * own {
            self.add_own(node);
        }
    }

    fn add_own(&mut self, node: u32) {
        let mut places = vec![false; self.history.last().tables.n_nodes() as usize];
        places[node as usize] = true;
        let (bytes, count) = self.growth.series(self.history, &places);
        self.found.push(Place { node, slot: None, bytes, count });
    }

    /// The subtrees under the slot of that name in each snapshot; nothing where it is not there.
    fn slot_series(&self, node: u32, name: &str) -> (Series, Series) {
        let tops = |k: usize| {
            let then = self.history.in_snap(k, node);
            then.map_or(Vec::new(), |then| in_slot(&self.history.snaps[k], then, name))
        };
        let tops: Vec<Vec<u32>> = (0..self.history.len()).map(tops).collect();
        let sum =
            |k: usize, of: &dyn Fn(usize) -> f64| tops[k].iter().map(|top| of(*top as usize)).sum::<f64>();
        let snaps = &self.history.snaps;
        let bytes = self.history.series(|k| sum(k, &|top| snaps[k].sizes.bytes[top] as f64));
        let count = self.history.series(|k| sum(k, &|top| f64::from(snaps[k].sizes.count[top])));
        (bytes, count)
    }
}

/// Whether the references of a node are slots with names, each a place of its own.
pub(crate) fn has_slots(history: &History<'_>, node: u32) -> bool {
    let tables = history.last().tables;
    match kind(tables, node) {
        TypeKind::Dict => is_namespace(history, node),
        TypeKind::List
        | TypeKind::Tuple
        | TypeKind::Set
        | TypeKind::Deque
        | TypeKind::Array
        | TypeKind::LruCache
        | TypeKind::Bytes
        | TypeKind::Str
        | TypeKind::NativeBlock
        | TypeKind::UnknownHolder => false,
        _ => true,
    }
}

/// Whether a dict is the `__dict__` of a module, class or instance, or `sys.modules`.
fn is_namespace(history: &History<'_>, node: u32) -> bool {
    let tables = history.last().tables;
    let parent = parent(history.last().heap, node);
    if parent == NO_NODE {
        return false;
    }
    let label = edge_between(tables, parent, node).map(|at| tables.label(parent, at));
    let is_field = label.is_some_and(|label| label.kind == heapray_wire::LabelKind::Field);
    let field = label.map_or("", |label| tables.string(label.name));
    is_field && (field.contains("dict") || field.ends_with("modules"))
}
