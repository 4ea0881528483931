//! A record's payload while it is put together: bytes in a buffer that is never larger than a record may be.

use heapray_wire::ring::MAX_PAYLOAD_BYTES;

use crate::stack::array::Array;
use crate::stack::index::hash;

/// See the module.
pub(crate) struct Payload {
    bytes: Array<u8>,
}

impl Payload {
    /// Nothing yet.
    pub(crate) const fn new() -> Payload {
        Payload { bytes: Array::new() }
    }

    /// Begins a new payload; whether there is memory for it.
    pub(crate) fn clear(&mut self) -> bool {
        self.bytes.truncate(0);
        self.bytes.reserve(MAX_PAYLOAD_BYTES)
    }

    /// What is there.
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// Adds a number.
    pub(crate) fn int(&mut self, value: u32) {
        value.to_le_bytes().into_iter().for_each(|byte| self.byte(byte));
    }

    /// Adds a text: its length, then what `write` adds.
    pub(crate) fn text(&mut self, write: impl FnOnce(&mut Payload)) {
        let at = self.bytes.len();
        self.int(0);
        write(self);
        let len = self.bytes.len().saturating_sub(at + 4) as u32;
        if let Some(place) = self.bytes.as_mut_slice().get_mut(at..at + 4) {
            place.copy_from_slice(&len.to_le_bytes());
        }
    }

    /// Adds a byte while there is room.
    pub(crate) fn byte(&mut self, byte: u8) {
        if self.bytes.len() < MAX_PAYLOAD_BYTES {
            self.bytes.push(byte);
        }
    }

    /// Adds a character as UTF-8; a lone surrogate as the replacement character.
    pub(crate) fn character(&mut self, value: u32) {
        let character = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
        let mut buf = [0; 4];
        let utf8 = character.encode_utf8(&mut buf);
        if self.room() >= utf8.len() {
            utf8.bytes().for_each(|byte| self.byte(byte));
        }
    }

    /// Adds up to `n` bytes that `fill` writes; answers how many.
    pub(crate) fn block(&mut self, n: usize, fill: impl FnOnce(&mut [u8])) -> usize {
        let start = self.bytes.len();
        let n = n.min(self.room());
        for _ in 0..n {
            self.bytes.push(0);
        }
        if let Some(place) = self.bytes.as_mut_slice().get_mut(start..) {
            fill(place);
        }
        n
    }

    fn room(&self) -> usize {
        MAX_PAYLOAD_BYTES.saturating_sub(self.bytes.len())
    }

    /// Two hashes of all bytes and `more`: that two different payloads agree in both is as likely as a bit error.
    pub(crate) fn digest(&self, more: u64) -> [u64; 2] {
        let (mut a, mut b) = (more, more.rotate_left(17));
        for chunk in self.bytes.as_slice().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let word = u64::from_le_bytes(word);
            a = hash(a, word);
            b = hash(b ^ word, 0x5bd1_e995);
        }
        [hash(a, self.bytes.len() as u64), b]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_carry_their_length_and_stop_at_the_limit() {
        let mut payload = Payload::new();
        assert!(payload.clear());
        payload.int(7);
        payload.text(|out| "aé😀".chars().for_each(|c| out.character(c.into())));
        assert_eq!(payload.as_slice()[..8], [7, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(&payload.as_slice()[8..], "aé😀".as_bytes());
        let digest = payload.digest(1);
        assert_ne!(digest, payload.digest(2));
        payload.byte(0);
        assert_ne!(digest, payload.digest(1));
        assert!(payload.block(1 << 20, |out| out.fill(1)) < MAX_PAYLOAD_BYTES);
        payload.character(0x1f600);
        assert_eq!(payload.as_slice().len(), MAX_PAYLOAD_BYTES);
    }
}
