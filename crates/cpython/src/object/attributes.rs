//! Where an instance keeps what it has: fixed fields, slots, its dict or inline values, its weak references.
//!
//! Sources: `Objects/dictobject.c` (`PyObject_VisitManagedDict`), `Include/internal/pycore_object.h`.

use super::dict;
use super::{Emit, Read, is_address, sizes};
use crate::layouts::Attributes;
use crate::types::{AttributePlace, ObjectKind, flag};
use crate::{Label, Memory, Runtime, Sink, Strength, TypeInfo};

const DICT_WORD: u64 = 24;
const SECOND_WORD: u64 = 32;

/// The object's bytes as far as they lie in one piece, to read fields without a look-up each.
pub(super) struct Body<'m> {
    bytes: &'m [u8],
    start: u64,
    object: u64,
}

impl<'m> Body<'m> {
    /// From `presize` bytes before the object on.
    pub(super) fn new<M: Memory>(mem: &'m M, object: u64, presize: u64) -> Body<'m> {
        let start = object.wrapping_sub(presize);
        Body { bytes: mem.tail(start), start, object }
    }

    /// The word at `offset`; 0 where unreadable.
    #[inline]
    pub(super) fn word<M: Memory>(&self, mem: &M, offset: u64) -> u64 {
        let at = self.object.wrapping_add(offset).wrapping_sub(self.start) as usize;
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
    body: &Body<'_>,
    out: &mut Emit<'_, S>,
) -> Read {
    let object = body.object;
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
        own_dict(mem, info, body, out);
        weak_references(mem, info, body, out);
        managed(mem, rt, info, body, out)
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
fn own_dict<M: Memory, S: Sink>(mem: &M, info: &TypeInfo, body: &Body<'_>, out: &mut Emit<'_, S>) {
    let at = match info.dict_offset {
        0 => return,
        _ if info.attributes != AttributePlace::None => return,
        offset @ 1.. => offset as u64,
        offset => sizes::end_of_items(mem, info, body.object).wrapping_add_signed(offset),
    };
    if !has_field(info, at) {
        out.own(body.word(mem, at), Label::Field("__dict__"));
    }
}

fn has_field(info: &TypeInfo, offset: u64) -> bool {
    info.fields.iter().any(|field| u64::from(field.offset) == offset)
}

fn weak_references<M: Memory, S: Sink>(mem: &M, info: &TypeInfo, body: &Body<'_>, out: &mut Emit<'_, S>) {
    let at = match info.weaklist_offset {
        offset @ 1.. if !has_field(info, offset as u64) => offset as u64,
        _ if info.flags & flag::MANAGED_WEAKREF != 0 && info.presize >= SECOND_WORD => {
            0u64.wrapping_sub(SECOND_WORD)
        }
        _ => return,
    };
    out.edge(body.word(mem, at), Label::Field("__weakref__"), Strength::Borrowed);
}

/// The attributes that the interpreter manages in words before the object or in the object.
fn managed<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    info: &TypeInfo,
    body: &Body<'_>,
    out: &mut Emit<'_, S>,
) -> Read {
    if info.attributes == AttributePlace::None {
        return Read::Complete;
    }
    let word = body.word(mem, DICT_WORD.wrapping_neg());
    let values = match rt.layout.objects.attributes {
        Attributes::Dict => return Read::Complete,
        Attributes::TwoWords => body.word(mem, SECOND_WORD.wrapping_neg()),
        Attributes::TaggedWord if word & 1 != 0 => {
            return own_values(mem, rt, info, word.wrapping_add(1), out);
        }
        Attributes::TaggedWord => 0,
        Attributes::Inline => return inline(mem, rt, info, (body, word), out),
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
    dict::values_block(mem, rt, u64::from(info.shared_capacity), values, out);
    let first = values + u64::from(rt.layout.objects.values_first);
    let mut names = info.shared_names.iter();
    let n = info.shared_names.len() as u64;
    let got = mem.words(first, n, |value| {
        let name = names.next().copied().unwrap_or(0);
        out.own(value, Label::Attribute(name));
    });
    Read::complete_if(got == n)
}

/// A dict, if one was made, and values inside the object while they are valid (3.13).
fn inline<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    info: &TypeInfo,
    (body, dict): (&Body<'_>, u64),
    out: &mut Emit<'_, S>,
) -> Read {
    out.own(dict, Label::Field("__dict__"));
    let AttributePlace::Inline(size) = info.attributes else { return Read::Complete };
    let layout = &rt.layout.objects;
    let head = body.word(mem, info.basic_size).to_le_bytes();
    let valid = layout.values_valid.and_then(|at| head.get(at as usize).copied());
    if size == 0 || valid == Some(0) {
        return Read::Complete;
    }
    let first = info.basic_size + u64::from(layout.values_first);
    for (idx, name) in (0..).zip(&info.shared_names) {
        out.own(body.word(mem, first + 8 * idx), Label::Attribute(*name));
    }
    Read::Complete
}
