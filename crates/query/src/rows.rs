//! The rows that several answers share, from nodes of the graph.

use crate::answer::{ObjectRow, Trail, TrailObject, TypeShare};
use crate::words;
use heapray_heap::{Heap, Region, TypeCount};
use heapray_wire::NodeFlags;

/// Objects listed at each end of a long trail.
const TRAIL_ENDS: usize = 16;

/// How an object is called on the command line and in answers: its address; `#12` where it has none.
pub(crate) fn object_name(heap: &Heap, node: u32) -> String {
    if heap.is_object(node) { format!("{:#x}", heap.tables().address(node)) } else { format!("#{node}") }
}

/// All about one object.
pub(crate) fn object(heap: &Heap, node: u32) -> ObjectRow {
    let tables = heap.tables();
    let counted = heap.is_object(node) && !tables.flags[node as usize].has(NodeFlags::IMMORTAL);
    ObjectRow {
        object: object_name(heap, node),
        type_name: tables.type_name(node).to_owned(),
        name: tables.name(node).map(str::to_owned),
        length: heap.length(node),
        refcount: counted.then(|| tables.refcount[node as usize]),
        shallow_bytes: tables.shallow(node),
        block_bytes: tables.block(node),
        retained_bytes: heap.retained(node),
        trail: (heap.region(node) == Region::Live).then(|| heap.trail(node).text),
    }
}

/// A trail with its objects.
pub(crate) fn trail(heap: &Heap, trail: &heapray_heap::Trail) -> Trail {
    let nodes = &trail.nodes;
    let shown: Vec<u32> = if nodes.len() <= 2 * TRAIL_ENDS {
        nodes.clone()
    } else {
        [&nodes[..TRAIL_ENDS], &nodes[nodes.len() - TRAIL_ENDS..]].concat()
    };
    Trail {
        expression: trail.text.clone(),
        root: words::root(trail.root).to_owned(),
        holder: words::holder(trail.holder).to_owned(),
        steps: trail.steps.clone(),
        objects: shown.into_iter().map(|node| trail_object(heap, node)).collect(),
        n_objects: nodes.len() as u64,
    }
}

fn trail_object(heap: &Heap, node: u32) -> TrailObject {
    TrailObject {
        object: object_name(heap, node),
        type_name: heap.tables().type_name(node).to_owned(),
        name: heap.tables().name(node).map(str::to_owned),
        retained_bytes: heap.retained(node),
    }
}

/// Counts by type.
pub(crate) fn types(counts: &[TypeCount]) -> Vec<TypeShare> {
    counts.iter().map(|t| TypeShare { name: t.name.clone(), count: t.count, bytes: t.bytes }).collect()
}

/// Part of a whole, 0 to 1; 0 where there is no whole.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64).clamp(0.0, 1.0) }
}
