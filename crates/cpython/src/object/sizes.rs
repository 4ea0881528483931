//! How large objects are: as `sys.getsizeof` says, and as they lie in memory.
//!
//! Sources: `Python/sysmodule.c` (`_PySys_GetSizeOf`) and the `__sizeof__` of each type.

use super::sequence::{self, deque};
use super::text::{self, Str};
use super::{buffer, callable, dict, extension, set, type_object};
use crate::layouts::{BufferSizes, Frames, Headers, IntSizeof, StructSeq};
use crate::types::{AttributePlace, ObjectKind};
use crate::{Memory, Runtime, TypeInfo, refcount};

/// `bytes.__basicsize__`.
const BYTES_BASIC: u64 = 33;
/// `sizeof(simplequeueobject)` of 3.15.
const QUEUE_BASIC: u64 = 72;
/// No object is larger.
const SIZE_MAX: u64 = 1 << 47;

/// See `object::shallow_size`.
pub(super) fn shallow_size<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, object: u64) -> u64 {
    header(mem, rt, info, object).saturating_add(body(mem, rt, info, object)).min(SIZE_MAX)
}

fn header<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, object: u64) -> u64 {
    let static_type = || info.kind == ObjectKind::Type && !type_object::is_heap(mem, object);
    match rt.layout.objects.headers {
        Headers::CollectedObject if static_type() => 0,
        Headers::ByTypeNotStatic if static_type() && info.name == "type" => 0,
        _ => info.presize,
    }
}

fn body<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, object: u64) -> u64 {
    let basic = info.basic_size;
    match info.kind {
        ObjectKind::Dict => {
            // `PyCStgDict_sizeof` counts the end of its struct twice.
            let ctypes = type_object::ctypes_extra(mem, rt, info, object)
                .map_or(0, |extra| extra + (basic - type_object::CTYPES_DICT));
            basic.saturating_add(dict::extra_size(mem, rt, object)).saturating_add(ctypes)
        }
        ObjectKind::OrderedDict => basic
            .saturating_add(dict::extra_size(mem, rt, object))
            .saturating_add(dict::ordered_size(mem, object)),
        ObjectKind::List => basic + sequence::list_allocated(mem, object) * 8,
        ObjectKind::Set => basic + set::extra_size(mem, object),
        ObjectKind::Str => text::str_size(mem, rt, object),
        ObjectKind::Int => {
            let header = u64::from(rt.layout.runtime.int_digits);
            let (start, least) = match rt.layout.objects.int_sizeof {
                IntSizeof::Digits => (header, 0),
                IntSizeof::OneDigit => (header, 1),
                IntSizeof::Basic => (basic, 1),
            };
            start.saturating_add(text::int_digits(mem, rt, object).max(least).saturating_mul(4))
        }
        ObjectKind::ByteArray => basic + bytearray(mem, rt, object),
        ObjectKind::SimpleQueue if rt.layout.objects.buffer_sizes == BufferSizes::Objects => {
            QUEUE_BASIC + sequence::queue_bytes(mem, rt, object)
        }
        ObjectKind::Deque => basic.saturating_add(deque::extra_size(mem, object)),
        ObjectKind::Array => basic + buffer::array_bytes(mem, object),
        ObjectKind::IoBuffer => basic + buffer::io_buffer_bytes(mem, object),
        ObjectKind::BytesIo => basic.saturating_add(bytes_io(mem, rt, object)),
        ObjectKind::StructFormat | ObjectKind::XmlElement | ObjectKind::Combinatoric => {
            basic.saturating_add(extension::extra_size(mem, info, object))
        }
        ObjectKind::Decimal => basic + buffer::decimal(mem, object).map_or(0, |(_, bytes)| bytes),
        ObjectKind::NumpyArray => basic.saturating_add(buffer::numpy::extra_size(mem, object)),
        ObjectKind::NumpyScalar | ObjectKind::Float => basic + buffer::numpy::scalar_bytes(&info.name),
        ObjectKind::Type => type_object::size(mem, rt, info, object),
        ObjectKind::Generator | ObjectKind::Coroutine | ObjectKind::AsyncGenerator => {
            own_bytes(mem, rt, info, object)
        }
        ObjectKind::Frame => frame(mem, rt, info, object),
        ObjectKind::Code => {
            own_bytes(mem, rt, info, object).next_multiple_of(8)
                + callable::code_extra_size(mem, rt, object)
                + callable::code_caches_size(mem, rt, object)
        }
        _ => basic.saturating_add(items(mem, info, object).saturating_mul(info.item_size)),
    }
}

/// `bytearray.__sizeof__` less the basic size.
fn bytearray<M: Memory>(mem: &M, rt: &Runtime, object: u64) -> u64 {
    match (buffer::bytearray_allocated(mem, object), rt.layout.objects.buffer_sizes) {
        (allocated @ 1.., BufferSizes::Objects) => allocated + BYTES_BASIC,
        (allocated, _) => allocated,
    }
}

/// `bytesio_sizeof`: the buffer counts where nobody else has it.
fn bytes_io<M: Memory>(mem: &M, rt: &Runtime, object: u64) -> u64 {
    let Some(buffer @ 1..) = mem.u64(object + 16) else { return 0 };
    match refcount(mem, rt, buffer) {
        Some(count) if count.count == 1 && !count.immortal => {
            BYTES_BASIC + sequence::size(mem, buffer).unwrap_or(0)
        }
        _ => 0,
    }
}

/// `frame_sizeof`: 3.10 counts one slot in the basic size.
fn frame<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, object: u64) -> u64 {
    match rt.layout.runtime.frames {
        Frames::Objects => info.basic_size + items(mem, info, object).saturating_sub(1).saturating_mul(8),
        Frames::Structs => own_bytes(mem, rt, info, object),
    }
}

/// `ob_size`, where the type has items.
fn items<M: Memory>(mem: &M, info: &TypeInfo, object: u64) -> u64 {
    if info.item_size == 0 { 0 } else { sequence::size(mem, object).unwrap_or(0) }
}

/// See `object::own_bytes`.
pub(super) fn own_bytes<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, object: u64) -> u64 {
    let basic = info.basic_size;
    let layout = &rt.layout.objects;
    let bytes = match info.kind {
        ObjectKind::Str => match Str::read(mem, rt, object) {
            Some(text) => {
                text.own_bytes(rt).max(if basic > u64::from(layout.str_full_size) { basic } else { 0 })
            }
            None => basic,
        },
        ObjectKind::Int => basic.saturating_add(text::int_digits(mem, rt, object).max(1).saturating_mul(4)),
        ObjectKind::Tuple => {
            let hidden = if layout.structseq == StructSeq::Named { info.hidden_items } else { 0 };
            basic + (items(mem, info, object) + hidden) * 8
        }
        ObjectKind::Type if !type_object::is_heap(mem, object) => u64::from(layout.type_static_size),
        ObjectKind::Generator | ObjectKind::Coroutine | ObjectKind::AsyncGenerator => {
            match layout.generator_frame {
                Some(frame) => basic + callable::slots_bytes(mem, rt, info, object + u64::from(frame)),
                None => basic,
            }
        }
        ObjectKind::Frame => match layout.frame_object_frame {
            Some(at) => {
                basic + callable::slots_bytes(mem, rt, info, mem.u64(object + u64::from(at)).unwrap_or(0))
            }
            None => basic + items(mem, info, object).saturating_mul(8),
        },
        _ => basic.saturating_add(items(mem, info, object).saturating_mul(info.item_size)),
    };
    let inline = match info.attributes {
        AttributePlace::Inline(size) => u64::from(size),
        _ => 0,
    };
    bytes.saturating_add(inline).min(SIZE_MAX)
}

/// `_PyObject_VAR_SIZE`: where a negative `tp_dictoffset` counts from.
pub(super) fn end_of_items<M: Memory>(mem: &M, info: &TypeInfo, object: u64) -> u64 {
    let items = mem.u64(object.wrapping_add(16)).map_or(0, |size| (size as i64).unsigned_abs().min(1 << 40));
    (info.basic_size + items.saturating_mul(info.item_size)).min(SIZE_MAX).next_multiple_of(8)
}
