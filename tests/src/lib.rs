//! What the end-to-end tests share: the binary, a service under load, and what a process looks like from outside.
//!
//! Knows the command line of heapray and nothing of its insides. Panics with a reason where the machine does not
//! play along.

mod footprint;
mod heapray;
mod load;
mod recorded;
mod results;
mod scratch;
mod service;

pub use footprint::Footprint;
pub use heapray::{Answer, heapray, heapray_command, one_line_error};
pub use load::{Load, Totals};
pub use recorded::{Program, Recorded, Sum};
pub use results::record;
pub use scratch::Scratch;
pub use service::{Service, fixed_copy, story_folder, test_python};

/// Whether the long versions of the tests are asked for (`make test-full` sets `HEAPRAY_FULL=1`).
pub fn is_full() -> bool {
    std::env::var("HEAPRAY_FULL").is_ok_and(|value| value == "1")
}

/// A small deterministic generator (SplitMix64, Steele et al. 2014), so that every run kills at the same moments.
pub struct Dice(u64);

impl Dice {
    /// The same numbers for the same seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// The next number below `bound`, which is above 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
