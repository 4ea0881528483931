//! Recursion that makes ever new stacks, as one over a tree does: a depth of n has 2^n of them.
//!
//! Once the tree of stacks is large, frames of one recursion further in than [`FRAMES_MAX`] are put under a mark instead of
//! under their callers. They keep their own place and what they call hangs from them; between them and the mark frames of
//! the same recursion are missing.

use heapray_wire::ring::cells::{CutReason, NO_PARENT};

use crate::stack::threads::Level;
use crate::stack::tree::{Frame, Tree};

/// From so many nodes on a tree is large.
const LARGE_NODES: usize = 1 << 16;
/// Frames of a recursion that stay where they are.
const FRAMES_MAX: u32 = 8;
/// How many Python frames further out the same code is looked for: a function that calls itself by way of more others is
/// not seen to.
const REACH: usize = 4;

/// The next caller of `level` with the same code among its callers (outermost first), and how many Python frames further out it
/// is.
#[inline]
fn caller(outer: &[Level], level: &Level) -> Option<(u32, Level)> {
    let mut callers = outer.iter().rev().filter(|caller| caller.recursion > 0).take(REACH).enumerate();
    let (n_between, caller) = callers.find(|(_, caller)| caller.code == level.code)?;
    Some((n_between as u32 + 1, *caller))
}

/// Where a level's node is to hang.
pub(crate) struct Place {
    pub(crate) parent: u32,
    /// Whether the node of the next frame further out and the level's own place tell this for sure.
    pub(crate) is_certain: bool,
}

/// Where the node of a level is to hang that would hang from `parent`; notes in `level` how deep in a recursion it is.
#[inline]
pub(crate) fn place(tree: &mut Tree, outer: &[Level], level: &mut Level, parent: u32) -> Place {
    let caller = caller(outer, level);
    level.recursion = caller.map_or(1, |(distance, caller)| caller.recursion.saturating_add(distance));
    match caller {
        Some((distance, caller)) if level.recursion > FRAMES_MAX && tree.len() >= LARGE_NODES => {
            Place { parent: mark(tree, &caller).unwrap_or(parent), is_certain: distance == 1 }
        }
        _ => Place { parent, is_certain: true },
    }
}

/// The mark that folded calls of `caller` hang from: the one that it hangs from itself, or a new one.
fn mark(tree: &mut Tree, caller: &Level) -> Option<u32> {
    let is_mark = |frame: &Frame| *frame == Frame::cut(CutReason::Recursion);
    let (above, _) = tree.get(caller.node)?;
    if above != NO_PARENT && tree.get(above).is_some_and(|(_, frame)| is_mark(&frame)) {
        return Some(above);
    }
    tree.child(caller.node, Frame::cut(CutReason::Recursion))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::threads::STALE;
    use heapray_wire::ring::cells::NodeKind;

    /// The levels of a stack of these functions at these places, with their nodes.
    fn stack(tree: &mut Tree, frames: &[(u64, i32)]) -> Vec<Level> {
        let root = Frame { kind: NodeKind::Thread, a: 1, b: 0 };
        let mut node = tree.child(NO_PARENT, root).expect("room");
        let mut levels: Vec<Level> = Vec::new();
        for (code, offset) in frames {
            let mut level = Level { frame: 0, code: *code, instruction: 0, node: STALE, recursion: 0 };
            let under = place(tree, &levels, &mut level, node).parent;
            node = tree.child(under, Frame::python(*code as u32, *offset)).expect("room");
            level.node = node;
            levels.push(level);
        }
        levels
    }

    /// The stack of a node, innermost first: code and offset, or nothing for a mark.
    fn shown(tree: &Tree, mut node: u32) -> Vec<Option<(u64, i32)>> {
        let mut out = Vec::new();
        while let Some((parent, frame)) = tree.get(node) {
            match frame.kind {
                NodeKind::Python => out.push(Some((frame.a, frame.b))),
                NodeKind::Cut => out.push(None),
                _ => {}
            }
            node = parent;
        }
        out
    }

    /// Numbers of a fixed sequence below `n`.
    fn dice(state: &mut u64, n: u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*state >> 33) % n
    }

    #[test]
    fn a_small_tree_keeps_every_frame() {
        let mut tree = Tree::new();
        let frames: Vec<_> = (0..300).map(|n| (7, n % 2)).collect();
        let levels = stack(&mut tree, &frames);
        let leaf = levels.last().expect("some").node;
        assert_eq!(levels.last().expect("some").recursion, 300);
        assert_eq!(shown(&tree, leaf).len(), 300);
    }

    #[test]
    fn a_large_tree_stops_growing() {
        for circle in 1..=REACH as u64 {
            let mut tree = Tree::new();
            let mut state = 3;
            let mut sizes = Vec::new();
            for _ in 0..40 {
                for _ in 0..2000 {
                    let deep = (0..60).map(|n| (n % circle, dice(&mut state, 2) as i32));
                    let frames: Vec<_> =
                        [(90, 0), (91, 0)].into_iter().chain(deep).chain([(92, 5)]).collect();
                    let levels = stack(&mut tree, &frames);
                    let stack = shown(&tree, levels.last().expect("some").node);
                    // Right at both ends, and what is missing is marked.
                    assert_eq!(stack[..2], [Some((92, 5)), Some(frames[frames.len() - 2])]);
                    let marked = stack.iter().position(Option::is_none).unwrap_or(0);
                    let outer: Vec<_> = stack[marked + 1..].iter().rev().copied().collect();
                    let expected: Vec<_> = frames.iter().copied().map(Some).collect();
                    if marked > 0 && circle == 1 {
                        assert_eq!(outer[..], expected[..outer.len()]);
                    }
                }
                sizes.push(tree.len());
            }
            assert!(tree.len() < 4 * LARGE_NODES, "{circle}: {sizes:?}");
            assert_eq!(sizes[20..].iter().min(), sizes[20..].iter().max(), "{circle}");
        }
    }
}
