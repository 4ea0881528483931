//! Interpreter frames: the stack of a thread, and what a frame holds.
//!
//! A frame is a `_PyInterpreterFrame`, or a `PyFrameObject` in 3.10. Nothing here knows generators: the caller gives
//! the address of the frame inside one.

use crate::code::{self, at};
use crate::layouts::{Frames, RuntimeLayout, Slots, StackTop};
use crate::threads::Thread;
use crate::{Label, Memory, Runtime, Sink, Strength};

/// Who owns a frame's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameOwner {
    /// The thread's own stack of frames.
    Thread,
    /// A generator, coroutine or asynchronous generator: the frame lies inside that object (3.10: is a frame object
    /// that it refers to, and that nobody else counts while it runs).
    Generator,
    /// A frame object that outlived its call, or any other frame of 3.10, where the running call counts it once.
    FrameObject,
}

/// One frame of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRef {
    /// Address of the `_PyInterpreterFrame` (3.10: of the `PyFrameObject`).
    pub address: u64,
    /// Address of the code object.
    pub code: u64,
    /// The `PyFrameObject`, where one exists.
    pub object: Option<u64>,
    /// Who owns it.
    pub owner: FrameOwner,
    /// Current line, where the line table gives one.
    pub line: Option<u32>,
    /// Byte offset of the current instruction; negative before the first.
    pub lasti: i32,
}

/// Most frames followed: some times more than any C stack or recursion limit allows.
const DEPTH_LIMIT: u64 = 1 << 22;

/// Most slots of one frame: far above what the compiler makes.
const SLOT_LIMIT: u64 = 1 << 20;

/// Calls `f` with each Python frame of the thread, innermost first; answers how many. Bounded; a torn chain ends early.
pub fn stack<M: Memory>(mem: &M, rt: &Runtime, thread: &Thread, f: impl FnMut(FrameRef)) -> u64 {
    thread.frame.map_or(0, |innermost| chain(mem, rt, innermost, f))
}

/// As [`stack`], from any frame outwards: a greenlet's saved frame, a traceback's.
pub fn chain<M: Memory>(mem: &M, rt: &Runtime, innermost: u64, mut f: impl FnMut(FrameRef)) -> u64 {
    let layout = &rt.layout.runtime;
    let mut count = 0;
    let mut frame = innermost;
    // Brent: a mark that moves on at powers of two meets every cycle.
    let (mut mark, mut until) = (0, 1);
    for step in 0..DEPTH_LIMIT {
        if frame == 0 || frame == mark {
            break;
        }
        if step == until {
            (mark, until) = (frame, until * 2);
        }
        match owner(mem, layout, frame) {
            Owner::Unreadable => break,
            Owner::Interpreter => {}
            Owner::Known(owner) => {
                let Some(found) = describe(mem, rt, frame, owner) else { break };
                f(found);
                count += 1;
            }
        }
        frame = at(frame, layout.frame_previous).and_then(|field| mem.u64(field)).unwrap_or(0);
    }
    count
}

/// Reads one frame; `None` where it is an entry frame of the interpreter, which runs no Python code, or no frame.
pub fn read<M: Memory>(mem: &M, rt: &Runtime, frame: u64) -> Option<FrameRef> {
    match owner(mem, &rt.layout.runtime, frame) {
        Owner::Known(owner) => describe(mem, rt, frame, owner),
        _ => None,
    }
}

enum Owner {
    Known(FrameOwner),
    /// An entry frame (`FRAME_OWNED_BY_CSTACK`, `FRAME_OWNED_BY_INTERPRETER`).
    Interpreter,
    Unreadable,
}

/// `enum _frameowner`, `Include/internal/pycore_frame.h`: 0 to 2 are the same since 3.11.
fn owner<M: Memory>(mem: &M, layout: &RuntimeLayout, frame: u64) -> Owner {
    let Some(offset) = layout.frame_owner else {
        let generator = layout.frame_generator.and_then(|offset| mem.u64(at(frame, offset)?));
        return match generator {
            Some(0) => Owner::Known(FrameOwner::FrameObject),
            Some(_) => Owner::Known(FrameOwner::Generator),
            None => Owner::Unreadable,
        };
    };
    match at(frame, offset).and_then(|field| mem.u8(field)) {
        Some(0) => Owner::Known(FrameOwner::Thread),
        Some(1) => Owner::Known(FrameOwner::Generator),
        Some(2) => Owner::Known(FrameOwner::FrameObject),
        Some(3 | 4) => Owner::Interpreter,
        _ => Owner::Unreadable,
    }
}

fn describe<M: Memory>(mem: &M, rt: &Runtime, frame: u64, owner: FrameOwner) -> Option<FrameRef> {
    let layout = &rt.layout.runtime;
    let (code, _) = slot(layout, mem.u64(at(frame, layout.frame_code)?)?)?;
    if !is_code(mem, layout, code) {
        return None;
    }
    let lasti = instruction(mem, layout, frame, code)?;
    let object = match layout.frame_object {
        Some(offset) => mem.u64(at(frame, offset)?).filter(|object| *object != 0),
        None => Some(frame),
    };
    let traced = layout.frame_line.and_then(|offset| mem.u32(at(frame, offset)?)).filter(|line| *line != 0);
    let line = traced.or_else(|| code::line(mem, rt, code, lasti));
    Some(FrameRef { address: frame, code, object, owner, line, lasti })
}

/// Whether the object at `code` is a code object, by the name of its type: keeps torn chains from wandering off.
fn is_code<M: Memory>(mem: &M, layout: &RuntimeLayout, code: u64) -> bool {
    let class = at(code, layout.object_type).and_then(|field| mem.u64(field));
    let name = class.and_then(|class| mem.u64(at(class, layout.type_name)?));
    name.and_then(|name| mem.array::<5>(name)) == Some(*b"code\0")
}

/// The byte offset of the current instruction.
fn instruction<M: Memory>(mem: &M, layout: &RuntimeLayout, frame: u64, code: u64) -> Option<i32> {
    let field = at(frame, layout.frame_instruction)?;
    match layout.frames {
        Frames::Objects => mem.u32(field)?.cast_signed().checked_mul(2),
        Frames::Structs => {
            let first = at(code, layout.code_instructions?)?;
            i32::try_from(mem.u64(field)?.wrapping_sub(first).cast_signed()).ok()
        }
    }
}

/// Reports every reference that the frame at `frame` holds. Works for frames of any owner; the caller sees to it that
/// a frame which a generator or frame object owns is reported once, and that it has not been cleared.
///
/// What is on the evaluation stack of a frame that runs is not always known: then every slot that the stack may use
/// is reported as inferred.
pub fn references<M: Memory>(mem: &M, rt: &Runtime, frame: u64, sink: &mut impl Sink) {
    let layout = &rt.layout.runtime;
    let Some(code) = at(frame, layout.frame_code).and_then(|field| slot(layout, mem.u64(field)?)) else {
        return;
    };
    sink.edge(code.0, Label::Field("f_code"), code.1);
    match layout.frames {
        Frames::Objects => object_fields(mem, layout, frame, sink),
        Frames::Structs => struct_fields(mem, layout, frame, sink),
    }
    let Some(shape) = Shape::read(mem, layout, code.0) else { return };
    let Some(base) = at(frame, layout.frame_slots) else { return };
    let top = stack_top(mem, layout, frame, base, &shape);
    locals(mem, layout, base, &shape, sink);
    let (depth, is_known) = match top {
        Some(top) => (top.saturating_sub(shape.n_slots).min(SLOT_LIMIT), true),
        None => (shape.stack_size, false),
    };
    let mut idx = 0;
    mem.words(base.wrapping_add(shape.n_slots * 8), depth, |word| {
        if let Some((target, strength)) = slot(layout, word) {
            let strength = if is_known { strength } else { Strength::Inferred };
            sink.edge(target, Label::Stack(idx), strength);
        }
        idx += 1;
    });
}

/// The fields of a `_PyInterpreterFrame` but its code.
fn struct_fields<M: Memory>(mem: &M, layout: &RuntimeLayout, frame: u64, sink: &mut impl Sink) {
    let word = |offset: u32| at(frame, offset).and_then(|field| mem.u64(field));
    if let Some((function, strength)) = layout.frame_function.and_then(|offset| slot(layout, word(offset)?)) {
        sink.edge(function, Label::Field("function"), strength);
    }
    let fields = [
        (Some(layout.frame_globals), "f_globals", Strength::Borrowed),
        (Some(layout.frame_builtins), "f_builtins", Strength::Borrowed),
        (Some(layout.frame_locals), "f_locals", Strength::Owned),
        (layout.frame_object, "frame object", Strength::Owned),
    ];
    for (offset, label, strength) in fields {
        match offset.and_then(word) {
            Some(target) if target != 0 => sink.edge(target, Label::Field(label), strength),
            _ => {}
        }
    }
}

/// The fields of a 3.10 frame object but its code.
fn object_fields<M: Memory>(mem: &M, layout: &RuntimeLayout, frame: u64, sink: &mut impl Sink) {
    let fields = [
        (Some(layout.frame_previous), "f_back", Strength::Owned),
        (Some(layout.frame_builtins), "f_builtins", Strength::Owned),
        (Some(layout.frame_globals), "f_globals", Strength::Owned),
        (Some(layout.frame_locals), "f_locals", Strength::Owned),
        (layout.frame_trace, "f_trace", Strength::Owned),
        (layout.frame_generator, "f_gen", Strength::Borrowed),
    ];
    for (offset, label, strength) in fields {
        match offset.and_then(|offset| at(frame, offset)).and_then(|field| mem.u64(field)) {
            Some(target) if target != 0 => sink.edge(target, Label::Field(label), strength),
            _ => {}
        }
    }
}

/// What a code object says of its frames' slots.
struct Shape {
    /// Locals, cells and free variables.
    n_slots: u64,
    /// Most values on the evaluation stack.
    stack_size: u64,
    names: Names,
}

enum Names {
    /// A tuple of names and a `bytes` of kinds.
    Together { names: u64, kinds: u64 },
    /// Locals, cells and free variables in a tuple each, with the numbers of the first two.
    Apart { tuples: [u64; 3], n_locals: u64, n_cells: u64 },
}

impl Shape {
    fn read<M: Memory>(mem: &M, layout: &RuntimeLayout, code: u64) -> Option<Shape> {
        let word = |offset: u32| mem.u64(at(code, offset)?);
        let int = |offset: u32| Some(u64::from(mem.u32(at(code, offset)?)?));
        let stack_size = int(layout.code_stack_size)?.min(SLOT_LIMIT);
        let (n_slots, names) = match (layout.code_n_slots, layout.code_slot_names, layout.code_slot_kinds) {
            (Some(n_slots), Some(names), Some(kinds)) => {
                (int(n_slots)?, Names::Together { names: word(names)?, kinds: word(kinds)? })
            }
            _ => {
                let tuples = [
                    word(layout.code_varnames?)?,
                    word(layout.code_cellvars?)?,
                    word(layout.code_freevars?)?,
                ];
                let size = |tuple: u64| mem.u64(at(tuple, layout.var_size)?).filter(|n| *n < SLOT_LIMIT);
                let n_locals = int(layout.code_n_locals?)?;
                let n_cells = size(tuples[1])?;
                (n_locals + n_cells + size(tuples[2])?, Names::Apart { tuples, n_locals, n_cells })
            }
        };
        (n_slots < SLOT_LIMIT).then_some(Shape { n_slots, stack_size, names })
    }

    /// What slot `idx` is called.
    fn label<M: Memory>(&self, mem: &M, layout: &RuntimeLayout, idx: u64) -> Option<Label> {
        let item = |tuple: u64, idx: u64| mem.u64(at(tuple, layout.tuple_items)?.checked_add(idx * 8)?);
        match self.names {
            Names::Together { names, kinds } => {
                let name = item(names, idx)?;
                let kind = mem.u8(at(kinds, layout.bytes_data)?.checked_add(idx)?)?;
                // CO_FAST_CELL, CO_FAST_FREE: Include/internal/pycore_code.h, 3.11 and later.
                Some(if kind & 0xc0 == 0 { Label::Local(name) } else { Label::Closure(name) })
            }
            Names::Apart { tuples, n_locals, .. } if idx < n_locals => {
                Some(Label::Local(item(tuples[0], idx)?))
            }
            Names::Apart { tuples, n_locals, n_cells } if idx < n_locals + n_cells => {
                Some(Label::Closure(item(tuples[1], idx - n_locals)?))
            }
            Names::Apart { tuples, n_locals, n_cells } => {
                Some(Label::Closure(item(tuples[2], idx - n_locals - n_cells)?))
            }
        }
    }
}

/// Calls `f` with the names (`str` objects) of the last `n` slots of the code object at `code`: its free variables, in
/// the order of a function's closure.
pub fn free_variables<M: Memory>(mem: &M, rt: &Runtime, code: u64, n: u64, mut f: impl FnMut(u64)) {
    let layout = &rt.layout.runtime;
    let Some(shape) = Shape::read(mem, layout, code) else { return };
    for idx in shape.n_slots.saturating_sub(n)..shape.n_slots {
        match shape.label(mem, layout, idx) {
            Some(Label::Closure(name) | Label::Local(name)) => f(name),
            _ => return,
        }
    }
}

fn locals<M: Memory>(mem: &M, layout: &RuntimeLayout, base: u64, shape: &Shape, sink: &mut impl Sink) {
    let mut idx = 0;
    mem.words(base, shape.n_slots, |word| {
        if let Some((target, strength)) = slot(layout, word) {
            let label = shape.label(mem, layout, idx).unwrap_or(Label::Offset((idx * 8) as u32));
            sink.edge(target, label, strength);
        }
        idx += 1;
    });
}

/// The index of the first slot that is not in use, where the frame says so.
fn stack_top<M: Memory>(
    mem: &M,
    layout: &RuntimeLayout,
    frame: u64,
    base: u64,
    shape: &Shape,
) -> Option<u64> {
    let field = at(frame, layout.frame_stack)?;
    let top = match layout.stack_top {
        StackTop::Depth => shape.n_slots + u64::try_from(mem.u32(field)?.cast_signed()).ok()?,
        StackTop::Index => u64::try_from(mem.u32(field)?.cast_signed()).ok()?,
        StackTop::Pointer => mem.u64(field)?.checked_sub(base)? / 8,
    };
    (top <= shape.n_slots + shape.stack_size).then_some(top)
}

/// The object in a slot and what the slot counts for; `None` where there is none.
#[inline]
fn slot(layout: &RuntimeLayout, word: u64) -> Option<(u64, Strength)> {
    let (target, strength) = match (layout.slots, word & 3) {
        (Slots::Plain, _) | (Slots::Tagged, 0) => (word, Strength::Owned),
        (Slots::Tagged, 1) => (word & !3, Strength::Borrowed),
        (Slots::Tagged, _) => return None,
    };
    (target != 0).then_some((target, strength))
}
