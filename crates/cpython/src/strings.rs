//! The text of `str` objects.

use alloc::string::String;
use alloc::vec::Vec;

use crate::{Memory, Runtime};

/// The first `limit` characters of the `str` (or subclass) at `addr`, lone surrogates replaced;
/// `None` where it is no string or unreadable. Whether the object's type is `str` is not checked.
pub fn read<M: Memory>(mem: &M, rt: &Runtime, addr: u64, limit: usize) -> Option<String> {
    let layout = &rt.layout.runtime;
    let state = mem.u32(addr.checked_add(layout.str_state.into())?)?;
    let length = mem.u64(addr.checked_add(layout.str_length.into())?)?;
    let kind = (state & layout.str_kind_mask) >> layout.str_kind_mask.trailing_zeros();
    let is_ascii = state & layout.str_ascii_bit != 0;
    let data = match (state & layout.str_compact_bit != 0, is_ascii) {
        (true, true) => addr.checked_add(layout.str_ascii_data.into())?,
        (true, false) => addr.checked_add(layout.str_compact_data.into())?,
        (false, _) => mem.u64(addr.checked_add(layout.str_data.into())?)?,
    };
    if length > i64::MAX as u64 / 4 {
        return None;
    }
    let n_chars = length.min(limit as u64);
    let bytes = mem.bytes(data, n_chars * u64::from(kind), limit.saturating_mul(4))?;
    decode(&bytes, kind, is_ascii)
}

/// Characters of `kind` bytes each as text.
fn decode(bytes: &[u8], kind: u32, is_ascii: bool) -> Option<String> {
    let scalar = |value: u32| char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
    match kind {
        1 if is_ascii && !bytes.is_ascii() => None,
        1 => Some(bytes.iter().copied().map(char::from).collect()),
        2 => Some(words::<2>(bytes).map(|word| scalar(u16::from_le_bytes(word).into())).collect()),
        4 => {
            let values: Vec<u32> = words::<4>(bytes).map(u32::from_le_bytes).collect();
            let valid = values.iter().all(|value| *value <= char::MAX as u32);
            valid.then(|| values.into_iter().map(scalar).collect())
        }
        _ => None,
    }
}

fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.chunks_exact(N).map(|word| word.try_into().expect("chunks of N"))
}
