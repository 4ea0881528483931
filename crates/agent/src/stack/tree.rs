//! The tree of stacks: every chain of frames that was seen once, as nodes that know their parents.
//!
//! Ids begin at 1, never change and are never used twice. The tree is bounded: where half of it is taken, new native frames are left
//! out, and where it is full, a stack is its thread and a cut. What the collector has been told is remembered for each ring, so that a
//! forked child tells it again.

use heapray_wire::ring::cells::{CutReason, NO_PARENT, NodeKind};

use crate::stack::array::Array;
use crate::stack::index::{Index, hash};

/// Most nodes: 32 MiB of nodes, 8 MiB of what was told, 16 MiB of index at most.
const NODES_MAX: usize = 1 << 21;

/// From here on no native frames are added: they are most of the nodes, and Python frames say more.
const NATIVE_MAX: usize = NODES_MAX / 2;

/// Of these, kept for threads and cuts, so that a full tree can still say so.
const NODES_RESERVED: usize = 1 << 12;

/// What a node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: NodeKind,
    /// First datum of the kind, 56 bits.
    pub(crate) a: u64,
    /// Second datum of the kind.
    pub(crate) b: i32,
}

impl Frame {
    /// What is above is missing.
    pub(crate) const fn cut(reason: CutReason) -> Frame {
        Frame { kind: NodeKind::Cut, a: reason as u64, b: 0 }
    }

    /// The native part is missing from here on.
    pub(crate) const fn native_cut(reason: CutReason) -> Frame {
        Frame { kind: NodeKind::NativeCut, a: reason as u64, b: 0 }
    }

    /// A native thread was started here.
    pub(crate) const fn start(is_direct: bool) -> Frame {
        Frame { kind: NodeKind::Start, a: !is_direct as u64, b: 0 }
    }

    /// A Python frame at a byte offset of its code, -1 where it has not begun.
    pub(crate) const fn python(code: u32, offset: i32) -> Frame {
        Frame { kind: NodeKind::Python, a: code as u64, b: offset }
    }
}

#[derive(Clone, Copy)]
struct Node {
    /// Kind in the upper 8 bits, first datum below.
    word: u64,
    parent: u32,
    b: i32,
}

/// See the module.
pub(crate) struct Tree {
    nodes: Array<Node>,
    index: Index,
    /// For each node the ring that it was told to.
    told: Array<u32>,
    ring: u32,
}

impl Tree {
    /// A tree of nothing.
    pub(crate) const fn new() -> Tree {
        Tree { nodes: Array::new(), index: Index::new(), told: Array::new(), ring: 1 }
    }

    /// Number of nodes.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Forgets what the collector has been told.
    pub(crate) fn begin_ring(&mut self) {
        self.ring = self.ring.wrapping_add(1).max(1);
    }

    /// The node of `frame` under `parent`; `None` where the tree is full or there is no memory.
    #[inline]
    pub(crate) fn child(&mut self, parent: u32, frame: Frame) -> Option<u32> {
        let node = Node { word: (frame.kind as u64) << 56 | frame.a, parent, b: frame.b };
        let nodes = self.nodes.as_slice();
        let is_it = |number: u32| {
            let there = &nodes[number as usize];
            there.word == node.word && there.parent == node.parent && there.b == node.b
        };
        match self.index.find(hash_of(&node), is_it) {
            Some(number) => Some(number + 1),
            None => self.add(node, frame.kind),
        }
    }

    /// The node that stands for native frames under `node` which are left out; `node` itself where it is one, or there is no room.
    #[cold]
    pub(crate) fn without_native(&mut self, node: u32) -> u32 {
        let cut = Frame::native_cut(CutReason::TreeFull);
        match self.get(node) {
            Some((_, frame)) if frame == cut => node,
            _ => self.child(node, cut).unwrap_or(node),
        }
    }

    fn add(&mut self, node: Node, kind: NodeKind) -> Option<u32> {
        let limit = match kind {
            NodeKind::Thread | NodeKind::Cut | NodeKind::Tag => NODES_MAX,
            NodeKind::Native => NATIVE_MAX,
            _ => NODES_MAX - NODES_RESERVED,
        };
        let number = self.nodes.len();
        if number >= limit || !self.told.push(0) {
            return None;
        }
        if !self.nodes.push(node) {
            self.told.truncate(number);
            return None;
        }
        let nodes = self.nodes.as_slice();
        if !self.index.insert(number as u32, |number| hash_of(&nodes[number as usize])) {
            self.nodes.truncate(number);
            self.told.truncate(number);
            return None;
        }
        Some(number as u32 + 1)
    }

    /// Where `node` hangs ([`NO_PARENT`] for a thread), and what it is; `None` where there is no such node.
    pub(crate) fn get(&self, node: u32) -> Option<(u32, Frame)> {
        let found = self.nodes.as_slice().get((node as usize).checked_sub(1)?)?;
        let kind = NodeKind::from_number((found.word >> 56) as u32)?;
        Some((found.parent, Frame { kind, a: found.word & ((1 << 56) - 1), b: found.b }))
    }

    /// Whether the collector has been told of `node` in this ring.
    pub(crate) fn is_told(&self, node: u32) -> bool {
        let told = (node as usize).checked_sub(1).and_then(|number| self.told.as_slice().get(number));
        told == Some(&self.ring)
    }

    /// Remembers that it has.
    pub(crate) fn set_told(&mut self, node: u32) {
        let ring = self.ring;
        let told = (node as usize).checked_sub(1).and_then(|number| self.told.as_mut_slice().get_mut(number));
        if let Some(told) = told {
            *told = ring;
        }
    }

    /// Writes `leaf` and those above it that the collector does not know into `path`, from the leaf on; whether there was
    /// memory.
    pub(crate) fn untold(&self, leaf: u32, path: &mut Array<u32>) -> bool {
        path.truncate(0);
        let mut node = leaf;
        while node != NO_PARENT && !self.is_told(node) {
            let Some((parent, _)) = self.get(node) else { return false };
            if !path.push(node) {
                return false;
            }
            node = parent;
        }
        true
    }
}

#[inline]
fn hash_of(node: &Node) -> u64 {
    hash(node.word, u64::from(node.parent) << 32 | u64::from(node.b.cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(tid: u64) -> Frame {
        Frame { kind: NodeKind::Thread, a: tid, b: 0 }
    }

    #[test]
    fn equal_chains_are_one_chain() {
        let mut tree = Tree::new();
        let root = tree.child(NO_PARENT, thread(7)).expect("room");
        let a = tree.child(root, Frame::python(1, 10)).expect("room");
        let b = tree.child(a, Frame::python(1, 10)).expect("room");
        let c = tree.child(a, Frame::python(1, -1)).expect("room");
        assert_eq!([root, a, b, c], [1, 2, 3, 4]);
        assert_eq!(tree.child(a, Frame::python(1, -1)), Some(c));
        assert_eq!(tree.get(c), Some((a, Frame::python(1, -1))));
        assert_eq!((tree.get(0), tree.get(5)), (None, None));
    }

    #[test]
    fn what_was_told_is_forgotten_with_the_ring() {
        let mut tree = Tree::new();
        let root = tree.child(NO_PARENT, thread(7)).expect("room");
        let leaf = tree.child(root, Frame::cut(CutReason::Torn)).expect("room");
        let mut path = Array::new();
        assert!(tree.untold(leaf, &mut path));
        assert_eq!(path.as_slice(), [leaf, root]);
        tree.set_told(root);
        assert!(tree.untold(leaf, &mut path));
        assert_eq!(path.as_slice(), [leaf]);
        tree.begin_ring();
        assert!(tree.untold(leaf, &mut path));
        assert_eq!(path.as_slice(), [leaf, root]);
    }

    #[test]
    fn a_full_tree_still_has_room_for_cuts() {
        let mut tree = Tree::new();
        let root = tree.child(NO_PARENT, thread(7)).expect("room");
        let mut last = root;
        let mut n = 0;
        while let Some(node) = tree.child(last, Frame::python(n, 0)) {
            last = if n % 100 == 0 { root } else { node };
            n += 1;
        }
        assert_eq!(tree.len(), NODES_MAX - NODES_RESERVED);
        assert!(tree.child(root, Frame::cut(CutReason::TreeFull)).is_some());
        assert_eq!(tree.child(root, Frame::python(0, 0)), Some(root + 1));
    }
    #[test]
    fn native_frames_leave_half_of_the_tree_to_others() {
        let native = |at: usize| Frame { kind: NodeKind::Native, a: at as u64, b: 0 };
        let mut tree = Tree::new();
        let root = tree.child(NO_PARENT, thread(7)).expect("room");
        let last = (0..).take_while(|at| tree.child(root, native(*at)).is_some()).count();
        assert_eq!((tree.len(), last), (NATIVE_MAX, NATIVE_MAX - 1));
        let cut = tree.without_native(root);
        assert_ne!(cut, root);
        assert_eq!((tree.without_native(cut), tree.without_native(root)), (cut, cut));
        // What is there is found, and Python goes on.
        assert_eq!(tree.child(root, native(0)), Some(root + 1));
        assert!(tree.child(cut, Frame::python(1, 2)).is_some());
    }
}
