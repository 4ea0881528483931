//! Offsets and behaviours of objects of builtin types, per CPython version.
//!
//! Fixed fields of types stand in the tables [`Record`]; here is what the readers of containers need.

mod builtins;
mod modules;
mod rows;

use super::layout;
use crate::Strength;
use crate::types::ObjectKind;

pub(super) use rows::{V3_10, V3_11, V3_12, V3_13, V3_14, V3_15};

layout! {
    /// Where the parts of objects lie. Offsets in bytes from the start of the structure that the name begins with.
    pub struct ObjectLayout {
        /// `PyHeapTypeObject`: `ht_name`; `ht_slots` and `ht_qualname` are the next words.
        pub type_heap_name: u32,
        /// `ht_cached_keys`, the key table that instances share.
        pub type_heap_keys: u32,
        /// `ht_module`.
        pub type_heap_module: u32,
        /// `_ht_tpname`, an allocated string; since 3.11.
        pub type_heap_tpname: Option<u32>,
        /// Size of a `PyHeapTypeObject`.
        pub type_heap_size: u32,
        /// Size of a `PyTypeObject`.
        pub type_static_size: u32,
        /// `PyDictKeysObject`: number of used entries.
        pub keys_n_entries: u32,
        /// Number of entries that still fit.
        pub keys_usable: u32,
        /// Index table; the entries follow it.
        pub keys_indices: u32,
        /// `PyDictValues`: first value.
        pub values_first: u32,
        /// Whether the object's values are in use, a byte; since 3.13.
        pub values_valid: Option<u32>,
        /// Whether the values lie inside an object that owns them, a byte; since 3.13.
        pub values_embedded: Option<u32>,
        /// How many values fit, a byte; since 3.13.
        pub values_capacity: Option<u32>,
        /// `PyCompactUnicodeObject`: length of the UTF-8 form; its address is the next word.
        pub str_utf8_length: u32,
        /// Allocated `wchar_t` form; until 3.11.
        pub str_wstr: Option<u32>,
        /// Its length.
        pub str_wstr_length: Option<u32>,
        /// Size of a string that is not compact.
        pub str_full_size: u32,
        /// `PyGenObject`: state of the frame, a signed byte; since 3.11.
        pub generator_state: Option<u32>,
        /// The frame, inside the object; since 3.11.
        pub generator_frame: Option<u32>,
        /// `PyFrameObject`: its frame; since 3.11.
        pub frame_object_frame: Option<u32>,
        /// Where a frame lies that the object owns; since 3.11.
        pub frame_object_data: Option<u32>,
        /// `PyCodeObject`: `co_extra`.
        pub code_extra: u32,
        /// Block with four owned words (code, variable names, cell names, free names); since 3.12.
        pub code_cached: Option<u32>,
        /// `co_cell2arg`, a block with a word for each cell variable; 3.10.
        pub code_cell2arg: Option<u32>,
        /// `co_opcache_map`, a block with a byte for each instruction, then `co_opcache`; 3.10.
        pub code_opcache: Option<u32>,
        /// Number of entries of `co_opcache`, a byte; 3.10.
        pub code_opcache_size: Option<u32>,
        /// `PyModuleObject`: `md_state`.
        pub module_state: u32,
        /// `md_def`; until 3.14.
        pub module_def: Option<u32>,
        /// `md_state_size`; since 3.15.
        pub module_state_size: Option<u32>,
        /// `PyByteArrayObject`: the `bytes` object that has the buffer; since 3.15.
        pub bytearray_object: Option<u32>,
        /// `StringIO`: the buffer; then position, length and capacity in characters.
        pub stringio_buffer: u32,
        /// `SimpleQueue`: first word of its ring buffer (put index, get index, items, capacity, length); since 3.13.
        pub queue_ring: Option<u32>,
        /// `frozendict`: words after a dict's own; since 3.15.
        pub frozendict_hash: Option<u32>,
        =>
        /// Minor version, for the tables of records.
        pub minor: u8,
        /// Where instances keep their attributes.
        pub attributes: Attributes,
        /// What a table of keys looks like.
        pub keys: Keys,
        /// How an `int` says how many digits it has.
        pub int_size: IntSize,
        /// Which header bytes `sys.getsizeof` adds.
        pub headers: Headers,
        /// What `int.__sizeof__` counts.
        pub int_sizeof: IntSizeof,
        /// States of a generator's frame whose locals are gone, though their words may remain: this one and above.
        pub frame_completed: i8,
        /// States of a generator's frame that hold nothing: this one and above.
        pub frame_cleared: i8,
        /// What a generator holds when its frame holds nothing.
        pub finished: Finished,
        /// What `__sizeof__` of `bytearray` and `SimpleQueue` counts.
        pub buffer_sizes: BufferSizes,
        /// How the elements of a structseq that are not in its length are found.
        pub structseq: StructSeq,
    }
}

/// Where instances of classes keep their attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes {
    /// A dict at `tp_dictoffset` (3.10).
    Dict,
    /// Words before the object: values at -32, dict at -24 (3.11, `_PyObject_ValuesPointer`).
    TwoWords,
    /// One word at -24: a dict, or values with bit 0 set, one below their address (3.12, `PyDictOrValues`).
    TaggedWord,
    /// A dict at -24, and values inside the object at its basic size (3.13, `_PyObject_InlineValues`).
    Inline,
}

/// What a table of keys looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// A word with its size; entries of three words (3.10).
    Sized,
    /// Bytes at 8, 9, 10 with log2 of its size, log2 of the index bytes, and kind; entries of two words where all
    /// keys are strings (3.11).
    Compact,
}

/// How an `int` says how many digits it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntSize {
    /// `ob_size`, negative for negative numbers (until 3.11).
    Signed,
    /// The word's upper bits from bit 3 on (3.12, `lv_tag`).
    Tag,
}

/// Which header bytes `sys.getsizeof` adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// The collector's 16 where the object itself is collected: not for static types (3.10).
    CollectedObject,
    /// All bytes before the object by its type's flags, even for static types (3.11 and 3.12.0 on).
    ByType,
    /// The same, but none for static types whose type is `type` itself (3.13).
    ByTypeNotStatic,
}

/// What `int.__sizeof__` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntSizeof {
    /// The offset of the digits, and the digits (3.10).
    Digits,
    /// The same, but at least one digit (3.11, 3.12).
    OneDigit,
    /// The type's basic size, and at least one digit (3.13).
    Basic,
}

/// What a generator holds when its frame holds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// Its fixed fields, one of which is the code (until 3.11).
    Fields,
    /// The code in its frame as well (3.12).
    Code,
}

/// What `__sizeof__` of `bytearray` and `SimpleQueue` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferSizes {
    /// The bytes allocated; nothing of a queue (until 3.14).
    Bytes,
    /// The `bytes` object behind; a queue's ring (3.15).
    Objects,
}

/// How the elements of a structseq that are not in its length are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StructSeq {
    /// By `n_fields` in the type's dict (until 3.12).
    Named,
    /// They are part of the basic size (3.13).
    Basic,
}

/// One word of an object that refers to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Byte offset in the object.
    pub offset: u16,
    /// What the reference counts for.
    pub strength: Strength,
    /// What it is called in a trail.
    pub name: &'static str,
}

/// What is known of the C struct of one type in a range of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// `tp_name`.
    pub name: &'static str,
    /// First and last minor version that has it.
    pub minor: [u8; 2],
    /// `tp_basicsize` for which it holds; 0 for any.
    pub size: u16,
    /// Reader of the instances.
    pub kind: ObjectKind,
    /// References in fixed places.
    pub fields: &'static [Field],
}

const fn record(
    name: &'static str,
    minor: [u8; 2],
    size: u16,
    kind: ObjectKind,
    fields: &'static [Field],
) -> Record {
    Record { name, minor, size, kind, fields }
}

const fn field(offset: u16, strength: Strength, name: &'static str) -> Field {
    Field { offset, strength, name }
}

const fn own(offset: u16, name: &'static str) -> Field {
    field(offset, Strength::Owned, name)
}

const fn lent(offset: u16, name: &'static str) -> Field {
    field(offset, Strength::Borrowed, name)
}

const fn weak(offset: u16, name: &'static str) -> Field {
    field(offset, Strength::Weak, name)
}

const fn guess(offset: u16, name: &'static str) -> Field {
    field(offset, Strength::Inferred, name)
}

impl ObjectLayout {
    /// The record of the C type `name` with basic size `basic_size`, in this version. Cost: linear in the tables.
    pub fn record(&self, name: &str, basic_size: u64) -> Option<&'static Record> {
        let fits = |record: &&Record| {
            record.name == name
                && (record.minor[0]..=record.minor[1]).contains(&self.minor)
                && (record.size == 0 || u64::from(record.size) == basic_size)
        };
        builtins::BUILTINS.iter().chain(modules::MODULES).find(fits)
    }
}
