//! Texts that are told to the collector by number: names of threads, labels.

use heapray_wire::ring::cells::TAG_TEXT;

use crate::emit::Emit;
use crate::stack::array::Array;
use crate::stack::index::{Index, hash};

/// Most bytes kept in all; further texts are not told.
const BYTES_MAX: usize = 4 << 20;

/// Most bytes of one text.
const TEXT_MAX: usize = 512;

#[derive(Clone, Copy)]
struct Text {
    start: usize,
    len: usize,
    /// The ring that it was told to.
    told: u32,
}

/// See the module. Ids begin at 1.
pub(crate) struct Texts {
    bytes: Array<u8>,
    texts: Array<Text>,
    index: Index,
    ring: u32,
}

impl Texts {
    /// No text.
    pub(crate) const fn new() -> Texts {
        Texts { bytes: Array::new(), texts: Array::new(), index: Index::new(), ring: 1 }
    }

    /// Forgets what the collector has been told.
    pub(crate) fn begin_ring(&mut self) {
        self.ring = self.ring.wrapping_add(1).max(1);
    }

    /// The id of `text`, of which long ones lose their end; 0 for nothing, or where no more is kept.
    pub(crate) fn id(&mut self, text: &[u8]) -> u32 {
        let text = &text[..text.len().min(TEXT_MAX)];
        if text.is_empty() {
            return 0;
        }
        let is_it = |number: u32| self.get(number) == text;
        if let Some(number) = self.index.find(hash_of(text), is_it) {
            return number + 1;
        }
        let (start, number) = (self.bytes.len(), self.texts.len());
        if start + text.len() > BYTES_MAX || !self.bytes.extend(text) {
            return 0;
        }
        if !self.texts.push(Text { start, len: text.len(), told: 0 }) {
            self.bytes.truncate(start);
            return 0;
        }
        let (bytes, texts) = (self.bytes.as_slice(), self.texts.as_slice());
        let hash_at = |number: u32| {
            let Text { start, len, .. } = texts[number as usize];
            hash_of(&bytes[start..start + len])
        };
        if !self.index.insert(number as u32, hash_at) {
            self.texts.truncate(number);
            self.bytes.truncate(start);
            return 0;
        }
        number as u32 + 1
    }

    fn get(&self, number: u32) -> &[u8] {
        let found = self.texts.as_slice().get(number as usize);
        found.and_then(|text| self.bytes.as_slice().get(text.start..text.start + text.len)).unwrap_or(&[])
    }

    /// Tells the collector of `id` unless it knows or there is nothing to know; whether it does then.
    pub(crate) fn tell(&mut self, id: u32, emit: &mut impl Emit) -> bool {
        let Some(number) = id.checked_sub(1) else { return true };
        let is_told = |text: &Text| text.told == self.ring;
        if self.texts.as_slice().get(number as usize).is_none_or(is_told) {
            return true;
        }
        if !emit.payload(TAG_TEXT, id.into(), &[self.get(number)]) {
            return false;
        }
        self.texts.as_mut_slice()[number as usize].told = self.ring;
        true
    }
}

fn hash_of(text: &[u8]) -> u64 {
    let word = |chunk: &[u8]| chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    text.chunks(8).fold(text.len() as u64, |state, chunk| hash(state, word(chunk)))
}
