//! Reads a type object with its chain of bases.
//!
//! Anything may be claimed to be a type: what does not check out answers `None`, and every chain is bounded.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{AttributePlace, Member, ObjectKind, TypeInfo, flag, offset};
use crate::layouts::{Attributes, Record, StructSeq};
use crate::object::{dict, is_address, type_object};
use crate::{Memory, Runtime, strings};

const CHAIN_MAX: usize = 128;
const MEMBERS_MAX: u64 = 512;
const NAME_MAX: usize = 1024;
const BASIC_SIZE_MAX: u64 = 1 << 20;
const ITEM_SIZE_MAX: u64 = 1 << 16;
/// Words of an unknown struct that are looked at.
const UNKNOWN_MAX: u64 = 1 << 12;

/// One type of the chain of bases.
struct Level {
    address: u64,
    flags: u64,
    basic_size: u64,
    name: String,
    record: Option<&'static Record>,
}

impl Level {
    /// A class that Python code (or C code without a name of its own) made: its words are all declared.
    fn is_class(&self) -> bool {
        self.flags & flag::HEAPTYPE != 0 && !self.name.contains('.')
    }
}

pub(super) fn read<M: Memory>(mem: &M, rt: &Runtime, address: u64) -> Option<TypeInfo> {
    if !is_type(mem, address) {
        return None;
    }
    let levels = levels(mem, rt, address)?;
    let own = levels.last()?;
    let flags = own.flags;
    let kind = kind(&levels);
    let mut info = TypeInfo {
        address,
        name: qualified_name(mem, rt, own),
        kind,
        flags,
        basic_size: own.basic_size,
        item_size: mem.u64(address + offset::ITEM_SIZE)?,
        dict_offset: mem.u64(address + offset::DICT_OFFSET)? as i64,
        weaklist_offset: mem.u64(address + offset::WEAKLIST_OFFSET)? as i64,
        has_gc: flags & flag::HAVE_GC != 0,
        heap_type: flags & flag::HEAPTYPE != 0,
        presize: presize(rt, flags),
        finalizer: mem.u64(address + offset::FINALIZE)? != 0 || mem.u64(address + offset::DEL)? != 0,
        traverses: flags & flag::HAVE_GC != 0 && mem.u64(address + offset::TRAVERSE)? != 0,
        members: Vec::new(),
        fields: Vec::new(),
        unknown: Vec::new(),
        unknown_items: false,
        shared_keys: 0,
        shared_names: Vec::new(),
        shared_capacity: 0,
        attributes: AttributePlace::None,
        hidden_items: 0,
    };
    if info.item_size > ITEM_SIZE_MAX {
        return None;
    }
    place_attributes(mem, rt, &mut info);
    describe(mem, &levels, &mut info);
    info.hidden_items = hidden_items(mem, rt, &levels, kind);
    Some(info)
}

/// A type's own type is a class of types, and types of types end in `type`, whose type is itself.
fn is_type<M: Memory>(mem: &M, address: u64) -> bool {
    let Some(meta) = type_of(mem, address) else { return false };
    if mem.u64(meta + offset::FLAGS).unwrap_or(0) & flag::TYPE_SUBCLASS == 0 {
        return false;
    }
    let mut at = meta;
    for _ in 0..8 {
        match type_of(mem, at) {
            Some(next) if next == at => return true,
            Some(next) => at = next,
            None => return false,
        }
    }
    false
}

fn type_of<M: Memory>(mem: &M, object: u64) -> Option<u64> {
    if !is_address(object) {
        return None;
    }
    mem.u64(object + 8).filter(|meta| is_address(*meta))
}

/// The chain of bases, `object` first, the type itself last.
fn levels<M: Memory>(mem: &M, rt: &Runtime, address: u64) -> Option<Vec<Level>> {
    let mut levels = Vec::new();
    let mut at = address;
    while at != 0 {
        if levels.len() == CHAIN_MAX || !is_address(at) {
            return None;
        }
        levels.push(level(mem, rt, at)?);
        at = mem.u64(at + offset::BASE)?;
    }
    levels.reverse();
    Some(levels)
}

fn level<M: Memory>(mem: &M, rt: &Runtime, address: u64) -> Option<Level> {
    let flags = mem.u64(address + offset::FLAGS)?;
    let basic_size = mem.u64(address + offset::BASIC_SIZE)?;
    if flags & flag::READY == 0 || !(16..=BASIC_SIZE_MAX).contains(&basic_size) {
        return None;
    }
    let name = mem.c_string(mem.u64(address + offset::NAME)?, NAME_MAX)?;
    if name.is_empty() || name.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
        return None;
    }
    let mut level = Level { address, flags, basic_size, name, record: None };
    if !level.is_class() {
        level.record = rt.layout.objects.record(&level.name, basic_size);
    }
    Some(level)
}

fn kind(levels: &[Level]) -> ObjectKind {
    let known = levels.iter().rev().filter_map(|level| level.record).map(|record| record.kind);
    let plain = levels.iter().skip(1).all(Level::is_class);
    match known.into_iter().find(|kind| *kind != ObjectKind::Instance) {
        Some(kind) => kind,
        None if plain => ObjectKind::Instance,
        None => ObjectKind::Other,
    }
}

fn presize(rt: &Runtime, flags: u64) -> u64 {
    let managed = match rt.layout.objects.attributes {
        Attributes::Dict => 0,
        Attributes::TwoWords => flags & flag::MANAGED_DICT,
        Attributes::TaggedWord | Attributes::Inline => flags & (flag::MANAGED_DICT | flag::MANAGED_WEAKREF),
    };
    let head = if flags & flag::HAVE_GC != 0 { 16 } else { 0 };
    head + if managed != 0 { 16 } else { 0 }
}

fn place_attributes<M: Memory>(mem: &M, rt: &Runtime, info: &mut TypeInfo) {
    let layout = &rt.layout.objects;
    if info.heap_type {
        info.shared_keys = mem.u64(info.address + u64::from(layout.type_heap_keys)).unwrap_or(0);
    }
    (info.shared_names, info.shared_capacity) = dict::shared_names(mem, rt, info.shared_keys);
    let managed = info.flags & flag::MANAGED_DICT != 0;
    info.attributes = match layout.attributes {
        Attributes::Inline if managed && info.flags & flag::INLINE_VALUES != 0 => {
            AttributePlace::Inline(dict::inline_values_size(mem, rt, info.shared_keys))
        }
        Attributes::TwoWords | Attributes::TaggedWord | Attributes::Inline if managed => {
            AttributePlace::Managed
        }
        _ => AttributePlace::None,
    };
}

/// Collects fields, members and unknown words, base by base.
fn describe<M: Memory>(mem: &M, levels: &[Level], info: &mut TypeInfo) {
    let mut known_to = 16;
    for level in levels {
        match level.record {
            Some(record) => {
                // The io types share slots with their base, but no struct: Modules/_io/iobase.c.
                if record.name.starts_with("_io.") {
                    info.fields.clear();
                }
                let room =
                    record.fields.iter().filter(|field| u64::from(field.offset) + 8 <= level.basic_size);
                // A struct may begin with its base's and repeat it: the type's own row wins.
                info.fields.retain(|field| !record.fields.iter().any(|own| own.offset == field.offset));
                info.fields.extend(room);
            }
            None => {
                members(mem, level, info);
                unknown(level, known_to, info);
            }
        }
        known_to = known_to.max(level.basic_size.next_multiple_of(8));
    }
    let base_known = levels.iter().skip(1).any(|level| level.record.is_some());
    info.unknown_items = info.kind == ObjectKind::Other
        && !base_known
        && info.item_size != 0
        && info.item_size.is_multiple_of(8);
    let special = [info.dict_offset, info.weaklist_offset];
    info.members.retain(|member| !special.contains(&i64::from(member.offset)));
    let TypeInfo { fields, unknown, .. } = info;
    unknown.retain(|offset| !fields.iter().any(|field| u32::from(field.offset) == *offset));
}

/// The object members that the type itself declares (`PyMemberDef`: name, type, offset, flags, doc).
fn members<M: Memory>(mem: &M, level: &Level, info: &mut TypeInfo) {
    const OBJECT: u32 = 6;
    const OBJECT_EX: u32 = 16;
    const DEF_SIZE: u64 = 40;
    let table = mem.u64(level.address + offset::MEMBERS).unwrap_or(0);
    if table == 0 || info.kind == ObjectKind::Tuple {
        return;
    }
    for idx in 0..MEMBERS_MAX {
        let def = table.wrapping_add(idx * DEF_SIZE);
        let (Some(name @ 1..), Some(kind), Some(at)) =
            (mem.u64(def), mem.u32(def.wrapping_add(8)), mem.u64(def.wrapping_add(16)))
        else {
            return;
        };
        let fits = at % 8 == 0 && (16..=level.basic_size.saturating_sub(8)).contains(&at);
        if fits && matches!(kind, OBJECT | OBJECT_EX) {
            info.members.push(Member { offset: at as u32, name });
        }
    }
}

/// The words between the base's end and the type's own that no member, dict or weak list explains.
fn unknown(level: &Level, known_to: u64, info: &mut TypeInfo) {
    if level.is_class() && info.item_size != 0 || info.kind == ObjectKind::Tuple {
        return;
    }
    let end = level.basic_size.min(known_to + 8 * UNKNOWN_MAX);
    for at in (known_to..end.saturating_sub(7)).step_by(8) {
        let known = at as i64 == info.dict_offset
            || at as i64 == info.weaklist_offset
            || info.members.iter().any(|member| u64::from(member.offset) == at);
        if !known {
            info.unknown.push(at as u32);
        }
    }
}

/// `module.qualname` of a heap type; `tp_name` of a static one; without the module where that is `builtins`.
fn qualified_name<M: Memory>(mem: &M, rt: &Runtime, own: &Level) -> String {
    if own.flags & flag::HEAPTYPE == 0 {
        return own.name.clone();
    }
    let qualname = mem
        .u64(own.address + u64::from(rt.layout.objects.type_heap_name) + 16)
        .and_then(|name| strings::read(mem, rt, name, NAME_MAX))
        .filter(|name| !name.is_empty());
    let module = type_object::dict(mem, rt, own.address)
        .and_then(|dict| dict::lookup_str(mem, rt, dict, "__module__"))
        .and_then(|module| strings::read(mem, rt, module, NAME_MAX))
        .filter(|module| !module.is_empty());
    match (module, qualname) {
        (Some(module), Some(qualname)) if module != "builtins" => format!("{module}.{qualname}"),
        (_, Some(qualname)) => qualname,
        _ => own.name.clone(),
    }
}

/// `Objects/structseq.c`: a structseq type says how many fields it has, and how many of them are in the sequence.
fn hidden_items<M: Memory>(mem: &M, rt: &Runtime, levels: &[Level], kind: ObjectKind) -> u64 {
    let Some(base) = levels.iter().rev().find(|level| !level.is_class()) else { return 0 };
    if kind != ObjectKind::Tuple {
        return 0;
    }
    let header = u64::from(rt.layout.runtime.tuple_items);
    match rt.layout.objects.structseq {
        StructSeq::Basic => base.basic_size.saturating_sub(header) / 8,
        StructSeq::Named => {
            let number = |key| {
                let dict = type_object::dict(mem, rt, base.address)?;
                let value = dict::lookup_str(mem, rt, dict, key)?;
                mem.u32(value.checked_add(u64::from(rt.layout.runtime.int_digits))?)
            };
            match (number("n_fields"), number("n_sequence_fields")) {
                (Some(all), Some(seen)) if all >= seen && all < 1 << 10 => u64::from(all - seen),
                _ => 0,
            }
        }
    }
}
