//! A hash index over the elements of a table: from a hash to the element's number, by open addressing.
//!
//! The table itself, the hashes and what equals what are the caller's. At most half of the slots are in use.

use crate::stack::array::Array;

/// See the module.
pub(crate) struct Index {
    /// 0 empty, [`GONE`] removed, else number + 1.
    slots: Array<u32>,
    /// Slots that are not empty.
    n_taken: usize,
}

const GONE: u32 = u32::MAX;

/// Slots of an index that holds anything: one page.
const SLOTS_MIN: usize = 1024;

impl Index {
    /// An index of nothing.
    pub(crate) const fn new() -> Index {
        Index { slots: Array::new(), n_taken: 0 }
    }

    /// The element with this hash that `is_it`.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let slots = self.slots.as_slice();
        let mask = slots.len().wrapping_sub(1);
        for step in 0..slots.len() {
            match *slots.get((hash as usize).wrapping_add(step) & mask)? {
                0 => return None,
                GONE => {}
                taken if is_it(taken - 1) => return Some(taken - 1),
                _ => {}
            }
        }
        None
    }

    /// Puts element `number` in, which is not there yet; `hash_of` answers the hash of any element that is. Without
    /// memory `false`.
    pub(crate) fn insert(&mut self, number: u32, hash_of: impl Fn(u32) -> u64) -> bool {
        if (self.n_taken + 1) * 2 > self.slots.len() && !self.rebuild(&hash_of) {
            return false;
        }
        put(self.slots.as_mut_slice(), number + 1, hash_of(number));
        self.n_taken += 1;
        true
    }

    /// Takes element `number` out.
    pub(crate) fn remove(&mut self, hash: u64, number: u32) {
        let slots = self.slots.as_mut_slice();
        let mask = slots.len().wrapping_sub(1);
        for step in 0..slots.len() {
            let slot = &mut slots[(hash as usize).wrapping_add(step) & mask];
            if *slot == number + 1 {
                *slot = GONE;
                return;
            }
            if *slot == 0 {
                return;
            }
        }
    }

    /// A new array of slots, without those removed and with room for as many again.
    fn rebuild(&mut self, hash_of: &impl Fn(u32) -> u64) -> bool {
        let is_there = |slot: &&u32| **slot != 0 && **slot != GONE;
        let n = self.slots.as_slice().iter().filter(is_there).count();
        let mut slots = Array::new();
        let n_slots = ((n + 1) * 4).next_power_of_two().max(SLOTS_MIN);
        if !slots.reserve(n_slots) {
            return false;
        }
        for _ in 0..n_slots {
            slots.push(0);
        }
        for slot in self.slots.as_slice().iter().filter(is_there) {
            put(slots.as_mut_slice(), *slot, hash_of(*slot - 1));
        }
        self.slots = slots;
        self.n_taken = n;
        true
    }
}

/// Puts `slot` into the first empty place; there is one.
fn put(slots: &mut [u32], slot: u32, hash: u64) {
    let mask = slots.len() - 1;
    let mut at = hash as usize & mask;
    while slots[at] != 0 {
        at = (at + 1) & mask;
    }
    slots[at] = slot;
}

/// Mixes two words to a hash whose every bit depends on every bit of them (the finish of MurmurHash3, twice).
#[inline]
pub(crate) const fn hash(a: u64, b: u64) -> u64 {
    let mut x =
        (a ^ b.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 32;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 29)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn an_index_finds_what_a_map_finds() {
        let mut keys: Vec<u64> = Vec::new();
        let (mut index, mut map) = (Index::new(), HashMap::new());
        let mut state = 1_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = state >> 33 & 0xfff;
            // Few hashes, so that chains form.
            let hash_of = |key: u64| hash(key / 3, 0);
            let found = index.find(hash_of(key), |number| keys[number as usize] == key);
            assert_eq!(found, map.get(&key).copied());
            match found {
                Some(number) if state & 1 << 20 != 0 => {
                    index.remove(hash_of(key), number);
                    map.remove(&key);
                }
                Some(_) => {}
                None => {
                    keys.push(key);
                    let number = keys.len() as u32 - 1;
                    assert!(index.insert(number, |number| hash_of(keys[number as usize])));
                    map.insert(key, number);
                }
            }
        }
        assert!(map.len() > 1000);
    }
}
