//! Numbers values in the order of their first appearance. A small open-addressed table: this crate has no `std`.

use alloc::vec;
use alloc::vec::Vec;

/// Distinct values and their numbers.
pub(crate) struct Distinct<T> {
    /// All values, by number.
    pub(crate) values: Vec<T>,
    /// Value number + 1, 0 for empty; a power of two, at most half full.
    slots: Vec<u32>,
}

/// A value that can be told from others.
pub(crate) trait Key: Copy + PartialEq {
    /// Its hash; the upper half is used.
    fn hash(&self) -> u64;
}

/// Adds a word to a hash (the multiplier is 2^64 / golden ratio).
#[inline]
pub(crate) fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<T: Key> Distinct<T> {
    /// No values yet.
    pub(crate) fn new() -> Self {
        Self { values: Vec::new(), slots: vec![0; 1024] }
    }

    /// The number of `value`. O(1).
    #[inline]
    pub(crate) fn number(&mut self, value: T) -> u32 {
        let slot = self.slot(&value);
        match self.slots[slot] {
            0 => self.insert(slot, value),
            number => number - 1,
        }
    }

    fn insert(&mut self, slot: usize, value: T) -> u32 {
        let number = self.values.len() as u32;
        self.values.push(value);
        self.slots[slot] = number + 1;
        if self.values.len() * 2 > self.slots.len() {
            self.grow();
        }
        number
    }

    #[inline]
    fn slot(&self, value: &T) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = (value.hash() >> 32) as usize & mask;
        while self.slots[at] != 0 && self.values[self.slots[at] as usize - 1] != *value {
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 4];
        for (i, value) in self.values.iter().enumerate() {
            let at = self.slot(value);
            self.slots[at] = i as u32 + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Key for u64 {
        fn hash(&self) -> u64 {
            mix(0, self % 1000)
        }
    }

    #[test]
    fn values_keep_their_numbers_while_the_table_grows_and_collides() {
        let mut distinct = Distinct::new();
        for value in 0..5000_u64 {
            assert_eq!(distinct.number(value * 7), value as u32);
        }
        for value in 0..5000_u64 {
            assert_eq!(distinct.number(value * 7), value as u32);
        }
    }
}
