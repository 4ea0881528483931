//! `str`, `bytes`, `int`: no references; their sizes, and out-of-line forms of strings.
//!
//! Source: `Include/cpython/unicodeobject.h`, `Objects/unicodeobject.c`, `Include/cpython/longintrepr.h`.

use super::{Emit, is_address};
use crate::layouts::IntSize;
use crate::{Memory, Runtime, Sink};

/// Lengths beyond this cannot be real.
const LENGTH_MAX: u64 = 1 << 46;

/// The header of a `str`.
#[derive(Clone, Copy)]
pub(super) struct Str {
    pub(super) length: u64,
    /// Bytes a character: 1, 2 or 4.
    width: u64,
    compact: bool,
    ascii: bool,
}

impl Str {
    /// `None` where no string can have such a header.
    pub(super) fn read<M: Memory>(mem: &M, rt: &Runtime, object: u64) -> Option<Str> {
        let layout = &rt.layout.runtime;
        if !is_address(object) {
            return None;
        }
        let length = mem.u64(object + u64::from(layout.str_length))?;
        let state = mem.u32(object + u64::from(layout.str_state))?;
        let width = u64::from((state & layout.str_kind_mask) >> layout.str_kind_mask.trailing_zeros());
        let text = Str {
            length,
            width,
            compact: state & layout.str_compact_bit != 0,
            ascii: state & layout.str_ascii_bit != 0,
        };
        let wide_ok = matches!(width, 1 | 2 | 4) && !(text.ascii && width != 1);
        // Strings made from wchar_t by old C interfaces have no kind yet (until 3.11).
        let legacy = width == 0 && rt.layout.objects.str_wstr.is_some() && !text.compact;
        (length < LENGTH_MAX && (wide_ok || legacy)).then_some(text)
    }

    fn characters(&self) -> u64 {
        (self.length + 1) * self.width
    }

    /// Bytes from the object's start to the end of its characters, where they follow it.
    pub(super) fn own_bytes(&self, rt: &Runtime) -> u64 {
        let layout = &rt.layout.runtime;
        match (self.compact, self.ascii) {
            (true, true) => u64::from(layout.str_ascii_data) + self.length + 1,
            (true, false) => u64::from(layout.str_compact_data) + self.characters(),
            (false, _) => u64::from(rt.layout.objects.str_full_size),
        }
    }
}

/// Calls `f` with each block of the string besides its own: characters, UTF-8 form, wide form.
pub(super) fn each_block<M: Memory>(
    mem: &M,
    rt: &Runtime,
    object: u64,
    text: &Str,
    mut f: impl FnMut(u64, u64),
) {
    let (layout, runtime) = (&rt.layout.objects, &rt.layout.runtime);
    let word = |at: u32| mem.u64(object + u64::from(at)).unwrap_or(0);
    let data = match (text.compact, text.ascii) {
        (true, true) => object + u64::from(runtime.str_ascii_data),
        (true, false) => object + u64::from(runtime.str_compact_data),
        (false, _) => word(runtime.str_data),
    };
    if !text.compact && data != 0 && text.width != 0 {
        f(data, text.characters());
    }
    if !(text.compact && text.ascii) {
        let utf8 = word(layout.str_utf8_length + 8);
        if utf8 != 0 && utf8 != data {
            f(utf8, word(layout.str_utf8_length).min(LENGTH_MAX) + 1);
        }
    }
    if let (Some(wstr), Some(length)) = (layout.str_wstr, layout.str_wstr_length) {
        let wide = word(wstr);
        if wide != 0 && (wide != data || text.width == 0) {
            let shared = text.compact && text.ascii;
            let length = if shared { text.length } else { word(length) };
            f(wide, (length.min(LENGTH_MAX) + 1) * 4);
        }
    }
}

/// The string's blocks.
pub(super) fn blocks<M: Memory, S: Sink>(mem: &M, rt: &Runtime, object: u64, out: &mut Emit<'_, S>) {
    if let Some(text) = Str::read(mem, rt, object) {
        each_block(mem, rt, object, &text, |at, bytes| out.block(at, bytes));
    }
}

/// `str.__sizeof__`, in bytes.
pub(super) fn str_size<M: Memory>(mem: &M, rt: &Runtime, object: u64) -> u64 {
    let Some(text) = Str::read(mem, rt, object) else { return 0 };
    let mut size = text.own_bytes(rt);
    each_block(mem, rt, object, &text, |_, bytes| size = size.saturating_add(bytes));
    size
}

/// Whether the object at `object` is the ASCII string `expected`; allocates nothing.
pub(super) fn is_ascii_str<M: Memory>(mem: &M, rt: &Runtime, object: u64, expected: &str) -> bool {
    let Some(text) = Str::read(mem, rt, object) else { return false };
    if text.length != expected.len() as u64 || !text.compact || !text.ascii {
        return false;
    }
    let start = object + u64::from(rt.layout.runtime.str_ascii_data);
    let mut buf = [0; 64];
    match buf.get_mut(..expected.len()) {
        Some(buf) => mem.copy(start, buf) && buf == expected.as_bytes(),
        None => false,
    }
}

/// Number of 30-bit digits of an `int`.
pub(super) fn int_digits<M: Memory>(mem: &M, rt: &Runtime, object: u64) -> u64 {
    let word = mem.u64(object + 16).unwrap_or(0);
    match rt.layout.objects.int_size {
        IntSize::Signed => (word as i64).unsigned_abs(),
        IntSize::Tag => word >> 3,
    }
}
