//! The sites where threads were of late, so that a thread that is at one again is not looked up in the tree.
//!
//! A site is a place in a code object under a node. What a place stands for holds until a code object ends, and what the
//! collector was told of it until the ring is another ([`Sites::keep_for`]).

use crate::stack::array::Array;
use crate::stack::threads::Level;

/// Sites that are remembered; each has one place, by its hash.
const N_SITES: usize = 16_384;

/// Within one line of the caches.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct Site {
    code: u64,
    /// How far behind the code object's start; none is that long.
    place: u32,
    outer: u32,
    node: u32,
    recursion: u32,
    /// When it was put in, 0 never.
    epoch: u32,
}

const NONE: Site = Site { code: 0, place: 0, outer: 0, node: 0, recursion: 0, epoch: 0 };

/// See the module.
pub(crate) struct Sites {
    /// Empty, or of [`N_SITES`].
    table: Array<Site>,
    marks: [u32; 2],
    /// What was put in before counts as forgotten.
    epoch: u32,
}

#[inline(always)]
fn home(code: u64, place: u32, outer: u32) -> usize {
    let word = code ^ u64::from(place) << 32 ^ u64::from(outer) << 40;
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - N_SITES.trailing_zeros())) as usize
}

#[inline(always)]
fn place(level: &Level) -> u32 {
    level.instruction.wrapping_sub(level.code) as u32
}

impl Sites {
    /// No site.
    pub(crate) const fn new() -> Sites {
        Sites { table: Array::new(), marks: [0; 2], epoch: 1 }
    }

    /// Forgets all where these are not the marks that they were kept for.
    #[inline]
    pub(crate) fn keep_for(&mut self, marks: [u32; 2]) {
        if self.marks != marks {
            self.marks = marks;
            self.forget();
            self.make_room();
        }
    }

    /// Forgets all.
    #[cold]
    pub(crate) fn forget(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.table.as_mut_slice().fill(NONE);
            self.epoch = 1;
        }
    }

    /// Makes the table, if there is memory.
    fn make_room(&mut self) {
        while self.table.len() < N_SITES && self.table.reserve(N_SITES) {
            self.table.push(NONE);
        }
    }

    /// Node and depth of recursion of `level` under `outer`, if these are the marks that it was put in with. The depth is what
    /// the frames out to `outer` make it, or a depth from which on they are folded all the same.
    #[inline(always)]
    pub(crate) fn find(&self, marks: [u32; 2], outer: u32, level: &Level) -> Option<(u32, u32)> {
        let place = place(level);
        let site = self.table.as_slice().get(home(level.code, place, outer))?;
        let is_it = site.epoch == self.epoch
            && site.outer == outer
            && site.code == level.code
            && site.place == place
            && self.marks == marks;
        is_it.then_some((site.node, site.recursion))
    }

    /// Remembers the node of `level`, which hangs from `outer`.
    #[inline]
    pub(crate) fn put(&mut self, outer: u32, level: &Level) {
        let (Level { code, node, recursion, .. }, place) = (*level, place(level));
        let (home, epoch) = (home(code, place, outer), self.epoch);
        if let Some(site) = self.table.as_mut_slice().get_mut(home) {
            *site = Site { code, place, outer, node, recursion, epoch };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_found_until_its_marks_change() {
        let level = |code, instruction, node| Level { frame: 1, code, instruction, node, recursion: 1 };
        let mut sites = Sites::new();
        sites.keep_for([1, 0]);
        assert_eq!(sites.find([1, 0], 0, &level(0, 0, 0)), None);
        sites.put(7, &level(16, 2, 8));
        assert_eq!(sites.find([1, 0], 7, &level(16, 2, 0)), Some((8, 1)));
        for (outer, code, instruction) in [(6, 16, 2), (7, 32, 2), (7, 16, 4)] {
            assert_eq!(sites.find([1, 0], outer, &level(code, instruction, 0)), None);
        }
        assert_eq!(sites.find([1, 1], 7, &level(16, 2, 0)), None);
        sites.keep_for([1, 0]);
        assert!(sites.find([1, 0], 7, &level(16, 2, 0)).is_some());
        sites.keep_for([2, 0]);
        sites.keep_for([1, 0]);
        assert_eq!(sites.find([1, 0], 7, &level(16, 2, 0)), None);
    }
}
