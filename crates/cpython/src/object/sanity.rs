//! Whether a block can hold an object: cheap tests of what every object of a kind must satisfy.

use super::text::{self, Str};
use super::{dict, is_address, sequence, set, sizes};
use crate::types::ObjectKind;
use crate::{Memory, Runtime, TypeInfo, refcount};

/// No object has more references.
const REFCOUNT_MAX: u64 = 1 << 32;
const GC_NEXT: u64 = 16;

/// See `object::is_object`.
pub(super) fn is_object<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, object: u64) -> bool {
    if mem.u64(object + 8) != Some(info.address) {
        return false;
    }
    let counted = match refcount(mem, rt, object) {
        Some(count) => {
            count.immortal || (1..=REFCOUNT_MAX).contains(&count.count) && !is_mapped(mem, count.count)
        }
        None => false,
    };
    counted
        && head_is_sane(mem, info, object)
        && ends_in_memory(mem, rt, info, object)
        && fits(mem, rt, info, object)
}

/// A count that is an address is a pointer: a C struct that starts with two types looks like an object of the second
/// (`PyDateTime_CAPI`, Include/datetime.h, of an executable at a low address).
fn is_mapped<M: Memory>(mem: &M, count: u64) -> bool {
    is_address(count) && mem.u8(count).is_some()
}

/// The next pointer of the collector's head is null or aligned but for its flag (3.14.0).
fn head_is_sane<M: Memory>(mem: &M, info: &TypeInfo, object: u64) -> bool {
    if !info.has_gc || info.kind == ObjectKind::Type {
        return true;
    }
    mem.u64(object.wrapping_sub(GC_NEXT)).is_some_and(|next| next & !1 == 0 || is_address(next & !1))
}

fn ends_in_memory<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, object: u64) -> bool {
    let bytes = sizes::own_bytes(mem, rt, info, object).max(16);
    mem.u8(object.saturating_add(bytes - 1)).is_some()
}

fn fits<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, object: u64) -> bool {
    match info.kind {
        ObjectKind::List => match (sequence::size(mem, object), mem.u64(object + 24)) {
            (Some(size), Some(items)) => {
                let allocated = sequence::list_allocated(mem, object);
                size <= allocated && (allocated == 0 || is_address(items))
            }
            _ => false,
        },
        ObjectKind::Tuple
        | ObjectKind::Bytes
        | ObjectKind::ByteArray
        | ObjectKind::Deque
        | ObjectKind::Array => sequence::size(mem, object).is_some(),
        ObjectKind::Dict | ObjectKind::OrderedDict => dict::is_sane(mem, rt, object),
        ObjectKind::Set => set::is_sane(mem, object),
        ObjectKind::Str => Str::read(mem, rt, object).is_some(),
        ObjectKind::Int => text::int_digits(mem, rt, object) <= sequence::COUNT_MAX,
        _ => true,
    }
}
