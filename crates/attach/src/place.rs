//! Where an agent is mapped: far from everything, at an address that nobody has ever had.
//!
//! A process is full of old addresses, of what it has unmapped since. The kernel gives such places away first; an agent there
//! would find pointers into itself that nobody means, and could not be taken out.

use std::hash::{BuildHasher, Hasher};

use heapray_linux::Mapping;

/// So far from its neighbours it lies at least: what grows next to them has room.
const MARGIN_BYTES: u64 = 1 << 30;
/// Whatever is found is a multiple of this, which every page size divides.
const ALIGNMENT: u64 = 64 << 10;
/// Addresses from here on are the kernel's.
const KERNEL_START: u64 = 1 << 63;

/// A random address in the middle of the largest hole between `mappings`, which are in order; 0 (the kernel's choice) where no hole is
/// large.
pub(crate) fn random(mappings: &[Mapping]) -> u64 {
    let chance = std::hash::RandomState::new().build_hasher().finish();
    within(mappings, chance)
}

fn within(mappings: &[Mapping], chance: u64) -> u64 {
    // `[vsyscall]` lies beyond all that can be mapped.
    let holes =
        mappings.windows(2).filter(|two| two[1].start < KERNEL_START).map(|two| two[0].end..two[1].start);
    let Some(hole) = holes.max_by_key(|hole| hole.end.saturating_sub(hole.start)) else { return 0 };
    match hole.end.saturating_sub(hole.start).checked_sub(2 * MARGIN_BYTES) {
        Some(room) if room > 0 => (hole.start + MARGIN_BYTES + chance % room).next_multiple_of(ALIGNMENT),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(start: u64, end: u64) -> Mapping {
        let mut mapping = heapray_linux::parse_mappings(b"0-1000 rw-p 00000000 00:00 0 \n").remove(0);
        (mapping.start, mapping.end) = (start, end);
        mapping
    }

    #[test]
    fn the_place_is_in_the_largest_hole() {
        let vsyscall = mapping(0xffff_ffff_ff60_0000, 0xffff_ffff_ff60_1000);
        let maps = [mapping(0x1000, 0x2000), mapping(1 << 32, 1 << 33), mapping(1 << 45, 1 << 46), vsyscall];
        for chance in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            let place = within(&maps, chance);
            assert!(place.is_multiple_of(ALIGNMENT));
            assert!(place >= (1 << 33) + MARGIN_BYTES && place + MARGIN_BYTES <= (1 << 45) + ALIGNMENT);
        }
    }

    #[test]
    fn without_a_large_hole_the_kernel_chooses() {
        assert_eq!(within(&[], 7), 0);
        assert_eq!(within(&[mapping(0, 1 << 30), mapping(3 << 30, 4 << 30)], 7), 0);
    }
}
