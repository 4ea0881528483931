//! Marks that are left in frames: whether a frame is the one that was seen, and has not returned since.
//!
//! Whoever waits for such a frame stands where it stood.

use heapray_cpython::layouts::{RuntimeLayout, StackTop};

use crate::stack::peek::Peek;

/// A place in a frame that the interpreter writes whenever the frame begins, and nobody reads in between: what we leave there
/// says that the frame is the one we saw.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mark {
    /// The depth of the evaluation stack, an `int`: written when the frame calls another Python function and -1 from when it
    /// begins or goes on (3.10 to 3.13, `_PyFrame_GetStackPointer`); readers take any negative number for a running frame.
    Depth(u64),
    /// A byte that is zeroed when a frame begins, and the owner's: a generator's frame goes on without beginning.
    Visited { byte: u64, owner: u64 },
    /// There is no such place.
    Nowhere,
}

/// The depth of a frame that runs.
pub(crate) const RUNNING: u32 = u32::MAX;
/// The same with our mark.
const MARKED: u32 = u32::MAX - 1;
/// Our bit of the byte.
const VISITED: u8 = 0x80;
/// `FRAME_OWNED_BY_THREAD`.
const OWNED_BY_THREAD: u8 = 0;

impl Mark {
    /// Where frames of this layout have it.
    pub(crate) fn of(layout: &RuntimeLayout) -> Mark {
        match (layout.stack_top, layout.frame_visited, layout.frame_owner) {
            (StackTop::Depth | StackTop::Index, _, _) => Mark::Depth(layout.frame_stack.into()),
            (_, Some(byte), Some(owner)) => Mark::Visited { byte: byte.into(), owner: owner.into() },
            _ => Mark::Nowhere,
        }
    }

    /// Leaves the mark in `frame`; whether it was there.
    #[inline(always)]
    pub(crate) fn leave(self, peek: Peek, frame: u64) -> bool {
        match self {
            Mark::Depth(at) => {
                let depth = peek.int(frame + at);
                if depth == RUNNING {
                    peek.leave_int(frame + at, MARKED);
                }
                depth == MARKED
            }
            Mark::Visited { byte, owner } if peek.byte(frame + owner) == OWNED_BY_THREAD => {
                let visited = peek.byte(frame + byte);
                if visited & VISITED == 0 {
                    peek.leave_byte(frame + byte, visited | VISITED);
                }
                visited & VISITED != 0
            }
            _ => false,
        }
    }
}
