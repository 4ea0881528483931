//! A reader over bytes in memory that ends where it is told to: numbers of fixed and of variable length.

use crate::stack::peek::Peek;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes {
    peek: Peek,
    /// Address of the next byte.
    pub(super) at: u64,
    end: u64,
}

impl Bytes {
    /// The bytes from `at` up to `end`, which are mapped.
    pub(super) fn new(peek: Peek, at: u64, end: u64) -> Bytes {
        Bytes { peek, at, end }
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    /// The next `n` bytes as a reader of their own.
    pub(super) fn take(&mut self, n: u64) -> Option<Bytes> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.end)?;
        let taken = Bytes { end, ..*self };
        self.at = end;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        let at = self.take(1)?.at;
        Some(self.peek.byte(at))
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        let [low, high] = [self.u8()?, self.u8()?];
        Some(u16::from_le_bytes([low, high]))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let at = self.take(4)?.at;
        Some(self.peek.int(at))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        let at = self.take(8)?.at;
        Some(self.peek.word(at))
    }

    /// An unsigned number of seven bits a byte, least first.
    pub(super) fn uleb(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let byte = self.u8()?;
            if shift < 64 {
                value |= u64::from(byte & 127) << shift;
            }
            shift += 7;
            if byte & 128 == 0 {
                return Some(value);
            }
        }
    }

    /// A signed number of seven bits a byte, least first.
    pub(super) fn sleb(&mut self) -> Option<i64> {
        let (mut value, mut shift) = (0_i64, 0);
        loop {
            let byte = self.u8()?;
            if shift < 64 {
                value |= i64::from(byte & 127) << shift;
            }
            shift += 7;
            if byte & 128 == 0 {
                let is_negative = byte & 64 != 0 && shift < 64;
                return Some(if is_negative { value | -1 << shift } else { value });
            }
        }
    }

    /// A pointer in the encoding of `.eh_frame` (LSB, "DWARF Exception Header Encoding"), absolute or relative to itself.
    pub(super) fn pointer(&mut self, encoding: u8) -> Option<u64> {
        let here = self.at;
        let value = match encoding & 15 {
            0 | 4 | 12 => self.u64()?,
            1 => self.uleb()?,
            2 => self.u16()?.into(),
            3 => self.u32()?.into(),
            9 => self.sleb()?.cast_unsigned(),
            10 => i64::from(self.u16()?.cast_signed()).cast_unsigned(),
            11 => i64::from(self.u32()?.cast_signed()).cast_unsigned(),
            _ => return None,
        };
        match encoding >> 4 {
            0 => Some(value),
            1 => Some(here.wrapping_add(value)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_to_the_end_and_no_further() {
        let data = [0xe5_u8, 0x8e, 0x26, 0x7f, 0x80, 0x7f, 0xf8, 0xff, 0xff, 0xff, 0x80];
        let at = data.as_ptr() as u64;
        let peek = Peek::of_test();
        let mut bytes = Bytes::new(peek, at, at + data.len() as u64);
        assert_eq!((bytes.uleb(), bytes.sleb(), bytes.sleb()), (Some(624_485), Some(-1), Some(-128)));
        assert_eq!(bytes.pointer(0x1b), Some(at + 6 - 8));
        assert_eq!((bytes.uleb(), bytes.u8(), bytes.u64()), (None, None, None));
        assert!(bytes.is_empty());
    }
}
