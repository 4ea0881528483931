//! Arrays of references: `list`, `tuple`, `deque`, `SimpleQueue`, the links of `lru_cache`.

use super::attributes::Body;
use super::{Emit, Read, is_address};
use crate::{Label, Memory, Runtime, Sink, TypeInfo};

/// Sizes beyond this cannot be real.
pub(super) const COUNT_MAX: u64 = 1 << 40;

const OB_SIZE: u64 = 16;
const LIST_ITEMS: u64 = 24;
const LIST_ALLOCATED: u64 = 32;

/// `ob_size`; `None` where unreadable, negative or absurd.
pub(super) fn size<M: Memory>(mem: &M, object: u64) -> Option<u64> {
    mem.u64(object.checked_add(OB_SIZE)?).filter(|size| *size <= COUNT_MAX)
}

/// `count` owned references from `first` on, named by index.
pub(super) fn items<M: Memory, S: Sink>(mem: &M, first: u64, count: u64, out: &mut Emit<'_, S>) -> Read {
    if count != 0 && !is_address(first) {
        return Read::Torn;
    }
    let mut idx = 0u32;
    let got = mem.words(first, count, |target| {
        out.own(target, Label::Index(idx));
        idx = idx.wrapping_add(1);
    });
    Read::complete_if(got == count)
}

/// `Objects/listobject.c`.
pub(super) fn list<M: Memory, S: Sink>(mem: &M, body: &Body<'_>, out: &mut Emit<'_, S>) -> Read {
    let [size, first, allocated] = [OB_SIZE, LIST_ITEMS, LIST_ALLOCATED].map(|at| body.word(mem, at));
    if size > allocated || allocated > COUNT_MAX {
        return Read::Torn;
    }
    out.block(first, allocated * 8);
    items(mem, first, size, out)
}

/// Words allocated for the items.
pub(super) fn list_allocated<M: Memory>(mem: &M, object: u64) -> u64 {
    mem.u64(object + LIST_ALLOCATED).filter(|allocated| *allocated <= COUNT_MAX).unwrap_or(0)
}

/// `Objects/tupleobject.c`, and `Objects/structseq.c` with items beyond the size.
pub(super) fn tuple<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    info: &TypeInfo,
    object: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    let Some(size) = size(mem, object) else { return Read::Torn };
    items(mem, object + u64::from(rt.layout.runtime.tuple_items), size + info.hidden_items, out)
}

/// Items of a type of which nothing is known.
pub(super) fn unknown<M: Memory, S: Sink>(
    mem: &M,
    info: &TypeInfo,
    object: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    let words = size(mem, object).unwrap_or(0).saturating_mul(info.item_size) / 8;
    let mut offset = info.basic_size as u32;
    let got = mem.words(object + info.basic_size, words, |word| {
        out.guess(word, offset);
        offset = offset.wrapping_add(8);
    });
    Read::complete_if(got == words)
}

/// `Modules/_collectionsmodule.c`: blocks of 64 items between two links.
pub(super) mod deque {
    use super::{COUNT_MAX, Emit, Label, Memory, Read, Sink, size};

    pub(in crate::object) const BLOCK_BYTES: u64 = 8 * (ITEMS + 2);
    const ITEMS: u64 = 64;
    const LEFT_BLOCK: u64 = 24;
    const LEFT_INDEX: u64 = 40;

    /// Items and blocks.
    pub(in crate::object) fn references<M: Memory, S: Sink>(
        mem: &M,
        object: u64,
        out: &mut Emit<'_, S>,
    ) -> Read {
        let (Some(size), Some(first), Some(mut at)) =
            (size(mem, object), mem.u64(object + LEFT_BLOCK), mem.u64(object + LEFT_INDEX))
        else {
            return Read::Torn;
        };
        if at > ITEMS {
            return Read::Torn;
        }
        let (mut block, mut left) = (first, size);
        let mut idx = 0u32;
        loop {
            out.block(block, BLOCK_BYTES);
            let n = left.min(ITEMS - at);
            let got = mem.words(block.wrapping_add(8 * (1 + at)), n, |target| {
                out.own(target, Label::Index(idx));
                idx = idx.wrapping_add(1);
            });
            left -= n;
            if got < n {
                return Read::Torn;
            }
            if left == 0 {
                return Read::Complete;
            }
            let Some(next) = mem.u64(block.wrapping_add(8 * (1 + ITEMS))) else { return Read::Torn };
            // Links that agree both ways and never lead to the first block cannot run in a circle.
            if mem.u64(next) != Some(block) || next == first {
                return Read::Torn;
            }
            (block, at) = (next, 0);
        }
    }

    /// `deque.__sizeof__` less the basic size, in bytes.
    pub(in crate::object) fn extra_size<M: Memory>(mem: &M, object: u64) -> u64 {
        let (Some(size), Some(at)) = (size(mem, object), mem.u64(object + LEFT_INDEX)) else { return 0 };
        at.min(COUNT_MAX).saturating_add(size).div_ceil(ITEMS).saturating_mul(BLOCK_BYTES)
    }
}

/// `Modules/_queuemodule.c`: a ring of items (3.13); before, a list, which is a field.
pub(super) fn simple_queue<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    object: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    let Some(ring) = rt.layout.objects.queue_ring else { return Read::Complete };
    let word = |idx: u64| mem.u64(object + u64::from(ring) + 8 * idx).filter(|word| *word < 1 << 47);
    let (Some(get), Some(first), Some(capacity), Some(len)) = (word(1), word(2), word(3), word(4)) else {
        return Read::Torn;
    };
    if len > capacity || get > capacity || capacity > COUNT_MAX || !is_address(first) {
        return Read::Torn;
    }
    out.block(first, capacity * 8);
    let before_wrap = len.min(capacity - get);
    let mut idx = 0u32;
    let mut give = |target| {
        out.own(target, Label::Index(idx));
        idx = idx.wrapping_add(1);
    };
    let got =
        mem.words(first + get * 8, before_wrap, &mut give) + mem.words(first, len - before_wrap, &mut give);
    Read::complete_if(got == len)
}

/// Bytes of that ring.
pub(super) fn queue_bytes<M: Memory>(mem: &M, rt: &Runtime, object: u64) -> u64 {
    let capacity = rt.layout.objects.queue_ring.and_then(|ring| mem.u64(object + u64::from(ring) + 24));
    capacity.filter(|capacity| *capacity <= COUNT_MAX).map_or(0, |capacity| capacity * 8)
}

/// `Modules/_functoolsmodule.c`: the wrapper owns each link of its list, and the cache dict owns it once more.
pub(super) fn lru_links<M: Memory, S: Sink>(mem: &M, object: u64, out: &mut Emit<'_, S>) -> Read {
    const PREVIOUS: u64 = 16;
    const NEXT: u64 = 24;
    let (mut previous, mut at) = (object, mem.u64(object + NEXT).unwrap_or(0));
    while at != object && at != 0 {
        // Links that agree both ways cannot run in a circle without the root.
        if mem.u64(at.wrapping_add(PREVIOUS)) != Some(previous) {
            return Read::Torn;
        }
        out.own(at, Label::Item);
        previous = at;
        at = match mem.u64(at.wrapping_add(NEXT)) {
            Some(next) => next,
            None => return Read::Torn,
        };
    }
    Read::Complete
}
