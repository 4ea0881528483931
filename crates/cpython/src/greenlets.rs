//! Greenlets: what a suspended one holds, above all the frames that wait on no thread's stack (gevent).
//!
//! A greenlet that runs has its frames on the stack of its thread, and none here. Source: greenlet 2.0 to 3.5,
//! `src/greenlet/TGreenlet.hpp`: `PyGreenlet.pimpl`, then vtable, self, exception state, arguments, stack, Python state.

use crate::code::at;
use crate::frames::{self, FrameOwner, FrameRef};
use crate::layouts::Frames;
use crate::{Label, Memory, Runtime, Sink, Strength};

/// `PyGreenlet`: head, weak reference list, dict, then this.
const PIMPL: u64 = 32;

/// Words of the largest `UserGreenlet` seen (3.14: 26), with some to spare; what lies behind are other blocks' words.
const WORDS: u64 = 28;

/// Words of pimpl by index. The exception state is two words longer in 3.10 (`_PyErr_StackItem`).
struct Places {
    /// Value, type and traceback of the exception in handling.
    exception: core::ops::Range<u64>,
    args: u64,
    kwargs: u64,
    context: u64,
    top_frame: u64,
}

impl Places {
    fn of(rt: &Runtime) -> Places {
        let more = match rt.layout.runtime.frames {
            Frames::Objects => 2,
            Frames::Structs => 0,
        };
        let exception = 3..4 + more;
        Places { exception, args: 5 + more, kwargs: 6 + more, context: 12 + more, top_frame: 13 + more }
    }
}

/// Calls `f` with each frame that waits in the suspended greenlet at `greenlet`, innermost first; answers how many.
pub fn stack<M: Memory>(mem: &M, rt: &Runtime, greenlet: u64, f: impl FnMut(FrameRef)) -> u64 {
    match innermost(mem, rt, greenlet) {
        Some(frame) => frames::chain(mem, rt, frame, f),
        None => 0,
    }
}

/// Reports what the greenlet at `greenlet` holds outside its own fixed fields: its state, and if it is suspended the
/// references of its waiting frames, as far as no generator has them.
pub fn references<M: Memory>(mem: &M, rt: &Runtime, greenlet: u64, sink: &mut impl Sink) {
    let Some(pimpl) = pimpl(mem, greenlet) else { return };
    let places = Places::of(rt);
    let word = |idx: u64| mem.u64(pimpl.wrapping_add(idx * 8)).unwrap_or(0);
    let mut own = |idx: u64, label| {
        if word(idx) != 0 {
            sink.edge(word(idx), Label::Field(label), Strength::Owned);
        }
    };
    places.exception.clone().for_each(|idx| own(idx, "exception being handled"));
    own(places.args, "args");
    own(places.kwargs, "kwargs");
    own(places.context, "gr_context");
    // Parent, main greenlet and function lie behind, at places that differ between versions.
    for idx in places.top_frame + 1..WORDS {
        let target = word(idx);
        if target > 0xffff && target % 8 == 0 && target != greenlet {
            sink.edge(target, Label::Offset((idx * 8) as u32), Strength::Inferred);
        }
    }
    stack(mem, rt, greenlet, |frame| match frame.owner {
        FrameOwner::Thread => frames::references(mem, rt, frame.address, sink),
        FrameOwner::FrameObject => sink.edge(frame.address, Label::Field("frame"), Strength::Owned),
        FrameOwner::Generator => {}
    });
}

/// The state of a greenlet, which names the greenlet in turn.
fn pimpl<M: Memory>(mem: &M, greenlet: u64) -> Option<u64> {
    let pimpl = mem.u64(greenlet.checked_add(PIMPL)?)?;
    (mem.u64(pimpl.checked_add(8)?)? == greenlet).then_some(pimpl)
}

/// The innermost frame of a suspended greenlet: its top frame object is set while it does not run.
fn innermost<M: Memory>(mem: &M, rt: &Runtime, greenlet: u64) -> Option<u64> {
    let top_frame = pimpl(mem, greenlet)?.checked_add(Places::of(rt).top_frame * 8)?;
    let object = mem.u64(top_frame).filter(|object| *object != 0)?;
    let frame = match rt.layout.objects.frame_object_frame {
        Some(offset) => mem.u64(at(object, offset)?)?,
        None => object,
    };
    let found = frames::read(mem, rt, frame)?;
    (found.object == Some(object)).then_some(frame)
}
