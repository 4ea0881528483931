//! Numbers and texts as bytes: LEB128 variable-length integers, zigzag, length-prefixed UTF-8.
//!
//! A [`Source`] never reads past its end and never trusts a count: [`Source::count`] holds it against the bytes
//! that are left.

use alloc::string::String;
use alloc::vec::Vec;

use crate::malformed::Malformed;

/// Longest text that is stored, in bytes; longer ones are cut at a character.
pub(crate) const MAX_TEXT_BYTES: usize = 1 << 20;

/// Appends `value` in groups of seven bits, lowest first.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a text with its length in bytes before it.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut n_bytes = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(n_bytes) {
        n_bytes -= 1;
    }
    put(out, n_bytes as u64);
    out.extend_from_slice(&text.as_bytes()[..n_bytes]);
}

/// Appends an id whose `u32::MAX` means none: 0, else id + 1.
#[inline]
pub(crate) fn put_optional(out: &mut Vec<u8>, id: u32) {
    put(out, u64::from(id.wrapping_add(1)));
}

/// Maps a difference to an unsigned number that is small where the difference is: 0, -1, 1, -2, …
#[inline]
pub(crate) fn zigzag(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

/// Undoes [`zigzag`].
#[inline]
pub(crate) fn unzigzag(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

/// Bytes that are read from the front.
pub(crate) struct Source<'a> {
    rest: &'a [u8],
    /// What is being read, for errors.
    pub(crate) what: &'static str,
}

impl<'a> Source<'a> {
    /// Reads `bytes`, calling them `what`.
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    fn short(&self) -> Malformed {
        Malformed::Short { what: self.what }
    }

    /// The error for a value that is not allowed.
    pub(crate) fn bad(&self, value: u64) -> Malformed {
        Malformed::Value { what: self.what, value }
    }

    /// One byte.
    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(*first)
    }

    /// The next `n` bytes.
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(head)
    }

    /// A number of up to 64 bits.
    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        self.u64_long(first)
    }

    fn u64_long(&mut self, first: u8) -> Result<u64, Malformed> {
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            let group = u64::from(byte & 0x7f);
            if shift == 63 && byte > 1 {
                return Err(self.bad(u64::from(byte)));
            }
            value |= group << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.bad(value))
    }

    /// A number of up to 32 bits.
    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        let value = self.u64()?;
        u32::try_from(value).map_err(|_| self.bad(value))
    }

    /// A number of up to 16 bits.
    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        let value = self.u64()?;
        u16::try_from(value).map_err(|_| self.bad(value))
    }

    /// An id or `u32::MAX` for none.
    pub(crate) fn optional(&mut self) -> Result<u32, Malformed> {
        let value = self.u64()?;
        match u32::try_from(value) {
            Ok(value) => Ok(value.wrapping_sub(1)),
            Err(_) => Err(self.bad(value)),
        }
    }

    /// A number of items of at least `min_bytes` each, held against the bytes that are left.
    pub(crate) fn count(&mut self, min_bytes: usize) -> Result<usize, Malformed> {
        let value = self.u64()?;
        let most = self.rest.len() / min_bytes;
        usize::try_from(value).ok().filter(|n| *n <= most).ok_or_else(|| self.short())
    }

    /// A text; bytes that are no UTF-8 are replaced.
    pub(crate) fn text(&mut self) -> Result<String, Malformed> {
        let n_bytes = self.count(1)?;
        Ok(String::from_utf8_lossy(self.take(n_bytes)?).into_owned())
    }

    /// How many bytes are left.
    pub(crate) fn n_left(&self) -> usize {
        self.rest.len()
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        match self.rest.len() {
            0 => Ok(()),
            n_bytes => Err(Malformed::Trailing { n_bytes }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put(&mut out, value);
            let mut source = Source::new(&out, "numbers");
            assert_eq!(source.u64(), Ok(value));
            assert_eq!(source.end(), Ok(()));
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        let mut source =
            Source::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], "numbers");
        assert!(matches!(source.u64(), Err(Malformed::Value { .. })));
        let mut source = Source::new(&[0xff; 32], "numbers");
        assert!(source.u64().is_err());
    }

    #[test]
    fn zigzag_is_undone_at_the_edges() {
        for value in [0, -1, 1, i32::MIN, i32::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let text: String = core::iter::repeat_n('é', MAX_TEXT_BYTES).collect();
        let mut out = Vec::new();
        put_text(&mut out, &text);
        let back = Source::new(&out, "texts").text();
        assert_eq!(back.map(|text| text.len()), Ok(MAX_TEXT_BYTES));
    }

    #[test]
    fn none_and_the_last_id_come_back() {
        for id in [0, 1, u32::MAX - 1, u32::MAX] {
            let mut out = Vec::new();
            put_optional(&mut out, id);
            assert_eq!(Source::new(&out, "ids").optional(), Ok(id));
        }
    }
}
