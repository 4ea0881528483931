//! Where a trail needs no further cutting: modules, types, frames and other roots that a program does not let go.

use heapray_wire::TypeKind;

use crate::Heap;

/// Whether a node holds by its nature: to free what it holds, one cuts below it, not above.
pub(crate) fn is_anchor(heap: &Heap, node: u32) -> bool {
    match heap.kind(node) {
        TypeKind::Module | TypeKind::Type => true,
        TypeKind::Dict => heap.trail_parent(node).is_some_and(|above| {
            matches!(heap.kind(above), TypeKind::Module | TypeKind::Type | TypeKind::Interpreter)
                && heap.graph().holders(node).contains(&above)
                && is_own_dict(heap, above, node)
        }),
        _ => !heap.is_object(node),
    }
}

/// Whether `dict` is the namespace of `owner`, or the interpreter's table of modules.
fn is_own_dict(heap: &Heap, owner: u32, dict: u32) -> bool {
    let step = crate::step::between(heap, owner, dict);
    heap.kind(owner) == TypeKind::Interpreter || crate::step::is_namespace(heap, &step)
}

/// The outermost dominator of a node below all anchors; the node itself where nothing below them dominates it.
pub(crate) fn outermost(heap: &Heap, node: u32) -> u32 {
    let mut at = node;
    while let Some(above) = heap.dominator(at) {
        if is_anchor(heap, above) {
            break;
        }
        at = above;
    }
    at
}

/// The nearest node that dominates all of `nodes` or is the only one of them; none where only several roots do.
/// O(distinct nodes between them and it).
pub(crate) fn common_dominator(heap: &Heap, nodes: &[u32]) -> Option<u32> {
    let (&first, rest) = nodes.split_first()?;
    let cost = |node: u32| heap.tree.cost[node as usize];
    let mut below = vec![0u64; heap.n_nodes() as usize / 64 + 1];
    let mut common = first;
    for &node in rest {
        let mut at = node;
        while at != common {
            // The dearer one is not above the other, so it climbs.
            if cost(at) >= cost(common) {
                let (word, bit) = (at as usize / 64, 1 << (at % 64));
                if below[word] & bit != 0 {
                    break;
                }
                below[word] |= bit;
                at = heap.dominator(at)?;
            } else {
                below[common as usize / 64] |= 1 << (common % 64);
                common = heap.dominator(common)?;
            }
        }
    }
    Some(common)
}

/// Sum of the retained sizes of those nodes that none of the others dominates. `nodes` has no repeats.
/// O(distinct nodes between them and their roots).
pub(crate) fn retained_together(heap: &Heap, nodes: &[u32]) -> Vec<u64> {
    const FREE: u8 = 1;
    const UNDER: u8 = 2;
    if let [node] = nodes {
        return vec![heap.retained(*node)];
    }
    let mut state = vec![0u8; heap.n_nodes() as usize];
    let mut is_member = vec![0u64; heap.n_nodes() as usize / 64 + 1];
    nodes.iter().for_each(|node| is_member[*node as usize / 64] |= 1 << (node % 64));
    let member = |node: u32| is_member[node as usize / 64] >> (node % 64) & 1 == 1;
    let mut path = Vec::new();
    let mut sums = Vec::with_capacity(nodes.len());
    for &node in nodes {
        // State of a node: whether a member is above or at it.
        let mut at = heap.dominator(node);
        let answer = loop {
            match at {
                None => break FREE,
                Some(above) if state[above as usize] != 0 => break state[above as usize],
                Some(above) if member(above) => break UNDER,
                Some(above) => {
                    path.push(above);
                    at = heap.dominator(above);
                }
            }
        };
        path.drain(..).for_each(|above| state[above as usize] = answer);
        sums.push(if answer == FREE { heap.retained(node) } else { 0 });
    }
    sums
}
