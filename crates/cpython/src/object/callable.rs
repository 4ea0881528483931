//! What runs: the parts of code objects, generators, frames and modules that are not fixed fields.
//!
//! Source: `Include/cpython/code.h`, `Include/internal/pycore_genobject.h`, `Objects/moduleobject.c`.

use super::{Emit, Read, is_address, sequence};
use crate::layouts::{Finished, Frames};
use crate::{Label, Memory, Runtime, Sink, TypeInfo, frames};

/// Bytes of a module's state that are looked at.
const STATE_MAX: u64 = 1 << 16;

/// Cached objects and blocks of a code object.
pub(super) fn code<M: Memory, S: Sink>(mem: &M, rt: &Runtime, object: u64, out: &mut Emit<'_, S>) -> Read {
    let layout = &rt.layout.objects;
    let word = |at: u32| mem.u64(object + u64::from(at)).unwrap_or(0);
    if let Some(cached) = layout.code_cached.map(word).filter(|cached| *cached != 0) {
        out.block(cached, 32);
        for (idx, name) in (0..).zip(["co_code", "co_varnames", "co_cellvars", "co_freevars"]) {
            out.own(mem.u64(cached.wrapping_add(8 * idx)).unwrap_or(0), Label::Field(name));
        }
    }
    each_code_cache(mem, rt, object, |at, bytes| out.block(at, bytes));
    let extra = word(layout.code_extra);
    if extra != 0 {
        out.block(extra, code_extra_size(mem, rt, object));
    }
    Read::Complete
}

/// Bytes of `co_extra`: a count, and as many words.
pub(super) fn code_extra_size<M: Memory>(mem: &M, rt: &Runtime, object: u64) -> u64 {
    match mem.u64(object + u64::from(rt.layout.objects.code_extra)) {
        Some(extra @ 1..) => mem.u64(extra).filter(|n| *n < 1 << 16).map_or(0, |n| 8 + 8 * n),
        _ => 0,
    }
}

/// Bytes of the blocks that only 3.10 has: cells that are arguments, and caches of instructions.
pub(super) fn code_caches_size<M: Memory>(mem: &M, rt: &Runtime, object: u64) -> u64 {
    let mut size = 0;
    each_code_cache(mem, rt, object, |_, bytes| size += bytes);
    size
}

fn each_code_cache<M: Memory>(mem: &M, rt: &Runtime, object: u64, mut f: impl FnMut(u64, u64)) {
    /// `sizeof(_PyOpcache)`.
    const CACHE_BYTES: u64 = 32;
    let (layout, runtime) = (&rt.layout.objects, &rt.layout.runtime);
    let word = |at: Option<u32>| at.and_then(|at| mem.u64(object + u64::from(at))).unwrap_or(0);
    let items = |at: Option<u32>| sequence::size(mem, word(at)).unwrap_or(0).min(1 << 32);
    let cells = word(layout.code_cell2arg);
    if cells != 0 {
        f(cells, items(runtime.code_cellvars) * 8);
    }
    if let (Some(map), Some(n)) = (layout.code_opcache, layout.code_opcache_size) {
        let cache = word(Some(map + 8));
        if cache != 0 {
            f(word(Some(map)), items(runtime.code_instructions_object) / 2);
            f(cache, u64::from(mem.u8(object + u64::from(n)).unwrap_or(0)) * CACHE_BYTES);
        }
    }
}

/// The frame inside a generator, coroutine or asynchronous generator, while it holds anything.
pub(super) fn generator<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    object: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    let (layout, runtime) = (&rt.layout.objects, &rt.layout.runtime);
    let (Some(state), Some(frame)) = (layout.generator_state, layout.generator_frame) else {
        return Read::Complete;
    };
    let frame = object + u64::from(frame);
    let word = |at: Option<u32>| at.and_then(|at| mem.u64(frame + u64::from(at))).unwrap_or(0);
    let Some(state) = mem.u8(object + u64::from(state)).map(u8::cast_signed) else { return Read::Torn };
    // Closed before its first step, a generator counts as completed and still holds its arguments (Objects/genobject.c,
    // gen_close).
    if state < layout.frame_cleared {
        frames::references(mem, rt, frame, out.sink);
        return Read::Complete;
    }
    if layout.finished == Finished::Code {
        out.own(word(Some(runtime.frame_code)) & !7, Label::Field("f_code"));
    }
    Read::Complete
}

/// The frame that a frame object owns; one that still runs belongs to its thread or generator.
pub(super) fn frame<M: Memory, S: Sink>(mem: &M, rt: &Runtime, object: u64, out: &mut Emit<'_, S>) -> Read {
    if rt.layout.runtime.frames == Frames::Objects {
        frames::references(mem, rt, object, out.sink);
        return Read::Complete;
    }
    let layout = &rt.layout.objects;
    let (Some(at), Some(data)) = (layout.frame_object_frame, layout.frame_object_data) else {
        return Read::Complete;
    };
    match mem.u64(object + u64::from(at)) {
        Some(frame) if frame == object + u64::from(data) => {
            frames::references(mem, rt, frame, out.sink);
            Read::Complete
        }
        Some(_) => Read::Complete,
        None => Read::Torn,
    }
}

/// Words for locals, cells, free variables and stack of the frame that a generator or frame object has room for.
pub(super) fn frame_slots<M: Memory>(mem: &M, rt: &Runtime, frame: u64) -> Option<u64> {
    let layout = &rt.layout.runtime;
    if !is_address(frame) {
        return None;
    }
    let code = mem.u64(frame + u64::from(layout.frame_code))? & !7;
    let n_slots = mem.u32(code.checked_add(u64::from(layout.code_n_slots?))?)?;
    let stack = mem.u32(code.checked_add(u64::from(layout.code_stack_size))?)?;
    (n_slots < 1 << 20 && stack < 1 << 20).then_some(u64::from(n_slots) + u64::from(stack))
}

/// The state of a C extension module: its block, and words in it that may refer to objects.
pub(super) fn module_state<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    object: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    const DEF_SIZE: u64 = 56;
    let layout = &rt.layout.objects;
    let word = |at: u64| mem.u64(object + at).unwrap_or(0);
    let state = word(u64::from(layout.module_state));
    if state == 0 {
        return Read::Complete;
    }
    let size = match (layout.module_state_size, layout.module_def) {
        (Some(size), _) => word(u64::from(size)),
        (None, Some(def)) => mem.u64(word(u64::from(def)).wrapping_add(DEF_SIZE)).unwrap_or(0),
        (None, None) => 0,
    };
    if size as i64 <= 0 || size > 1 << 32 {
        return Read::Complete;
    }
    out.block(state, size);
    let mut offset = 0;
    mem.words(state, size.min(STATE_MAX) / 8, |word| {
        out.guess(word, offset);
        offset += 8;
    });
    Read::Complete
}

/// Bytes of the frame's slots that a generator or frame object has at its end.
pub(super) fn slots_bytes<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, frame: u64) -> u64 {
    frame_slots(mem, rt, frame).unwrap_or(0) * info.item_size
}
