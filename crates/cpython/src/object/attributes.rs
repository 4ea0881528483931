//! Where an instance keeps what it has: fixed fields, slots, its dict or inline values, its weak references.
//!
//! Sources: `Objects/dictobject.c` (`PyObject_VisitManagedDict`), `Include/internal/pycore_object.h`.

use super::dict::{self, KeyTable};
use super::{Emit, Read, is_address, sizes};
use crate::layouts::Attributes;
use crate::types::{AttributePlace, ObjectKind, flag};
use crate::{Label, Memory, Runtime, Sink, Strength, TypeInfo};

const DICT_WORD: u64 = 24;
const SECOND_WORD: u64 = 32;

/// The object's bytes as far as they lie in one piece, to read fields without a look-up each.
pub(super) struct Body<'m> {
    bytes: &'m [u8],
    object: u64,
}

impl<'m> Body<'m> {
    pub(super) fn new<M: Memory>(mem: &'m M, object: u64) -> Body<'m> {
        Body { bytes: mem.tail(object), object }
    }

    /// The word at `offset`; 0 where unreadable.
    #[inline]
    pub(super) fn word<M: Memory>(&self, mem: &M, offset: u64) -> u64 {
        let at = offset as usize;
        match self.bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => mem.u64(self.object.wrapping_add(offset)).unwrap_or(0),
        }
    }
}

/// Everything that `info` says of fixed places: fields, members, dict, weak references, unknown words.
pub(super) fn references<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    info: &TypeInfo,
    object: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    let body = Body::new(mem, object);
    for field in &info.fields {
        let target = body.word(mem, u64::from(field.offset));
        out.edge(target, Label::Field(field.name), field.strength);
    }
    for member in &info.members {
        out.own(body.word(mem, u64::from(member.offset)), Label::Member(member.name));
    }
    let read = if info.kind == ObjectKind::Type {
        Read::Complete
    } else {
        own_dict(mem, info, object, out);
        weak_references(mem, info, object, out);
        managed(mem, rt, info, object, out)
    };
    for offset in &info.unknown {
        // A word with the object's own address is C's way to find it, not a reference (Cython's functions).
        let word = body.word(mem, u64::from(*offset));
        if word != object {
            out.guess(word, *offset);
        }
    }
    read
}

/// A dict at `tp_dictoffset`; counted from the end where negative.
fn own_dict<M: Memory, S: Sink>(mem: &M, info: &TypeInfo, object: u64, out: &mut Emit<'_, S>) {
    let at = match info.dict_offset {
        0 => return,
        _ if info.attributes != AttributePlace::None => return,
        offset @ 1.. => offset as u64,
        offset => sizes::end_of_items(mem, info, object).wrapping_add_signed(offset),
    };
    if !has_field(info, at) {
        out.own(mem.u64(object.wrapping_add(at)).unwrap_or(0), Label::Field("__dict__"));
    }
}

fn has_field(info: &TypeInfo, offset: u64) -> bool {
    info.fields.iter().any(|field| u64::from(field.offset) == offset)
}

fn weak_references<M: Memory, S: Sink>(mem: &M, info: &TypeInfo, object: u64, out: &mut Emit<'_, S>) {
    let at = match info.weaklist_offset {
        offset @ 1.. if !has_field(info, offset as u64) => object.wrapping_add(offset as u64),
        _ if info.flags & flag::MANAGED_WEAKREF != 0 && info.presize >= SECOND_WORD => {
            object.wrapping_sub(SECOND_WORD)
        }
        _ => return,
    };
    out.edge(mem.u64(at).unwrap_or(0), Label::Field("__weakref__"), Strength::Borrowed);
}

/// The attributes that the interpreter manages in words before the object or in the object.
fn managed<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    info: &TypeInfo,
    object: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    if info.attributes == AttributePlace::None {
        return Read::Complete;
    }
    let Some(word) = mem.u64(object.wrapping_sub(DICT_WORD)) else { return Read::Torn };
    let values = match rt.layout.objects.attributes {
        Attributes::Dict => return Read::Complete,
        Attributes::TwoWords => mem.u64(object.wrapping_sub(SECOND_WORD)).unwrap_or(0),
        Attributes::TaggedWord if word & 1 != 0 => {
            return own_values(mem, rt, info, word.wrapping_add(1), out);
        }
        Attributes::TaggedWord => 0,
        Attributes::Inline => return inline(mem, rt, info, object, word, out),
    };
    out.own(word, Label::Field("__dict__"));
    if values != 0 { own_values(mem, rt, info, values, out) } else { Read::Complete }
}

/// Values in a block of their own (3.11, 3.12).
fn own_values<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    info: &TypeInfo,
    values: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    if !is_address(values) {
        return Read::Torn;
    }
    let Some(keys) = KeyTable::read(mem, rt, info.shared_keys) else { return Read::Torn };
    dict::values_block(mem, rt, &keys, values, out);
    dict::attributes(mem, rt, &keys, values, out)
}

/// A dict, if one was made, and values inside the object while they are valid (3.13).
fn inline<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    info: &TypeInfo,
    object: u64,
    dict: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    out.own(dict, Label::Field("__dict__"));
    let AttributePlace::Inline(size) = info.attributes else { return Read::Complete };
    let values = object.wrapping_add(info.basic_size);
    let valid = rt.layout.objects.values_valid.and_then(|at| mem.u8(values.wrapping_add(u64::from(at))));
    if size == 0 || valid == Some(0) {
        return Read::Complete;
    }
    match KeyTable::read(mem, rt, info.shared_keys) {
        Some(keys) => dict::attributes(mem, rt, &keys, values, out),
        None => Read::Torn,
    }
}
