//! Texts of the interpreter as bytes of a payload.

use heapray_cpython::layouts::RuntimeLayout;

use crate::stack::payload::Payload;
use crate::stack::peek::{Peek, is_plausible};

/// Writes the first `limit` characters of the `str` at `addr` as UTF-8; nothing where that is no address.
pub(crate) fn write_str(peek: Peek, layout: &RuntimeLayout, addr: u64, limit: u64, out: &mut Payload) {
    if !is_plausible(addr) {
        return;
    }
    let state = peek.int(addr + u64::from(layout.str_state));
    let n_chars = peek.word(addr + u64::from(layout.str_length)).min(limit);
    let kind = (state & layout.str_kind_mask) >> layout.str_kind_mask.trailing_zeros();
    let is_ascii = state & layout.str_ascii_bit != 0;
    let data = match (state & layout.str_compact_bit != 0, is_ascii) {
        (true, true) => addr + u64::from(layout.str_ascii_data),
        (true, false) => addr + u64::from(layout.str_compact_data),
        (false, _) => peek.word(addr + u64::from(layout.str_data)),
    };
    if data == 0 {
        return;
    }
    match kind {
        1 if is_ascii => {
            out.block(n_chars as usize, |bytes| peek.copy(data, bytes));
        }
        1 => (data..data + n_chars).for_each(|at| out.character(peek.byte(at).into())),
        // The last read takes the terminator in, which has two bytes.
        2 => (0..n_chars).for_each(|idx| out.character(peek.int(data + idx * 2) & 0xffff)),
        4 => (0..n_chars).for_each(|idx| out.character(peek.int(data + idx * 4))),
        _ => {}
    }
}

/// Writes the `bytes` object at `addr`; answers its length, of which as much is written as there is room for.
pub(crate) fn write_bytes(peek: Peek, layout: &RuntimeLayout, addr: u64, out: &mut Payload) -> u64 {
    if !is_plausible(addr) {
        return 0;
    }
    let len = peek.word(addr + u64::from(layout.var_size));
    let data = addr + u64::from(layout.bytes_data);
    out.block(usize::try_from(len).unwrap_or(0), |bytes| peek.copy(data, bytes));
    len
}
