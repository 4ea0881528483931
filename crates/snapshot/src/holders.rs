//! Names what C code holds: objects with more references than the graph explains, and where in memory a pointer
//! to them lies.
//!
//! All writable memory is read once. A pointer in a library's static data, in a block that is no object, or in the
//! live part of a C stack names a holder; a stale pointer in free memory or below a stack pointer does not. What no
//! pointer leads to, and no object refers to, is a lost reference.

use crate::census::{Place as BlockPlace, is_anonymous};
use crate::emit::{Emitter, IMMORTAL, Place};
use crate::node::NodeEdges;
use crate::{StoppedThread, Summary};
use heapray_cpython::object::{own_bytes, references};
use heapray_cpython::{Label, Memory, Region, Sink, Strength};
use heapray_wire::{NodeFlags, Tail, TypeKind};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Pointers kept for one object at most.
const HITS_MAX: usize = 16;
/// Distinct holders by name before further ones share a node.
const HOLDERS_MAX: usize = 4096;

/// What a pointer was found in, best evidence first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Static(String),
    Inside(String),
    Block(u64),
    Anonymous,
    Stack(u32),
    /// A frame's memory or the like: it holds, but another node says so, or nobody can be named.
    Unnamed,
}

struct Wanted {
    node: u32,
    excess: u32,
    in_degree: u32,
    hits: Vec<Holder>,
}

/// The outside of the target, as far as naming needs it.
pub(crate) struct Outside<'a> {
    pub(crate) regions: &'a [Region],
    pub(crate) threads: &'a [StoppedThread],
    pub(crate) name_of: &'a dyn Fn(u64) -> Option<String>,
}

/// Writes holder nodes, and answers the flags of objects that are roots or lost.
pub(crate) fn write<M: Memory>(
    emitter: &mut Emitter<'_>,
    place: &mut Place<'_, M>,
    outside: &Outside<'_>,
    summary: &mut Summary,
) -> Vec<(u32, NodeFlags)> {
    let mut flags = Vec::new();
    let mut wanted = unexplained(emitter, place, &mut flags, summary);
    scan(place, outside, &mut wanted);
    let mut wanted: Vec<Wanted> = wanted.into_values().collect();
    wanted.sort_unstable_by_key(|one| one.node);
    let mut holders: BTreeMap<Holder, Vec<u32>> = BTreeMap::new();
    for one in &mut wanted {
        one.hits.sort_unstable();
        one.hits.truncate(one.excess as usize);
        let is_lost = one.hits.is_empty() && one.in_degree == 0;
        summary.lost_objects += u64::from(is_lost);
        let bits = if is_lost { NodeFlags::ORPHAN | NodeFlags::ROOT } else { NodeFlags::ROOT };
        let named = one.hits.iter().filter(|hit| **hit != Holder::Unnamed).count();
        if named < one.excess as usize {
            flags.push((one.node, NodeFlags(bits)));
        }
        for hit in one.hits.drain(..).filter(|hit| *hit != Holder::Unnamed) {
            let shared = holders.len() >= HOLDERS_MAX && !holders.contains_key(&hit);
            holders.entry(if shared { Holder::Anonymous } else { hit }).or_default().push(one.node);
        }
    }
    for (holder, targets) in holders {
        write_holder(emitter, place, &holder, &targets);
    }
    flags.sort_unstable_by_key(|(node, _)| *node);
    flags
}

/// Objects with more references than found, by address; immortal and static ones become roots at once.
fn unexplained<M: Memory>(
    emitter: &Emitter<'_>,
    place: &mut Place<'_, M>,
    flags: &mut Vec<(u32, NodeFlags)>,
    summary: &mut Summary,
) -> FxHashMap<u64, Wanted> {
    let mut wanted = FxHashMap::default();
    let (mut members, mut node) = (Vec::new(), 0_u32);
    for leaf in 0..place.found.objects.n_leaves() {
        members.clear();
        place.found.objects.leaf_members(leaf, &mut members);
        for &address in &members {
            let (count, in_degree) = (emitter.refcounts[node as usize], emitter.in_degree[node as usize]);
            if count == IMMORTAL {
                flags.push((node, NodeFlags(NodeFlags::ROOT)));
            } else {
                summary.references += u64::from(count);
                summary.explained += u64::from(count.min(in_degree));
                summary.over_explained += u64::from(in_degree.saturating_sub(count));
                if count > in_degree {
                    summary.unexplained_objects += 1;
                    wanted.insert(
                        address,
                        Wanted { node, excess: count - in_degree, in_degree, hits: Vec::new() },
                    );
                }
            }
            node += 1;
        }
    }
    wanted
}

fn scan<M: Memory>(place: &mut Place<'_, M>, outside: &Outside<'_>, wanted: &mut FxHashMap<u64, Wanted>) {
    let Some(low) = wanted.keys().min().copied() else { return };
    let high = wanted.keys().max().copied().unwrap_or(low);
    let mut filter = crate::bitmap::Bitmap::new();
    wanted.keys().for_each(|address| {
        filter.insert(*address);
    });
    const STEP: u64 = 1 << 20;
    let mut hits = Vec::new();
    let is_data = |region: &&Region| region.read && region.write && !region.path.starts_with("/dev/");
    for region in outside.regions.iter().filter(is_data) {
        let mut at = region.start;
        while at < region.end {
            let n = (region.end - at).min(STEP) / 8;
            let mut word_at = at;
            place.memory.words(at, n, |word| {
                if word >= low && word <= high && filter.contains(word) {
                    hits.push((word_at, word));
                }
                word_at += 8;
            });
            at += STEP;
            for (from, target) in hits.drain(..) {
                if let Some(one) = wanted.get_mut(&target)
                    && one.hits.len() < HITS_MAX
                    && let Some(holder) = classify(place, outside, region, (from, target))
                {
                    one.hits.push(holder);
                }
            }
            place.memory.trim();
        }
    }
}

/// What the pointer at `from` is part of; `None` where it holds nothing or is known already.
fn classify<M: Memory>(
    place: &Place<'_, M>,
    outside: &Outside<'_>,
    region: &Region,
    (from, target): (u64, u64),
) -> Option<Holder> {
    let memory = &*place.memory;
    let at = place.found.objects.last_before(from.saturating_sub(1 << 16), from + 8);
    match place.census.place(memory, from) {
        BlockPlace::Free => return None,
        BlockPlace::Block(start, bytes) => {
            let owner = at.filter(|object| *object >= start);
            return match owner {
                Some(object) => inside(place, object, (from, target)),
                None if place.found.blocks.contains(start) => None,
                None => Some(Holder::Block(bytes)),
            };
        }
        BlockPlace::Elsewhere => {}
    }
    let is_static = place.statics.iter().any(|(start, end)| (*start..*end).contains(&from));
    if is_static {
        if let Some(object) = at
            && let Some(type_idx) = place.found.types.known(memory, object)
        {
            let info = place.found.types.get(type_idx);
            if from < object + own_bytes(memory, place.rt, info, object) {
                return inside(place, object, (from, target));
            }
        }
        let name = (outside.name_of)(from).unwrap_or_else(|| "static memory".to_owned());
        return Some(Holder::Static(name));
    }
    let thread =
        outside.threads.iter().find(|thread| (region.start..region.end).contains(&thread.stack_pointer));
    match thread {
        Some(thread) if from < thread.stack_pointer => None,
        Some(thread) => Some(Holder::Stack(thread.tid)),
        None if is_anonymous(region) => Some(Holder::Unnamed),
        None => Some(Holder::Anonymous),
    }
}

/// A pointer inside an object: new only where its reader did not report it.
fn inside<M: Memory>(place: &Place<'_, M>, object: u64, (from, target): (u64, u64)) -> Option<Holder> {
    let type_idx = place.found.types.known(&*place.memory, object)?;
    let info = place.found.types.get(type_idx);
    if from < object + 16 || info.address == target {
        return None;
    }
    let mut sink = Reports { target, found: false };
    references(&*place.memory, place.rt, info, object, &mut sink);
    (!sink.found).then(|| Holder::Inside(format!("inside a {} at +{}", info.name, from - object)))
}

struct Reports {
    target: u64,
    found: bool,
}

impl Sink for Reports {
    fn edge(&mut self, target: u64, _label: Label, _strength: Strength) {
        self.found |= target == self.target;
    }

    fn block(&mut self, _addr: u64, _bytes: u64) {}
}

fn write_holder<M: Memory>(
    emitter: &mut Emitter<'_>,
    place: &mut Place<'_, M>,
    holder: &Holder,
    targets: &[u32],
) {
    let (kind, name) = match holder {
        Holder::Static(name) => (TypeKind::NativeStatic, name.clone()),
        Holder::Inside(name) => (TypeKind::NativeBlock, name.clone()),
        Holder::Block(bytes) => (TypeKind::NativeBlock, format!("native blocks of {bytes} bytes")),
        Holder::Anonymous => (TypeKind::NativeBlock, "native memory".to_owned()),
        Holder::Stack(tid) => (TypeKind::NativeStack, format!("C stack of thread {tid}")),
        Holder::Unnamed => return,
    };
    let mut edges = NodeEdges::default();
    edges.tail = Some(Tail::Items);
    edges.tail_targets.extend_from_slice(targets);
    emitter.synthetic(place, kind, &name, &edges);
}
