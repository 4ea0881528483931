//! The threads that have been seen, each with its last stack.
//!
//! A thread is found by its thread pointer. Since the C library gives that to a later thread again, the kernel's thread
//! id is compared too; it is read from the C library's own record of the thread where that was seen to hold it.
//!
//! Unsafe: the system calls `gettid` and `getpid`.
#![allow(unsafe_code)]

use core::mem;

use heapray_wire::ring::cells::{CutReason, NO_PARENT};

use crate::arch::{self, nr, syscall};
use crate::kernel;
use crate::stack::array::Array;
use crate::stack::index::{Index, hash};
use crate::stack::peek::Peek;

/// Most threads remembered; beyond, all are forgotten, which costs each one full walk.
const THREADS_MAX: usize = 1024;

/// One frame of a thread's last stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    /// Address of the frame.
    pub(crate) frame: u64,
    /// Its code object.
    pub(crate) code: u64,
    /// Its position, as the frame has it.
    pub(crate) instruction: u64,
    /// Its node, or that of the frame further out where it is none that users know; [`STALE`] where that must be found.
    pub(crate) node: u32,
    /// Frames of the recursion that it is in, itself included, once it has a node; 0 for what users do not see.
    pub(crate) recursion: u32,
}

/// No node: what the level stands for has changed.
pub(crate) const STALE: u32 = NO_PARENT;

/// [`Level::instruction`] of a native frame, whose `code` is its instruction pointer.
pub(crate) const NATIVE: u64 = u64::MAX;

/// [`Level::instruction`] where native frames are missing; `code` is the reason.
pub(crate) const NATIVE_CUT: u64 = u64::MAX - 1;

impl Level {
    /// Whether it stands for a Python frame.
    #[inline]
    pub(crate) fn is_python(&self) -> bool {
        self.instruction < NATIVE_CUT
    }
}

/// An activation of the interpreter's C function among a thread's levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Activation {
    /// An address in its C frame, 0 where none is known.
    pub(crate) anchor: u64,
    /// Which level its outermost Python frame is.
    pub(crate) first: usize,
}

/// Where a thread was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The node of a stack with Python frames.
    pub(crate) node: u32,
    /// Whether the thread that was there started it, not one that had been started there itself.
    pub(crate) is_direct: bool,
}

/// What a thread knows of its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// How many notes there were when it looked.
    pub(crate) n_notes: u32,
    /// What it found.
    pub(crate) origin: Option<Origin>,
    /// The thread's root that the start's frames were put under, [`STALE`] none.
    pub(crate) root: u32,
    /// The mark behind these frames.
    pub(crate) node: u32,
}

impl Start {
    /// Nothing is known; there were no notes.
    const UNKNOWN: Start = Start { n_notes: 0, origin: None, root: STALE, node: STALE };
}

/// A thread that was seen.
pub(crate) struct Thread {
    pub(crate) pointer: u64,
    /// The kernel's id.
    pub(crate) tid: u32,
    /// Text id of its label, 0 none.
    pub(crate) tag: u32,
    /// Its last stack, outermost frame first.
    pub(crate) levels: Array<Level>,
    /// Why frames further out are missing from it.
    pub(crate) cut: Option<CutReason>,
    /// With native frames: the activations among the levels, outermost first; none where a C frame was not met or frames are missing.
    pub(crate) activations: Array<Activation>,
    /// The node that its stacks hang from, as long as `marks` are the current ones.
    pub(crate) root: u32,
    /// What its levels' nodes depend on: the ring, the deaths of code objects.
    pub(crate) marks: [u32; 2],
    /// The Python state that it had when it last held the interpreter.
    pub(crate) state: u64,
    /// The stack that it was on last: first address and one past the last, 0 where not known.
    pub(crate) stack: (u64, u64),
    /// Whether it is the process's first, whose stack grows.
    pub(crate) is_main: bool,
    /// Where it was started, as far as it has asked.
    pub(crate) start: Start,
}

impl Thread {
    /// A thread that was never seen.
    pub(crate) fn new(pointer: u64) -> Thread {
        let levels = Array::new();
        Thread {
            pointer,
            tid: 0,
            tag: 0,
            levels,
            cut: None,
            activations: Array::new(),
            root: STALE,
            marks: [0; 2],
            state: 0,
            stack: (0, 0),
            is_main: false,
            start: Start::UNKNOWN,
        }
    }
}

/// See the module.
pub(crate) struct Threads {
    table: Array<Thread>,
    index: Index,
    /// The thread that was asked for last.
    last: u32,
    tid_place: TidPlace,
}

/// Where the C library keeps the kernel's id of the calling thread.
#[derive(Clone, Copy)]
enum TidPlace {
    Unknown,
    /// So many bytes behind the thread pointer.
    At(u64),
    /// Nowhere that we know: the kernel is asked each time.
    Nowhere,
}

impl Threads {
    /// No thread.
    pub(crate) const fn new() -> Threads {
        Threads { table: Array::new(), index: Index::new(), last: 0, tid_place: TidPlace::Unknown }
    }

    /// The calling thread, with its last stack or a new one; `None` without memory.
    #[inline]
    pub(crate) fn current(&mut self, peek: Peek) -> Option<&mut Thread> {
        let pointer = arch::thread_pointer() as u64;
        let table = self.table.as_slice();
        let found = match table.get(self.last as usize) {
            Some(thread) if thread.pointer == pointer => Some(self.last),
            _ => self.index.find(hash(pointer, 1), |number| table[number as usize].pointer == pointer),
        };
        let tid = match (found, self.tid_place) {
            (Some(_), TidPlace::At(offset)) => peek.int(pointer + offset),
            _ => self.ask_tid(peek, pointer),
        };
        let number = match found {
            Some(number) => number as usize,
            None => self.add(pointer)?,
        };
        self.last = number as u32;
        let thread = self.table.as_mut_slice().get_mut(number)?;
        if thread.tid != tid {
            // The place of a thread that has ended, or the only thread of a forked child.
            (thread.tid, thread.tag, thread.state, thread.marks) = (tid, 0, 0, [0; 2]);
            (thread.stack, thread.is_main, thread.start) = ((0, 0), tid == pid(), Start::UNKNOWN);
            thread.levels.truncate(0);
            thread.activations.truncate(0);
        }
        Some(thread)
    }

    /// Forgets what native frames go on from: a new ring may be one without.
    pub(crate) fn begin_ring(&mut self) {
        self.table.as_mut_slice().iter_mut().for_each(|thread| thread.activations.truncate(0));
    }

    /// The kernel's id of the thread whose pointer this is, which may have ended; `None` where that cannot be told.
    pub(crate) fn tid_of(&self, pointer: u64) -> Option<u32> {
        let TidPlace::At(offset) = self.tid_place else { return None };
        kernel::read_own(pointer.wrapping_add(offset) as usize)
            .map(u32::from_ne_bytes)
            .filter(|tid| *tid != 0)
    }

    /// Asks the kernel for the thread's id, and looks where the C library has it.
    #[cold]
    fn ask_tid(&mut self, peek: Peek, pointer: u64) -> u32 {
        // SAFETY: answers a number.
        let tid = unsafe { syscall(nr::GETTID, [0; 6]) } as u32;
        let has_it = |offset: &u64| peek.int(pointer + offset) == tid;
        self.tid_place = match self.tid_place {
            TidPlace::Unknown => match arch::TID_OFFSETS.iter().find(|offset| has_it(offset)) {
                Some(offset) => TidPlace::At(*offset),
                None => TidPlace::Nowhere,
            },
            TidPlace::At(offset) if !has_it(&offset) => TidPlace::Nowhere,
            place => place,
        };
        tid
    }

    #[cold]
    fn add(&mut self, pointer: u64) -> Option<usize> {
        if self.table.len() >= THREADS_MAX {
            for thread in self.table.as_mut_slice() {
                drop(mem::replace(&mut thread.levels, Array::new()));
                drop(mem::replace(&mut thread.activations, Array::new()));
            }
            self.table.truncate(0);
            self.index = Index::new();
        }
        let number = self.table.len();
        if !self.table.push(Thread::new(pointer)) {
            return None;
        }
        let table = self.table.as_slice();
        if !self.index.insert(number as u32, |number| hash(table[number as usize].pointer, 1)) {
            self.table.truncate(number);
            return None;
        }
        Some(number)
    }
}

fn pid() -> u32 {
    // SAFETY: answers a number.
    unsafe { syscall(nr::GETPID, [0; 6]) as u32 }
}
