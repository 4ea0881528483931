//! Where native threads were started: the frames that their stacks hang from, with a mark between.
//!
//! Who creates a thread notes its own stack under the new thread's pointer and the kernel's id, so that a later thread at the
//! same place does not take it for its own. What a thread works for is not known, and is not claimed: a pool's threads were
//! started by whoever needed them first.
//!
//! Unsafe: leave to read the interpreter's structures, as in [`crate::stack`].
#![allow(unsafe_code)]

use heapray_wire::ring::cells::{CutReason, NO_PARENT, NodeKind, UNKNOWN_NODE};

use crate::emit::Emit;
use crate::kernel;
use crate::stack::array::Array;
use crate::stack::index::hash;
use crate::stack::peek::Peek;
use crate::stack::python::Holds;
use crate::stack::threads::{Origin, STALE, Start, Thread};
use crate::stack::tree::Frame;
use crate::stack::{Places, Stacks};

/// Threads of which notes are kept; beyond, older ones are forgotten.
const NOTES: usize = 1024;
/// How many places a thread's note may be in.
const REACH: usize = 8;
/// From so many nodes on, half of what a tree can hold, less is kept of a start: each thread has nodes of its own for it.
const LARGE_NODES: usize = 1 << 19;
/// Frames of Python that are kept then, with the native ones further in.
const FRAMES_KEPT: usize = 8;

/// What is known of one thread.
#[derive(Clone, Copy)]
struct Note {
    /// Its pointer, 0 none.
    pointer: u64,
    tid: u32,
    /// The number of the note.
    at: u32,
    /// `None` where two have said something else of the same thread.
    origin: Option<Origin>,
}

const EMPTY: Note = Note { pointer: 0, tid: 0, at: 0, origin: None };

/// See the module.
pub(crate) struct Starts {
    /// [`NOTES`] places from the first note on.
    table: Array<Note>,
    n_notes: u32,
}

impl Starts {
    /// No note.
    pub(crate) const fn new() -> Starts {
        Starts { table: Array::new(), n_notes: 0 }
    }

    /// Forgets all: another process, or another ring.
    pub(crate) fn forget(&mut self) {
        self.table.as_mut_slice().fill(EMPTY);
    }

    fn places(pointer: u64) -> impl Iterator<Item = usize> {
        let first = hash(pointer, 1) as usize;
        (0..REACH).map(move |step| first.wrapping_add(step) % NOTES)
    }

    /// Notes where the thread of this pointer and id was started. O(1).
    fn note(&mut self, pointer: u64, tid: u32, origin: Origin) {
        while self.table.len() < NOTES {
            if !self.table.push(EMPTY) {
                return;
            }
        }
        self.n_notes = self.n_notes.wrapping_add(1);
        let table = self.table.as_mut_slice();
        let its = Self::places(pointer).find(|place| table[*place].pointer == pointer);
        let age = |place: &usize| (table[*place].pointer != 0, table[*place].at.wrapping_sub(self.n_notes));
        let Some(place) = its.or_else(|| Self::places(pointer).min_by_key(age)) else { return };
        let is_certain =
            (table[place].pointer, table[place].tid) != (pointer, tid) || table[place].origin == Some(origin);
        table[place] = Note { pointer, tid, at: self.n_notes, origin: is_certain.then_some(origin) };
    }

    /// Where the thread of this pointer and id was started. O(1).
    fn of(&self, pointer: u64, tid: u32) -> Option<Origin> {
        let table = self.table.as_slice();
        let mut notes = Self::places(pointer).filter_map(|place| table.get(place));
        notes.find(|note| (note.pointer, note.tid) == (pointer, tid))?.origin
    }
}

impl Stacks {
    /// Where a thread starts that the calling one is about to create: where that stands in Python or, without a Python state, where
    /// it was started itself. `None` where no Python frame is known.
    ///
    /// Cost: a stack.
    pub(crate) fn origin(&mut self, is_native: bool, emit: &mut impl Emit) -> Option<Origin> {
        // SAFETY: as in `Stacks::node`.
        let peek = unsafe { Peek::new() };
        let thread = self.threads.current(peek)?;
        match self.python.as_ref()?.state(peek, Holds::Unknown, thread) {
            Ok(_) => {}
            Err(reason) => {
                self.places.look_for_start(thread, Some(reason));
                let origin = thread.start.origin.filter(|_| reason == CutReason::NoPythonState)?;
                return Some(Origin { is_direct: false, ..origin });
            }
        }
        let node = match is_native {
            true => self.native_node(Holds::Unknown, emit),
            false => self.node(Holds::Unknown, emit),
        };
        (node != UNKNOWN_NODE && self.places.has_python(node)).then_some(Origin { node, is_direct: true })
    }

    /// Notes where the thread was started whose `pthread_t` lies at `out`.
    ///
    /// The thread may have ended already, and both it and what lies at `out` may be gone: the kernel reads. Where a `pthread_t` is no
    /// thread pointer, nothing is found.
    ///
    /// Cost: two system calls of some hundred nanoseconds.
    pub(crate) fn note_start(&mut self, out: u64, origin: Origin) {
        let Some(pointer) = kernel::read_own(out as usize).map(u64::from_ne_bytes) else { return };
        if let Some(tid) = self.threads.tid_of(pointer) {
            self.places.starts.note(pointer, tid, origin);
        }
    }
}

impl Places {
    /// Looks for a note about `thread`, where its stack is missing for `reason` and there are new notes. Nodes that its frames had
    /// are stale if there is one.
    #[inline]
    pub(super) fn look_for_start(&self, thread: &mut Thread, reason: Option<CutReason>) {
        if reason != Some(CutReason::NoPythonState) || thread.start.n_notes == self.starts.n_notes {
            return;
        }
        let origin = self.starts.of(thread.pointer, thread.tid);
        if origin != thread.start.origin {
            (thread.marks, thread.start.root) = ([0; 2], STALE);
        }
        thread.start = Start { n_notes: self.starts.n_notes, origin, ..thread.start };
    }

    /// The node that the frames of `thread` hang from, further out than which they are missing for `reason`.
    pub(super) fn outermost(&mut self, thread: &mut Thread, root: u32, reason: CutReason) -> u32 {
        let origin = thread.start.origin.filter(|_| reason == CutReason::NoPythonState);
        if let Some(origin) = origin
            && thread.start.root != root
        {
            (thread.start.root, thread.start.node) = (root, self.copy(origin, root).unwrap_or(STALE));
        }
        match origin {
            Some(_) if thread.start.node != STALE => thread.start.node,
            _ => self.tree.child(root, Frame::cut(reason)).unwrap_or(root),
        }
    }

    /// Puts the frames of `origin` under `root`, and the mark; answers its node. Thread and label stay behind. `None` where the tree
    /// is full.
    ///
    /// Cost: O(frames), once a thread.
    fn copy(&mut self, origin: Origin, root: u32) -> Option<u32> {
        let Places { tree, path, .. } = self;
        path.truncate(0);
        let (mut outer, mut node) = (root, origin.node);
        let mut left = if tree.len() < LARGE_NODES { usize::MAX } else { FRAMES_KEPT };
        while node != NO_PARENT {
            let (parent, frame) = tree.get(node)?;
            if matches!(frame.kind, NodeKind::Thread | NodeKind::Tag) {
                break;
            }
            if left == 0 {
                outer = tree.child(root, Frame::cut(CutReason::TooDeep))?;
                break;
            }
            if !path.push(node) {
                return None;
            }
            left -= usize::from(frame.kind == NodeKind::Python);
            node = parent;
        }
        for node in path.as_slice().iter().rev() {
            let (_, frame) = tree.get(*node)?;
            outer = tree.child(outer, frame)?;
        }
        tree.child(outer, Frame::start(origin.is_direct))
    }

    fn has_python(&self, mut node: u32) -> bool {
        while let Some((parent, frame)) = self.tree.get(node) {
            if frame.kind == NodeKind::Python {
                return true;
            }
            node = parent;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Origin = Origin { node: 3, is_direct: true };
    const THERE: Origin = Origin { node: 4, is_direct: true };

    #[test]
    fn a_note_is_of_one_thread_alone() {
        let mut starts = Starts::new();
        assert_eq!(starts.of(0x7000, 1), None);
        starts.note(0x7000, 1, HERE);
        assert_eq!(starts.of(0x7000, 1), Some(HERE));
        assert_eq!((starts.of(0x7000, 2), starts.of(0x8000, 1)), (None, None));
        // A later thread at the same place.
        starts.note(0x7000, 2, THERE);
        assert_eq!((starts.of(0x7000, 1), starts.of(0x7000, 2)), (None, Some(THERE)));
        starts.forget();
        assert_eq!(starts.of(0x7000, 2), None);
    }

    #[test]
    fn what_two_say_differently_of_a_thread_is_not_believed() {
        let mut starts = Starts::new();
        starts.note(0x7000, 1, HERE);
        starts.note(0x7000, 1, HERE);
        assert_eq!(starts.of(0x7000, 1), Some(HERE));
        starts.note(0x7000, 1, THERE);
        assert_eq!(starts.of(0x7000, 1), None);
        starts.note(0x7000, 1, THERE);
        assert_eq!(starts.of(0x7000, 1), None);
    }

    #[test]
    fn a_full_table_keeps_the_latest() {
        let mut starts = Starts::new();
        let pointer = |n: u32| 0x7f00_0000_0000 + u64::from(n) * 0x80_1000;
        for n in 1..=20_000 {
            starts.note(pointer(n), n, Origin { node: n, is_direct: true });
            assert_eq!(starts.of(pointer(n), n).map(|origin| origin.node), Some(n));
        }
        let kept = (1..=20_000).filter(|n| starts.of(pointer(*n), *n).is_some()).collect::<Vec<u32>>();
        assert!(kept.len() > NOTES / 2 && kept.len() <= NOTES, "{}", kept.len());
        assert!((19_900..=20_000).all(|n| starts.of(pointer(n), n).is_some()));
    }

    /// The kinds and first data of a stack, the outermost first.
    fn shown(places: &Places, mut node: u32) -> Vec<(NodeKind, u64)> {
        let mut frames = Vec::new();
        while let Some((parent, frame)) = places.tree.get(node) {
            frames.push((frame.kind, frame.a));
            node = parent;
        }
        frames.reverse();
        frames
    }

    /// Places with a stack of thread 1, labelled 5, that is `depth` frames of Python deep; the stack's node.
    fn program(depth: u32) -> (Places, u32) {
        let mut places = Stacks::new().places;
        let root = places.tree.child(NO_PARENT, Frame { kind: NodeKind::Thread, a: 1, b: 0 });
        let mut node = places.tree.child(root.expect("room"), Frame { kind: NodeKind::Tag, a: 5, b: 0 });
        for code in 1..=depth {
            node = places.tree.child(node.expect("room"), Frame::python(code, 0));
        }
        (places, node.expect("room"))
    }

    /// Thread 2 at 0x7000, which has no Python state, and its root.
    fn native(places: &mut Places) -> (Thread, u32) {
        let mut thread = Thread::new(0x7000);
        thread.tid = 2;
        let root = places.tree.child(NO_PARENT, Frame { kind: NodeKind::Thread, a: 2, b: 0 });
        (thread, root.expect("room"))
    }

    fn hangs_from(places: &mut Places, thread: &mut Thread, root: u32) -> Vec<(NodeKind, u64)> {
        places.look_for_start(thread, Some(CutReason::NoPythonState));
        let node = places.outermost(thread, root, CutReason::NoPythonState);
        shown(places, node)
    }

    #[test]
    fn a_native_thread_hangs_from_where_it_was_started_once_that_is_noted() {
        let (mut places, node) = program(2);
        let (mut thread, root) = native(&mut places);
        thread.marks = [1, 1];
        let own = (NodeKind::Thread, 2);
        assert_eq!(hangs_from(&mut places, &mut thread, root), [own, (NodeKind::Cut, 1)]);
        assert_eq!(thread.marks, [1, 1]);
        places.starts.note(0x7000, 2, Origin { node, is_direct: true });
        let started = [own, (NodeKind::Python, 1), (NodeKind::Python, 2), (NodeKind::Start, 0)];
        assert_eq!(hangs_from(&mut places, &mut thread, root), started);
        assert_eq!(thread.marks, [0, 0], "nodes that it had are stale");
        // What is missing for another reason is missing.
        let torn = places.outermost(&mut thread, root, CutReason::Torn);
        assert_eq!(shown(&places, torn), [own, (NodeKind::Cut, 4)]);
        let n_nodes = places.tree.len();
        assert_eq!(hangs_from(&mut places, &mut thread, root), started);
        assert_eq!(places.tree.len(), n_nodes);
    }

    #[test]
    fn frames_further_out_are_left_out_of_a_large_tree() {
        let (mut places, node) = program(40);
        let (mut thread, root) = native(&mut places);
        for n in 0..LARGE_NODES as u32 {
            places.tree.child(root, Frame::python(n, 7)).expect("room");
        }
        places.starts.note(0x7000, 2, Origin { node, is_direct: false });
        let found = hangs_from(&mut places, &mut thread, root);
        let kept = (33..=40).map(|code| (NodeKind::Python, code));
        let outer = [(NodeKind::Thread, 2), (NodeKind::Cut, CutReason::TooDeep as u64)];
        let expected: Vec<_> = outer.into_iter().chain(kept).chain([(NodeKind::Start, 1)]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_full_tree_marks_the_stack_as_before() {
        let (mut places, node) = program(2);
        let (mut thread, root) = native(&mut places);
        let mut n = 0;
        while places.tree.child(root, Frame::python(n, 7)).is_some() {
            n += 1;
        }
        places.starts.note(0x7000, 2, Origin { node, is_direct: true });
        let found = hangs_from(&mut places, &mut thread, root);
        assert_eq!(found, [(NodeKind::Thread, 2), (NodeKind::Cut, 1)]);
    }
}
