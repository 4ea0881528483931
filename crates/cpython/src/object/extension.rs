//! Small types of extension modules with memory or references of their own beyond fixed fields.
//!
//! Sources: `Modules/_struct.c`, `Modules/_elementtree.c`, `Modules/itertoolsmodule.c`.

use super::sequence::{COUNT_MAX, items, size};
use super::{Emit, Read, is_address};
use crate::types::ObjectKind;
use crate::{Label, Memory, Sink, TypeInfo};

/// See `object::references`.
pub(super) fn references<M: Memory, S: Sink>(
    mem: &M,
    info: &TypeInfo,
    object: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    match info.kind {
        ObjectKind::XmlElement => element(mem, object, out),
        ObjectKind::TeeData => tee(mem, object, out),
        _ => {
            each_block(mem, info, object, |at, bytes| out.block(at, bytes));
            Read::Complete
        }
    }
}

/// What `__sizeof__` adds to the basic size, in bytes.
pub(super) fn extra_size<M: Memory>(mem: &M, info: &TypeInfo, object: u64) -> u64 {
    let mut bytes = 0u64;
    each_block(mem, info, object, |_, more| bytes = bytes.saturating_add(more));
    bytes
}

fn each_block<M: Memory>(mem: &M, info: &TypeInfo, object: u64, mut f: impl FnMut(u64, u64)) {
    let word = |at: u64| mem.u64(object.wrapping_add(at)).unwrap_or(0);
    match info.kind {
        ObjectKind::StructFormat => f(word(32), format_bytes(mem, word(32))),
        ObjectKind::XmlElement => {
            let extra = word(40);
            if is_address(extra) {
                let children = Children::read(mem, extra);
                f(extra, Children::EXTRA_BYTES);
                if children.first != extra + Children::INSIDE {
                    f(children.first, children.allocated.saturating_mul(8));
                }
            }
        }
        ObjectKind::Combinatoric => {
            let pool = size(mem, word(16)).unwrap_or(0) * 8;
            // Subclasses differ in size, not in where these fields lie.
            let has = |name| info.fields.iter().find(|field| field.name == name).map(|field| field.offset);
            match (has("pools"), has("result")) {
                (Some(_), _) => f(word(24), pool),
                (None, Some(32)) => f(word(24), word(40).min(COUNT_MAX) * 8),
                _ => {
                    f(word(24), pool);
                    f(word(32), word(48).min(COUNT_MAX) * 8);
                }
            }
        }
        _ => {}
    }
}

/// Format codes of four words, up to one whose first is null.
fn format_bytes<M: Memory>(mem: &M, codes: u64) -> u64 {
    const CODE_BYTES: u64 = 32;
    if !is_address(codes) {
        return 0;
    }
    let ends = |n: &u64| matches!(mem.u64(codes + n * CODE_BYTES), Some(0) | None);
    (0..1 << 16).find(ends).map_or(0, |n| (n + 1) * CODE_BYTES)
}

/// `ElementObjectExtra`: attributes, number of children, room for them, their address, room for four.
struct Children {
    count: u64,
    allocated: u64,
    first: u64,
}

impl Children {
    const INSIDE: u64 = 32;
    const EXTRA_BYTES: u64 = 64;

    fn read<M: Memory>(mem: &M, extra: u64) -> Children {
        let word = |at: u64| mem.u64(extra + at).unwrap_or(0);
        Children { count: word(8), allocated: word(16), first: word(24) }
    }
}

fn element<M: Memory, S: Sink>(mem: &M, object: u64, out: &mut Emit<'_, S>) -> Read {
    let extra = mem.u64(object + 40).unwrap_or(0);
    if extra == 0 {
        return Read::Complete;
    }
    if !is_address(extra) {
        return Read::Torn;
    }
    out.own(mem.u64(extra).unwrap_or(0), Label::Field("attrib"));
    let children = Children::read(mem, extra);
    if children.count > children.allocated || children.allocated > COUNT_MAX {
        return Read::Torn;
    }
    out.block(extra, Children::EXTRA_BYTES);
    if children.first != extra + Children::INSIDE {
        out.block(children.first, children.allocated * 8);
    }
    items(mem, children.first, children.count, out)
}

/// `teedataobject`: iterator, number of values read, next link, up to 57 values.
fn tee<M: Memory, S: Sink>(mem: &M, object: u64, out: &mut Emit<'_, S>) -> Read {
    let word = |at: u64| mem.u64(object + at).unwrap_or(0);
    out.own(word(16), Label::Field("iterator"));
    out.own(word(32), Label::Field("next"));
    let n = u64::from(mem.u32(object + 24).unwrap_or(0));
    if n > 57 { Read::Torn } else { items(mem, object + 40, n, out) }
}
