//! Objects around a buffer: `bytearray`, `array`, io buffers, ctypes data, NumPy arrays.
//!
//! Sources: `Modules/_io/`, `Modules/arraymodule.c`, `Modules/_ctypes/ctypes.h`, `Objects/bytearrayobject.c`,
//! NumPy's `ndarraytypes.h` (`PyArrayObject_fields`, `_PyArray_Descr`; 1.x and 2.x).

use super::{Emit, Read, is_address};
use crate::{Label, Memory, Runtime, Sink, types};

/// Sizes beyond this cannot be real.
const BYTES_MAX: u64 = 1 << 46;

fn word<M: Memory>(mem: &M, object: u64, at: u64) -> u64 {
    mem.u64(object.wrapping_add(at)).unwrap_or(0)
}

/// A block, where address and size are not zero and can be real.
fn block<S: Sink>(at: u64, bytes: u64, out: &mut Emit<'_, S>) {
    if bytes <= BYTES_MAX {
        out.block(at, bytes);
    }
}

/// The bytes of a `bytearray`; since 3.15 a `bytes` object has them.
pub(super) fn bytearray<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    object: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    match rt.layout.objects.bytearray_object {
        Some(at) => out.own(word(mem, object, u64::from(at)), Label::Field("ob_bytes_object")),
        None => block(word(mem, object, 32), bytearray_allocated(mem, object), out),
    }
    Read::Complete
}

/// `ob_alloc` of a `bytearray`, in bytes.
pub(super) fn bytearray_allocated<M: Memory>(mem: &M, object: u64) -> u64 {
    word(mem, object, 24).min(BYTES_MAX)
}

/// The items of an `array.array`.
pub(super) fn array<M: Memory, S: Sink>(mem: &M, object: u64, out: &mut Emit<'_, S>) -> Read {
    block(word(mem, object, 24), array_bytes(mem, object), out);
    Read::Complete
}

/// Bytes allocated for the items of an `array.array`.
pub(super) fn array_bytes<M: Memory>(mem: &M, object: u64) -> u64 {
    let descr = word(mem, object, 40);
    let item_size = mem.u32(descr.wrapping_add(4)).filter(|size| *size <= 16).unwrap_or(0);
    word(mem, object, 32).saturating_mul(u64::from(item_size)).min(BYTES_MAX)
}

/// The buffer of a `BufferedReader`, `BufferedWriter` or `BufferedRandom`.
pub(super) fn io_buffer<M: Memory, S: Sink>(mem: &M, object: u64, out: &mut Emit<'_, S>) -> Read {
    block(word(mem, object, 56), io_buffer_bytes(mem, object), out);
    Read::Complete
}

/// Bytes of that buffer; 0 where there is none.
pub(super) fn io_buffer_bytes<M: Memory>(mem: &M, object: u64) -> u64 {
    if word(mem, object, 56) == 0 { 0 } else { word(mem, object, 120).min(BYTES_MAX) }
}

/// The characters of a `StringIO`, four bytes each.
pub(super) fn string_io<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    object: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    let at = u64::from(rt.layout.objects.stringio_buffer);
    block(word(mem, object, at), word(mem, object, at + 24).saturating_mul(4), out);
    Read::Complete
}

/// The memory of a ctypes object where it is its own and not inside it.
pub(super) fn ctypes<M: Memory, S: Sink>(mem: &M, object: u64, out: &mut Emit<'_, S>) -> Read {
    const DATA: u64 = 16;
    const NEEDS_FREE: u64 = 24;
    const SIZE: u64 = 40;
    const VALUE: u64 = 72;
    let data = word(mem, object, DATA);
    if mem.u32(object.wrapping_add(NEEDS_FREE)) == Some(1) && data != object.wrapping_add(VALUE) {
        block(data, word(mem, object, SIZE), out);
    }
    Read::Complete
}

/// Digits of a `decimal.Decimal` that do not lie inside it: address and bytes.
pub(super) fn decimal<M: Memory>(mem: &M, object: u64) -> Option<(u64, u64)> {
    const ALLOCATED: u64 = 56;
    const DATA: u64 = 64;
    const INSIDE: u64 = 72;
    let data = word(mem, object, DATA);
    let bytes = word(mem, object, ALLOCATED).saturating_mul(8);
    (data != 0 && data != object.wrapping_add(INSIDE) && bytes <= BYTES_MAX).then_some((data, bytes))
}

/// Reports the block of [`decimal`].
pub(super) fn decimal_block<M: Memory, S: Sink>(mem: &M, object: u64, out: &mut Emit<'_, S>) -> Read {
    if let Some((data, bytes)) = decimal(mem, object) {
        out.block(data, bytes);
    }
    Read::Complete
}

/// `PyArrayObject_fields` and what of its dtype matters.
pub(super) mod numpy {
    use super::{BYTES_MAX, Emit, Label, Memory, Read, Sink, block, is_address, types, word};

    const DATA: u64 = 16;
    const N_DIMS: u64 = 24;
    const DIMS: u64 = 32;
    const BASE: u64 = 48;
    const DESCR: u64 = 56;
    const FLAGS: u64 = 64;
    const MEM_HANDLER: u64 = 88;
    const OWN_DATA: u32 = 4;
    const N_DIMS_MAX: u64 = 64;
    /// From NumPy 2 on, a dtype object is at least this large.
    const DESCR_2_SIZE: u64 = 112;
    const TYPE_OBJECT: u32 = 17;
    const TYPE_VOID: u32 = 20;
    const HAS_OBJECT: u8 = 1;

    struct Descr {
        number: u32,
        item_size: u64,
        has_object: bool,
    }

    fn descr<M: Memory>(mem: &M, at: u64) -> Option<Descr> {
        if !is_address(at) {
            return None;
        }
        let size = mem.u64(mem.u64(at.checked_add(8)?)?.checked_add(types::offset::BASIC_SIZE)?)?;
        let (item_size, flags) = if size >= DESCR_2_SIZE {
            (mem.u64(at + 40)?, mem.u8(at + 32)?)
        } else {
            (u64::from(mem.u32(at + 32)?), mem.u8(at + 27)?)
        };
        let number = mem.u32(at + 28)?;
        (item_size <= BYTES_MAX).then_some(Descr { number, item_size, has_object: flags & HAS_OBJECT != 0 })
    }

    fn n_dims<M: Memory>(mem: &M, object: u64) -> u64 {
        u64::from(mem.u32(object.wrapping_add(N_DIMS)).unwrap_or(0)).min(N_DIMS_MAX)
    }

    fn data_bytes<M: Memory>(mem: &M, object: u64, descr: &Descr) -> u64 {
        let mut bytes = descr.item_size;
        mem.words(word(mem, object, DIMS), n_dims(mem, object), |dim| bytes = bytes.saturating_mul(dim));
        if bytes <= BYTES_MAX { bytes } else { 0 }
    }

    fn owns_data<M: Memory>(mem: &M, object: u64) -> bool {
        mem.u32(object.wrapping_add(FLAGS)).unwrap_or(0) & OWN_DATA != 0
    }

    /// Base, dtype, memory and object elements of an `ndarray`; a view owns neither memory nor elements.
    pub(in crate::object) fn array<M: Memory, S: Sink>(mem: &M, object: u64, out: &mut Emit<'_, S>) -> Read {
        out.own(word(mem, object, BASE), Label::Field("base"));
        out.own(word(mem, object, DESCR), Label::Field("dtype"));
        out.own(word(mem, object, MEM_HANDLER), Label::Field("mem_handler"));
        let dims = n_dims(mem, object);
        if dims != 0 {
            block(word(mem, object, DIMS), dims * 16, out);
        }
        let Some(descr) = descr(mem, word(mem, object, DESCR)) else { return Read::Torn };
        if !owns_data(mem, object) {
            return Read::Complete;
        }
        let (data, bytes) = (word(mem, object, DATA), data_bytes(mem, object, &descr));
        block(data, bytes, out);
        elements(mem, &descr, data, bytes, out)
    }

    fn elements<M: Memory, S: Sink>(
        mem: &M,
        descr: &Descr,
        data: u64,
        bytes: u64,
        out: &mut Emit<'_, S>,
    ) -> Read {
        let structured = descr.number == TYPE_VOID && descr.has_object;
        if descr.number != TYPE_OBJECT && !structured {
            return Read::Complete;
        }
        let mut idx = 0u32;
        let got = mem.words(data, bytes / 8, |target| {
            if structured {
                out.guess(target, idx.wrapping_mul(8));
            } else {
                out.own(target, Label::Index(idx));
            }
            idx = idx.wrapping_add(1);
        });
        Read::complete_if(got == bytes / 8)
    }

    /// What the `__sizeof__` of a scalar type adds to the basic size, by the bits in its name: `numpy.float64`.
    pub(in crate::object) fn scalar_bytes(name: &str) -> u64 {
        let Some(name) = name.strip_prefix("numpy.") else { return 0 };
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        match (digits.parse::<u64>(), name) {
            (Ok(bits), _) => bits / 8,
            (_, "bool" | "bool_") => 1,
            (_, "intc" | "uintc") => 4,
            (_, "longlong" | "ulonglong") => 8,
            (_, "longdouble") => 16,
            (_, "clongdouble") => 32,
            _ => 0,
        }
    }

    /// `ndarray.__sizeof__` less the basic size, in bytes.
    pub(in crate::object) fn extra_size<M: Memory>(mem: &M, object: u64) -> u64 {
        let dims = n_dims(mem, object) * 16;
        match descr(mem, word(mem, object, DESCR)) {
            Some(descr) if owns_data(mem, object) => dims + data_bytes(mem, object, &descr),
            _ => dims,
        }
    }
}
