//! Type objects as objects: what a class holds.
//!
//! Since 3.12 static types keep dict and subclasses in a table of each interpreter.
//! Source: `Objects/typeobject.c`, `Include/internal/pycore_typeobject.h`.

use super::dict::{self, KeyTable};
use super::{Emit, Read, is_address};
use crate::types::{ObjectKind, flag, offset};
use crate::{Label, Memory, Runtime, Sink, Strength, TypeInfo};

/// Strings longer than this are cut.
const TEXT_MAX: u64 = 1 << 16;
/// `sizeof(PyDictObject)`, where ctypes' own dict goes on.
pub(super) const CTYPES_DICT: u64 = 48;
/// Bytes of what ctypes keeps of a class, at least.
const CTYPES_BYTES_MIN: u64 = 144;
/// And from here on the class of pointers to it stands last.
const CTYPES_BYTES_LONG: u64 = 160;

/// What the type object at `object` holds.
pub(super) fn references<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    object: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    let Some(flags) = mem.u64(object + offset::FLAGS) else { return Read::Torn };
    let word = |at: u64| mem.u64(object + at).unwrap_or(0);
    let managed = flags & flag::STATIC_BUILTIN != 0 && word(offset::DICT) == 0;
    for interpreter in rt.interpreters.iter().filter(|_| managed) {
        let Some(state) = static_state(mem, rt, *interpreter, object) else { continue };
        out.own(state.dict, Label::Field("__dict__"));
        out.own(state.subclasses, Label::Field("__subclasses__"));
    }
    if !managed {
        out.own(word(offset::DICT), Label::Field("__dict__"));
        if word(offset::SUBCLASSES) >= 0x1000 {
            out.own(word(offset::SUBCLASSES), Label::Field("__subclasses__"));
        }
    }
    // Objects/typeobject.c: type_ready_set_bases counts the base of a heap type only.
    let heap_type = flags & flag::HEAPTYPE != 0;
    let counted = if heap_type { Strength::Owned } else { Strength::Borrowed };
    out.edge(word(offset::BASE), Label::Field("__base__"), counted);
    out.own(word(offset::BASES), Label::Field("__bases__"));
    out.own(word(offset::MRO), Label::Field("__mro__"));
    out.own(word(offset::CACHE), Label::Field("tp_cache"));
    if heap_type { heap(mem, rt, object, out) } else { Read::Complete }
}

fn heap<M: Memory, S: Sink>(mem: &M, rt: &Runtime, object: u64, out: &mut Emit<'_, S>) -> Read {
    let layout = &rt.layout.objects;
    let word = |at: u64| mem.u64(object + at).unwrap_or(0);
    let names = u64::from(layout.type_heap_name);
    for (idx, name) in [(0, "__name__"), (1, "__slots__"), (2, "__qualname__")] {
        out.own(word(names + 8 * idx), Label::Field(name));
    }
    out.own(word(u64::from(layout.type_heap_module)), Label::Field("ht_module"));
    text_block(mem, word(offset::DOC), out);
    if let Some(at) = layout.type_heap_tpname {
        text_block(mem, word(u64::from(at)), out);
    }
    let keys = word(u64::from(layout.type_heap_keys));
    match KeyTable::read(mem, rt, keys) {
        Some(keys) => dict::own_keys(mem, &keys, out),
        None if keys != 0 => return Read::Torn,
        None => {}
    }
    Read::Complete
}

/// A NUL-terminated string in a block of its own.
fn text_block<M: Memory, S: Sink>(mem: &M, text: u64, out: &mut Emit<'_, S>) {
    if let Some(bytes @ 1..) = text_bytes(mem, text) {
        out.block(text, bytes);
    }
}

/// Bytes of a NUL-terminated string with its end, 0 for none; `None` where it has no end.
fn text_bytes<M: Memory>(mem: &M, text: u64) -> Option<u64> {
    let mut len = 0;
    while text != 0 && len < TEXT_MAX {
        let tail = mem.tail(text.wrapping_add(len));
        let tail = tail.get(..tail.len().min((TEXT_MAX - len) as usize)).unwrap_or(&[]);
        if let Some(end) = tail.iter().position(|byte| *byte == 0) {
            return Some(len + end as u64 + 1);
        }
        if tail.is_empty() {
            return None;
        }
        len += tail.len() as u64;
    }
    (text == 0).then_some(0)
}

/// What ctypes keeps of a class: a dict of its own kind up to 3.12, the end of the class from 3.13 on. `info` is the type of
/// `object`; `None` where it is neither.
///
/// Sources: `PyCStgDict_sizeof` in `Modules/_ctypes/stgdict.c`, `CType_Type___sizeof__` in `Modules/_ctypes/_ctypes.c`.
pub(super) fn ctypes_extra<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, object: u64) -> Option<u64> {
    // Both structs have `size` and what follows it, and end in `format`, `ndim`, `shape`; the longer ones of 3.14 on then
    // have `pointer_type`.
    let start = match info.kind {
        ObjectKind::Dict if info.name == "StgDict" => CTYPES_DICT,
        ObjectKind::Type if is_heap(mem, object) && info.name.contains("ctypes") => {
            u64::from(rt.layout.objects.type_heap_size).next_multiple_of(16) + 8
        }
        _ => return None,
    };
    let n_bytes = info.basic_size.checked_sub(start).filter(|n| *n >= CTYPES_BYTES_MIN)?;
    let end = info.basic_size - if n_bytes < CTYPES_BYTES_LONG { 0 } else { 8 };
    let word = |at: u64| mem.u64(object.wrapping_add(at)).unwrap_or(0);
    let format = text_bytes(mem, word(end - 24)).unwrap_or(0);
    let n_elements = if word(start + 40) == 0 { 0 } else { word(start + 16).saturating_add(1) };
    let n_dimensions = word(end - 16) & u64::from(u32::MAX);
    Some(format.saturating_add(n_elements.saturating_add(n_dimensions).saturating_mul(8)))
}

/// `type.__sizeof__`, in bytes. `info` is the type's type.
pub(super) fn size<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, object: u64) -> u64 {
    let layout = &rt.layout.objects;
    if !is_heap(mem, object) {
        return u64::from(layout.type_static_size);
    }
    if let Some(extra) = ctypes_extra(mem, rt, info, object) {
        return info.basic_size.saturating_add(extra);
    }
    let keys = mem.u64(object + u64::from(layout.type_heap_keys)).unwrap_or(0);
    u64::from(layout.type_heap_size) + KeyTable::read(mem, rt, keys).map_or(0, |keys| keys.bytes())
}

/// Whether the type object at `object` was made at run time.
pub(super) fn is_heap<M: Memory>(mem: &M, object: u64) -> bool {
    mem.u64(object.wrapping_add(offset::FLAGS)).unwrap_or(0) & flag::HEAPTYPE != 0
}

/// The dict of the type at `address`, in the first interpreter that has one.
pub(crate) fn dict<M: Memory>(mem: &M, rt: &Runtime, address: u64) -> Option<u64> {
    if !is_address(address) {
        return None;
    }
    match mem.u64(address + offset::DICT)? {
        0 => rt
            .interpreters
            .iter()
            .rev()
            .filter_map(|interpreter| static_state(mem, rt, *interpreter, address))
            .map(|state| state.dict)
            .find(|dict| *dict != 0),
        dict => Some(dict),
    }
}

/// What an interpreter keeps for a static type.
struct StaticState {
    dict: u64,
    subclasses: u64,
}

/// A type's place in the table stands, plus one, in `tp_subclasses`.
fn static_state<M: Memory>(mem: &M, rt: &Runtime, interpreter: u64, address: u64) -> Option<StaticState> {
    let layout = &rt.layout.runtime;
    let size = u64::from(layout.static_type_size?);
    let idx = mem.u64(address + offset::SUBCLASSES)?.checked_sub(1)?;
    let tables = [
        (layout.interp_static_types, layout.interp_static_types_count),
        (layout.interp_extension_types, layout.interp_extension_types_count),
    ];
    for (table, count) in tables {
        let (Some(table), Some(_)) = (table, count) else { continue };
        if idx >= 1 << 12 {
            return None;
        }
        let state = interpreter.wrapping_add(u64::from(table) + idx * size);
        if mem.u64(state.wrapping_add(u64::from(layout.static_type_type?))) == Some(address) {
            let word = |at: Option<u32>| at.and_then(|at| mem.u64(state + u64::from(at))).unwrap_or(0);
            return Some(StaticState {
                dict: word(layout.static_type_dict),
                subclasses: word(layout.static_type_subclasses),
            });
        }
    }
    None
}
