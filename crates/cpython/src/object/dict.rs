//! `dict` and its kin: tables of keys, split values, look-ups, the links of `OrderedDict`.
//!
//! A table of keys that instances share belongs to their class; a dict with split values owns only those, and none
//! where they lie inside an instance. Source: `Objects/dictobject.c`, `Include/internal/pycore_dict.h`.

use alloc::vec::Vec;

use super::attributes::Body;
use super::{Emit, Read, is_address};
use crate::layouts::Keys;
use crate::{Label, Memory, Runtime, Sink};

const MA_USED: u64 = 16;
const MA_KEYS: u64 = 32;
const MA_VALUES: u64 = 40;
/// `DKIX` tables beyond this cannot be real.
const LOG2_MAX: u8 = 40;

/// A table of keys, checked to be sane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyTable {
    address: u64,
    refcount: u64,
    n_entries: u64,
    /// Entries that a split dict or an instance has room for.
    shared_capacity: u64,
    entries: u64,
    /// Words of an entry: 2 (key, value) or 3 (hash, key, value).
    stride: u64,
    /// Requested bytes; 0 for the static empty table.
    bytes: u64,
}

impl KeyTable {
    /// Reads the table at `address`; `None` where its sizes contradict one another.
    pub(crate) fn read<M: Memory>(mem: &M, rt: &Runtime, address: u64) -> Option<KeyTable> {
        let layout = &rt.layout.objects;
        if !is_address(address) {
            return None;
        }
        let head: [u8; 40] = mem.array(address)?;
        let word = |at: u32| {
            let bytes = head.get(at as usize..at as usize + 8).and_then(|bytes| bytes.first_chunk::<8>());
            bytes.map(|bytes| u64::from_le_bytes(*bytes))
        };
        let (size, index_bytes, stride) = match layout.keys {
            Keys::Compact => {
                let [log2_size, log2_index, kind] = [head[8], head[9], head[10]];
                if log2_size > LOG2_MAX || log2_index > LOG2_MAX + 3 || kind > 2 {
                    return None;
                }
                (1 << log2_size, 1 << log2_index, if kind == 0 { 3 } else { 2 })
            }
            Keys::Sized => {
                let size = word(8)?;
                if !size.is_power_of_two() || size > 1 << LOG2_MAX {
                    return None;
                }
                let width = match size {
                    0..=0xff => 1,
                    0x100..=0xffff => 2,
                    0x1_0000..=0xffff_ffff => 4,
                    _ => 8,
                };
                (size, size * width, 3)
            }
        };
        let n_entries = word(layout.keys_n_entries)?;
        let usable = word(layout.keys_usable)?;
        let capacity = (size << 1) / 3;
        if n_entries > capacity || usable > capacity {
            return None;
        }
        let indices = u64::from(layout.keys_indices);
        let bytes = if size < 8 { 0 } else { indices + index_bytes + capacity * stride * 8 };
        Some(KeyTable {
            address,
            refcount: word(0)?,
            n_entries,
            shared_capacity: match layout.keys {
                Keys::Compact => n_entries + usable,
                Keys::Sized => capacity,
            },
            entries: address + indices + index_bytes,
            stride,
            bytes,
        })
    }

    /// What `sys.getsizeof` counts for it.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The key of entry `idx`, 0 where there is none.
    pub(crate) fn key<M: Memory>(&self, mem: &M, idx: u64) -> u64 {
        if idx >= self.n_entries {
            return 0;
        }
        mem.u64(self.entries + (idx * self.stride + self.stride - 2) * 8).unwrap_or(0)
    }

    /// Calls `f` with key and value of each entry in use; answers whether all could be read.
    fn each<M: Memory>(&self, mem: &M, mut f: impl FnMut(u64, u64)) -> Read {
        let words = self.n_entries * self.stride;
        let first = self.stride - 2;
        let (mut at, mut key) = (0, 0);
        let got = mem.words(self.entries, words, |word| {
            if at == first {
                key = word;
            } else if at == first + 1 && key != 0 && word != 0 {
                f(key, word);
            }
            at = if at + 1 == self.stride { 0 } else { at + 1 };
        });
        Read::complete_if(got == words)
    }
}

/// The names in a table that instances share, and how many values they have room for.
pub(crate) fn shared_names<M: Memory>(mem: &M, rt: &Runtime, shared_keys: u64) -> (Vec<u64>, u32) {
    match KeyTable::read(mem, rt, shared_keys) {
        Some(keys) if keys.shared_capacity < 1 << 16 => {
            let names = (0..keys.n_entries).map(|idx| keys.key(mem, idx)).collect();
            (names, keys.shared_capacity as u32)
        }
        _ => (Vec::new(), 0),
    }
}

/// Bytes of inline values (3.13, `_PyInlineValuesSize`): a word, the values, their insertion order.
pub(crate) fn inline_values_size<M: Memory>(mem: &M, rt: &Runtime, shared_keys: u64) -> u32 {
    match KeyTable::read(mem, rt, shared_keys) {
        Some(keys) if keys.shared_capacity < 256 => values_size(keys.shared_capacity) as u32,
        _ => 0,
    }
}

fn values_size(capacity: u64) -> u64 {
    (capacity + 1) * 8 + capacity.next_multiple_of(8)
}

/// References and blocks of the dict part of an object.
pub(super) fn references<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    body: &Body<'_>,
    out: &mut Emit<'_, S>,
) -> Read {
    let (keys, values) = (body.word(mem, MA_KEYS), body.word(mem, MA_VALUES));
    let Some(keys) = KeyTable::read(mem, rt, keys) else { return Read::Torn };
    if values != 0 {
        if !is_address(values) {
            return Read::Torn;
        }
        let owns_keys = keys.refcount == 1;
        if owns_keys {
            own_keys(mem, &keys, out);
        }
        return split(mem, rt, &keys, values, out);
    }
    out.block(keys.address, keys.bytes);
    keys.each(mem, |key, value| {
        out.own(key, Label::Key);
        out.own(value, Label::Value);
    })
}

/// The strings and the memory of a table that several objects share, for its owner.
pub(super) fn own_keys<M: Memory, S: Sink>(mem: &M, keys: &KeyTable, out: &mut Emit<'_, S>) {
    out.block(keys.address, keys.bytes);
    for idx in 0..keys.n_entries.min(1 << 16) {
        out.own(keys.key(mem, idx), Label::Item);
    }
}

/// A dict whose values stand in an array of their own.
fn split<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    keys: &KeyTable,
    values: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    let layout = &rt.layout.objects;
    if let Some(embedded) = layout.values_embedded {
        match mem.u8(values + u64::from(embedded)) {
            Some(0) => {}
            Some(_) => return Read::Complete,
            None => return Read::Torn,
        }
    }
    values_block(mem, rt, keys.shared_capacity, values, out);
    attributes(mem, rt, keys, values, out)
}

/// Reports the memory of values that lie in a block of their own.
pub(super) fn values_block<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    room: u64,
    values: u64,
    out: &mut Emit<'_, S>,
) {
    let layout = &rt.layout.objects;
    match (layout.keys, layout.values_capacity) {
        (_, Some(capacity)) => {
            let capacity = mem.u8(values + u64::from(capacity)).unwrap_or(0);
            out.block(values, values_size(u64::from(capacity)));
        }
        (Keys::Compact, None) => {
            let prefix = u64::from(mem.u8(values.wrapping_sub(1)).unwrap_or(0));
            out.block(values.wrapping_sub(prefix), prefix + room * 8);
        }
        (Keys::Sized, None) => out.block(values, room * 8),
    }
}

/// Reports each value that is set, by the name that `keys` has for its place.
fn attributes<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    keys: &KeyTable,
    values: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    let first = values + u64::from(rt.layout.objects.values_first);
    let mut idx = 0;
    let got = mem.words(first, keys.n_entries, |value| {
        if value != 0 {
            out.own(value, Label::Attribute(keys.key(mem, idx)));
        }
        idx += 1;
    });
    Read::complete_if(got == keys.n_entries)
}

/// `dict.__sizeof__` less the basic size, in bytes.
pub(super) fn extra_size<M: Memory>(mem: &M, rt: &Runtime, dict: u64) -> u64 {
    let (Some(keys), Some(values)) = (mem.u64(dict + MA_KEYS), mem.u64(dict + MA_VALUES)) else { return 0 };
    let Some(keys) = KeyTable::read(mem, rt, keys) else { return 0 };
    let split = if values != 0 { keys.shared_capacity * 8 } else { 0 };
    split + if keys.refcount == 1 { keys.bytes } else { 0 }
}

/// Number of entries in use.
pub(super) fn len<M: Memory>(mem: &M, dict: u64) -> Option<u64> {
    mem.u64(dict + MA_USED)
}

/// Whether what lies at `dict` can be a dict.
pub(super) fn is_sane<M: Memory>(mem: &M, rt: &Runtime, dict: u64) -> bool {
    if !is_address(dict) {
        return false;
    }
    let (Some(used), Some(keys)) = (len(mem, dict), mem.u64(dict + MA_KEYS)) else { return false };
    KeyTable::read(mem, rt, keys).is_some_and(|keys| used <= keys.n_entries)
}

/// The value of the `str` key `name` in the dict at `dict`. Cost: linear in the entries; allocates nothing.
pub(crate) fn lookup_str<M: Memory>(mem: &M, rt: &Runtime, dict: u64, name: &str) -> Option<u64> {
    let keys = KeyTable::read(mem, rt, mem.u64(dict.checked_add(MA_KEYS)?)?)?;
    let values = mem.u64(dict.checked_add(MA_VALUES)?)?;
    let matches = |key: u64| super::text::is_ascii_str(mem, rt, key, name);
    if values != 0 {
        if !is_address(values) {
            return None;
        }
        let idx = (0..keys.n_entries).find(|idx| matches(keys.key(mem, *idx)))?;
        return mem
            .u64(values + u64::from(rt.layout.objects.values_first) + idx * 8)
            .filter(|value| *value != 0);
    }
    let mut found = None;
    keys.each(mem, |key, value| {
        if found.is_none() && matches(key) {
            found = Some(value);
        }
    });
    found
}

/// `_ODictNode`: key, hash, next, previous.
const NODE_BYTES: u64 = 32;

/// What an `OrderedDict` has besides its dict: a list of nodes that own keys, and a table of them.
pub(super) fn ordered_references<M: Memory, S: Sink>(mem: &M, object: u64, out: &mut Emit<'_, S>) -> Read {
    const FIRST: u64 = 48;
    const FAST_NODES: u64 = 64;
    const FAST_NODES_SIZE: u64 = 72;
    if let (Some(table @ 1..), Some(n)) = (mem.u64(object + FAST_NODES), mem.u64(object + FAST_NODES_SIZE)) {
        out.block(table, n.saturating_mul(8));
    }
    let (mut previous, mut at) = (0, mem.u64(object + FIRST).unwrap_or(0));
    while at != 0 {
        if !is_address(at) {
            return Read::Torn;
        }
        let (Some(key), Some(next), Some(back)) = (mem.u64(at), mem.u64(at + 16), mem.u64(at + 24)) else {
            return Read::Torn;
        };
        // Links that agree both ways cannot run in a circle.
        if back != previous {
            return Read::Torn;
        }
        out.block(at, NODE_BYTES);
        out.own(key, Label::Item);
        (previous, at) = (at, next);
    }
    Read::Complete
}

/// `OrderedDict.__sizeof__` less that of its dict, in bytes.
pub(super) fn ordered_size<M: Memory>(mem: &M, object: u64) -> u64 {
    let table = mem.u64(object + 72).unwrap_or(0).saturating_mul(8);
    table.saturating_add(len(mem, object).unwrap_or(0).saturating_mul(NODE_BYTES))
}
