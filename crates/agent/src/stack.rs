//! Stacks: which node of the tree the calling thread is at.
//!
//! Nothing of the interpreter is changed but marks in frames where it looks at nothing ([`walk`]), no reference is taken, and no
//! memory but the agent's own pages is used. All is called under the agent's lock. A stack is right or says where it is cut.
//!
//! Unsafe: leave to read the interpreter's structures ([`peek::Peek`]).
#![allow(unsafe_code)]

pub(crate) mod array;
pub(crate) mod codes;
mod index;
mod mark;
mod native;
mod payload;
pub(crate) mod peek;
pub(crate) mod python;
mod recursion;
mod sites;
mod starts;
mod text;
mod texts;
pub(crate) mod threads;
mod tree;
mod walk;
pub(crate) mod watch;

use heapray_cpython::layouts::Frames;
use heapray_wire::ring::PythonSymbols;
use heapray_wire::ring::cells::{self, CutReason, NO_PARENT, NodeKind, UNKNOWN_NODE};

use crate::arch::{self, nr, syscall};
use crate::emit::Emit;
use crate::ending::Ending;
use crate::stack::array::Array;
use crate::stack::codes::Codes;
use crate::stack::native::Native;
use crate::stack::peek::Peek;
use crate::stack::python::{Holds, Python};
use crate::stack::sites::Sites;
use crate::stack::starts::Starts;
use crate::stack::texts::Texts;
use crate::stack::threads::{Level, STALE, Thread, Threads};
use crate::stack::tree::{Frame, Tree};

/// All that is known of stacks in this process.
pub(crate) struct Stacks {
    python: Option<Python>,
    threads: Threads,
    places: Places,
    fresh: Array<Level>,
    native: Native,
}

/// What stacks consist of, and what the collector knows of it.
struct Places {
    tree: Tree,
    codes: Codes,
    texts: Texts,
    sites: Sites,
    starts: Starts,
    /// Changes whenever nodes that threads remember may be unknown to the collector.
    ring: u32,
    path: Array<u32>,
}

impl Stacks {
    /// No stack, and no Python yet.
    pub(crate) const fn new() -> Stacks {
        let places = Places {
            tree: Tree::new(),
            codes: Codes::new(),
            texts: Texts::new(),
            sites: Sites::new(),
            starts: Starts::new(),
            ring: 1,
            path: Array::new(),
        };
        Stacks { python: None, threads: Threads::new(), places, fresh: Array::new(), native: Native::new() }
    }

    /// Takes the process's Python, once its symbols are known; answers its hexversion, 0 where it cannot be read. From now
    /// on ends of code objects are watched, until [`watch::end`].
    ///
    /// # Safety
    ///
    /// As [`Python::find`]; and no other thread runs Python now (the calling one holds the interpreter, or none has begun,
    /// or all are stopped).
    pub(crate) unsafe fn set_python(&mut self, symbols: &PythonSymbols) -> u32 {
        // SAFETY: the caller's word.
        self.python = unsafe { Python::find(symbols) };
        self.places.codes.forget_addresses();
        if let Some(python) = &self.python {
            // SAFETY: the caller's word, and the layout is that Python's.
            unsafe { watch::begin(symbols.code_type, python.codes.layout) };
        }
        self.python.as_ref().map_or(0, |python| python.version_hex)
    }

    /// When the process's Python ends.
    pub(crate) fn ending(&self) -> Ending {
        let addr = self.python.as_ref().map_or(0, |python| python.finalizing);
        // SAFETY: a word of the runtime, which is data of a loaded library.
        unsafe { Ending::noted_at(addr) }
    }

    /// Number of nodes of the tree.
    pub(crate) fn n_nodes(&self) -> u32 {
        self.places.tree.len() as u32
    }

    /// The node of the calling thread's Python stack, [`UNKNOWN_NODE`] where it cannot be told. Everything on the way to it
    /// has been told to `emit`.
    ///
    /// Cost: some nanoseconds where the frame that ran last time runs still, 2 to 3 ns a frame out to a marked one otherwise; more
    /// for what is new.
    #[inline]
    pub(crate) fn node(&mut self, holds: Holds, emit: &mut impl Emit) -> u32 {
        // SAFETY: what is read belongs to the calling thread (its C library's record, its Python state and frames), which
        // is here and not ending, or is asked of the kernel first.
        let peek = unsafe { Peek::new() };
        let Stacks { python, threads, places, fresh, .. } = self;
        let Some(thread) = threads.current(peek) else { return UNKNOWN_NODE };
        let Some(python) = python else {
            return places.bare(thread, CutReason::NoPythonState, emit);
        };
        let state = match python.state(peek, holds, thread) {
            Ok(state) => state,
            Err(reason) => return places.bare(thread, reason, emit),
        };
        let innermost = python.innermost(peek, state);
        places.codes.take_ends();
        let changed = walk::walk(peek, &python.frames, innermost, (thread, fresh));
        places.leaf(peek, Some(python), (thread, changed), emit)
    }

    /// As [`Stacks::node`], with the native frames; those of the agent itself are left out. An instruction pointer is where a
    /// call returns to (where a signal interrupted, a byte behind where the instruction begins).
    ///
    /// Cost: about 10 ns a native frame out to the innermost Python frame that is marked, once its unwinding rule is known.
    #[inline(never)]
    pub(crate) fn native_node(&mut self, holds: Holds, emit: &mut impl Emit) -> u32 {
        let registers = arch::registers().into();
        // SAFETY: as in `node`; the thread's stack is read between its stack pointer and its end, and the objects' tables
        // while the objects are loaded.
        let peek = unsafe { Peek::new() };
        let Stacks { python, threads, places, fresh, native } = self;
        let Some(thread) = threads.current(peek) else { return UNKNOWN_NODE };
        places.codes.take_ends();
        fresh.truncate(0);
        let state = match python {
            Some(python) => python.state(peek, holds, thread),
            None => Err(CutReason::NoPythonState),
        };
        let mut cut = state.err();
        places.look_for_start(thread, cut);
        let mut changed = None;
        if let (Some(python), Ok(state)) = (&python, state) {
            let innermost = python.innermost(peek, state);
            let room = (thread.levels.as_slice(), &mut *fresh);
            if let Some(met) = walk::collect_new(peek, &python.frames, innermost, room) {
                let (at, frames) = ((&mut *thread, registers), (fresh.as_slice(), met));
                changed = native.settle_inside(peek, (python, state), at, frames);
            }
            if changed.is_none() {
                cut = walk::collect(peek, &python.frames, innermost, fresh);
            }
        }
        let changed = changed.unwrap_or_else(|| {
            let python = (python.as_ref(), state.unwrap_or(0));
            native.settle(peek, python, (thread, registers), (fresh.as_slice(), cut))
        });
        places.leaf(peek, python.as_ref(), (thread, changed), emit)
    }

    /// Begins to go through all loaded objects, for native frames: at the start, and when objects came or went.
    pub(crate) fn begin_objects(&mut self) {
        // SAFETY: the agent's own headers are read.
        self.native.begin_objects(unsafe { Peek::new() });
    }

    /// Sees a loaded object, with `n_phdr` program headers at `phdr`.
    pub(crate) fn see_object(&mut self, base: usize, phdr: usize, n_phdr: usize) {
        // SAFETY: the loader's word for the headers of an object that is loaded.
        let peek = unsafe { Peek::new() };
        self.native.see_object(peek, base as u64, phdr as u64, n_phdr as u64);
    }

    /// Forgets objects that were not seen since the beginning.
    pub(crate) fn end_objects(&mut self) {
        self.native.end_objects();
    }

    /// Labels what the calling thread allocates from now on; an empty label takes it off.
    pub(crate) fn set_tag(&mut self, tag: &[u8]) {
        // SAFETY: as in `node`.
        let peek = unsafe { Peek::new() };
        if let Some(thread) = self.threads.current(peek) {
            thread.tag = self.places.texts.id(tag);
            thread.marks = [0; 2];
        }
    }

    /// A new ring, of which the collector knows nothing: everything is told again when it next comes up.
    pub(crate) fn begin_ring(&mut self) {
        self.places.begin_ring();
        self.threads.begin_ring();
    }
}

impl Places {
    fn begin_ring(&mut self) {
        self.ring = self.ring.wrapping_add(1).max(1);
        self.tree.begin_ring();
        self.codes.begin_ring();
        self.texts.begin_ring();
        self.starts.forget();
    }

    /// What a thread's levels are good for: this ring, and no code object gone since.
    fn marks(&self) -> [u32; 2] {
        [self.ring, self.codes.n_died]
    }

    /// The node that the stacks of `thread` hang from.
    fn root(&mut self, thread: &mut Thread) -> Option<u32> {
        if thread.marks == self.marks() {
            return Some(thread.root);
        }
        let name = self.texts.id(name_of_thread(&mut [0; 16]));
        let frame = Frame { kind: NodeKind::Thread, a: thread.tid.into(), b: name.cast_signed() };
        let mut root = self.tree.child(NO_PARENT, frame)?;
        if thread.tag != 0 {
            root = self.tree.child(root, Frame { kind: NodeKind::Tag, a: thread.tag.into(), b: 0 })?;
        }
        thread.root = root;
        Some(root)
    }

    /// The node of a thread whose Python stack is not known.
    #[cold]
    fn bare(&mut self, thread: &mut Thread, reason: CutReason, emit: &mut impl Emit) -> u32 {
        // SAFETY: reads nothing but code objects: on the way there is none, or those of a start, which were told.
        let peek = unsafe { Peek::new() };
        let Some(root) = self.root(thread) else { return UNKNOWN_NODE };
        self.look_for_start(thread, Some(reason));
        let leaf = self.outermost(thread, root, reason);
        match self.tell(peek, None, leaf, emit) {
            true => leaf,
            false => UNKNOWN_NODE,
        }
    }

    /// The node of the innermost level of `thread`, whose levels are new from `changed` on.
    #[inline]
    fn leaf(
        &mut self,
        peek: Peek,
        python: Option<&Python>,
        (thread, changed): (&mut Thread, usize),
        emit: &mut impl Emit,
    ) -> u32 {
        let is_same = thread.marks == self.marks();
        let changed = if is_same { self.recall(thread, changed) } else { 0 };
        match thread.levels.as_slice().last() {
            Some(leaf) if is_same && changed == thread.levels.len() => leaf.node,
            _ => self.rebuild(peek, python, (thread, changed), emit),
        }
    }

    /// Gives levels of `thread` from `changed` on the nodes that they had when a thread was last at the same sites; answers the
    /// first that was at none. The thread's marks are the current ones.
    #[inline]
    fn recall(&self, thread: &mut Thread, changed: usize) -> usize {
        let mut outer = match changed.checked_sub(1) {
            Some(idx) => thread.levels.as_slice().get(idx).map_or(STALE, |level| level.node),
            None if thread.cut.is_some() => STALE,
            None => thread.root,
        };
        for idx in changed..thread.levels.len() {
            let Some(level) = thread.levels.as_mut_slice().get_mut(idx) else { break };
            let Some(found) = self.sites.find(thread.marks, outer, level) else { return idx };
            (level.node, level.recursion) = found;
            outer = level.node;
        }
        thread.levels.len()
    }

    /// Gives the levels of `thread` from `changed` on their nodes; answers the innermost one's.
    #[cold]
    fn rebuild(
        &mut self,
        peek: Peek,
        python: Option<&Python>,
        (thread, changed): (&mut Thread, usize),
        emit: &mut impl Emit,
    ) -> u32 {
        let Some(root) = self.root(thread) else { return UNKNOWN_NODE };
        let outer = changed.checked_sub(1).and_then(|idx| thread.levels.as_slice().get(idx));
        let mut node = match (outer, thread.cut) {
            (Some(level), _) => level.node,
            (None, Some(reason)) => self.outermost(thread, root, reason),
            (None, None) => root,
        };
        self.sites.keep_for(self.marks());
        let mut is_full = false;
        for idx in changed..thread.levels.len() {
            let Some((outer, level)) = thread.levels.split_mut(idx) else { break };
            let shown = match (level.instruction, python) {
                (threads::NATIVE, _) => {
                    UserFrame::Shown(Frame { kind: NodeKind::Native, a: level.code, b: 0 })
                }
                (threads::NATIVE_CUT, _) => {
                    UserFrame::Shown(Frame { kind: NodeKind::NativeCut, a: level.code, b: 0 })
                }
                (_, Some(python)) => self.user_frame(peek, python, level),
                (_, None) => UserFrame::Torn,
            };
            let outer_node = node;
            let mut is_site =
                matches!(shown, UserFrame::Shown(Frame { kind: NodeKind::Python | NodeKind::Native, .. }));
            let frame = match shown {
                UserFrame::Hidden => None,
                UserFrame::Shown(frame) | UserFrame::Early(frame) => {
                    // The interpreter's own functions call themselves for every call of a program's.
                    if frame.kind == NodeKind::Python {
                        let place = recursion::place(&mut self.tree, outer, level, node);
                        node = place.parent;
                        is_site &= place.is_certain;
                    }
                    Some(frame)
                }
                // What lies further out was reached through a frame that is none.
                UserFrame::Torn => {
                    node = root;
                    Some(Frame::cut(CutReason::Torn))
                }
            };
            if let (Some(frame), false) = (frame, is_full) {
                node = match self.tree.child(node, frame) {
                    Some(child) => child,
                    None if frame.kind == NodeKind::Native => self.tree.without_native(node),
                    None => {
                        is_full = true;
                        self.tree.child(root, Frame::cut(CutReason::TreeFull)).unwrap_or(root)
                    }
                };
            }
            level.node = node;
            if is_site && !is_full {
                self.sites.put(outer_node, level);
            }
        }
        let is_told = self.tell(peek, python.map(|python| &python.codes), node, emit);
        if !is_told || !watch::is_on() {
            self.sites.forget();
        }
        thread.marks = if is_told { self.marks() } else { [0; 2] };
        if is_told { node } else { UNKNOWN_NODE }
    }

    /// What a level is to users.
    fn user_frame(&mut self, peek: Peek, python: &Python, level: &Level) -> UserFrame {
        let layout = python.codes.layout;
        let owner = layout.frame_owner.map(|offset| peek.byte(level.frame + u64::from(offset)));
        if owner.is_some_and(|owner| owner >= OWNED_BY_INTERPRETER) {
            return UserFrame::Hidden;
        }
        let Some(code) = self.codes.id(peek, &python.codes, level.code) else { return UserFrame::Torn };
        let mut is_early = false;
        let offset = match (layout.frames, layout.code_instructions) {
            (Frames::Structs, Some(instructions)) => {
                let first = level.code + u64::from(instructions);
                let offset = level.instruction.wrapping_sub(first).cast_signed();
                let traceable = layout.code_first_traceable.map_or(0, |offset| {
                    i64::from(peek.int(level.code + u64::from(offset)).cast_signed()) * 2
                });
                if offset < traceable && owner != Some(OWNED_BY_GENERATOR) {
                    return UserFrame::Hidden;
                }
                is_early = offset < traceable;
                offset
            }
            _ => i64::from((level.instruction as u32).cast_signed()) * 2,
        };
        let frame = Frame::python(code, i32::try_from(offset).unwrap_or(-1).max(-1));
        if is_early { UserFrame::Early(frame) } else { UserFrame::Shown(frame) }
    }

    /// Tells the collector of `leaf` and all that leads to it, as far as it does not know; whether it does then.
    fn tell(&mut self, peek: Peek, shape: Option<&codes::Shape>, leaf: u32, emit: &mut impl Emit) -> bool {
        if self.tree.is_told(leaf) {
            return true;
        }
        if !self.tree.untold(leaf, &mut self.path) {
            return false;
        }
        for node in self.path.as_slice().iter().rev() {
            let Some((parent, frame)) = self.tree.get(*node) else { return false };
            let is_ready = match (frame.kind, shape) {
                (NodeKind::Python, Some(shape)) => self.codes.tell(peek, shape, frame.a as u32, emit),
                (NodeKind::Thread, _) => self.texts.tell(frame.b.cast_unsigned(), emit),
                (NodeKind::Tag, _) => self.texts.tell(frame.a as u32, emit),
                _ => true,
            };
            let data = [frame.a, i64::from(frame.b).cast_unsigned()];
            if !is_ready || !emit.record(&cells::node(*node, parent, frame.kind, data)) {
                return false;
            }
            self.tree.set_told(*node);
        }
        true
    }
}

/// `FRAME_OWNED_BY_GENERATOR` of `enum _frameowner`, `Include/internal/pycore_frame.h`, since 3.11.
const OWNED_BY_GENERATOR: u8 = 1;

/// `FRAME_OWNED_BY_CSTACK` or, since 3.14, `FRAME_OWNED_BY_INTERPRETER`, the first of those that run no code of users.
const OWNED_BY_INTERPRETER: u8 = 3;

/// What a frame of the interpreter is to users.
enum UserFrame {
    /// Nothing: an entry of the interpreter, or a call that has not begun (`_PyFrame_IsIncomplete`).
    Hidden,
    Shown(Frame),
    /// A generator's that has not begun; a function's at the same place would be hidden.
    Early(Frame),
    /// No frame at all.
    Torn,
}

/// The name that the kernel has for the calling thread.
fn name_of_thread(name: &mut [u8; 16]) -> &[u8] {
    const PR_GET_NAME: usize = 16;
    // SAFETY: the kernel writes at most 16 bytes, with a zero at the end.
    unsafe { syscall(nr::PRCTL, [PR_GET_NAME, name.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    let len = name.iter().position(|byte| *byte == 0).unwrap_or(0);
    &name[..len]
}
