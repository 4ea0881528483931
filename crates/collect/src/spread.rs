//! How far apart samples are drawn: at the interval that was asked for, or further where more samples live, or come, than are of use.
//!
//! The interval doubles for good as samples live, since each takes memory. Where nobody asked for an interval it doubles also
//! while samples come fast, since each takes time, and goes back when they come slowly.

use std::time::Duration;

/// Live samples that a recording aims at; with more, the interval doubles.
const LIVE_MAX: f64 = 50_000.0;
/// Samples and their frees that a process may spend its time on, a second: about 1 % of it, at some microseconds each.
const RATE_MAX: f64 = 4_000.0;
/// Below this part of it the interval goes back.
const RATE_BACK: f64 = RATE_MAX / 4.0;
/// Between two looks at how fast they come.
pub(crate) const LOOKS: Duration = Duration::from_millis(250);
/// Not further apart, in bytes.
const INTERVAL_MAX: u64 = 1 << 40;

/// See the module.
#[derive(Debug)]
pub(crate) struct Spread {
    asked: u64,
    minds_rate: bool,
    for_live: u32,
    for_rate: u32,
}

impl Spread {
    /// At `asked` bytes; `minds_rate` where this was nobody's wish.
    pub(crate) fn new(asked: u64, minds_rate: bool) -> Self {
        Self { asked: asked.max(1), minds_rate, for_live: 0, for_rate: 0 }
    }

    /// Mean distance of samples, in bytes.
    pub(crate) fn interval(&self) -> u64 {
        self.asked.saturating_mul(1 << (self.for_live + self.for_rate).min(40)).min(INTERVAL_MAX)
    }

    /// Takes in how many bytes live.
    pub(crate) fn look_at_live(&mut self, live_bytes: f64) {
        let alone = self.asked.saturating_mul(1 << self.for_live.min(40));
        if live_bytes / alone as f64 > LIVE_MAX {
            self.for_live += 1;
            // What was doubled for the rate may be enough for both.
            self.for_rate = self.for_rate.saturating_sub(1);
        }
    }

    /// Takes in how many samples and frees the busiest process had in this time.
    pub(crate) fn look_at_rate(&mut self, n_events: u64, elapsed: Duration) {
        if !self.minds_rate || elapsed.is_zero() {
            return;
        }
        let rate = n_events as f64 / elapsed.as_secs_f64();
        if rate > RATE_MAX && self.interval() < INTERVAL_MAX {
            self.for_rate += 1;
        } else if rate < RATE_BACK {
            self.for_rate = self.for_rate.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_spread_until_it_is_cheap_and_calm_brings_it_back() {
        let mut spread = Spread::new(1 << 16, true);
        // 8 GB a second, of which a half is freed again.
        let mut looks = Vec::new();
        for _ in 0..12 {
            let per_second = 12e9 / spread.interval() as f64;
            spread.look_at_rate((per_second / 4.0) as u64, LOOKS);
            looks.push(spread.interval());
        }
        assert_eq!(looks[5..].iter().min(), looks[5..].iter().max(), "{looks:?}");
        assert!(12e9 / spread.interval() as f64 <= RATE_MAX);
        (0..12).for_each(|_| spread.look_at_rate(10, LOOKS));
        assert_eq!(spread.interval(), 1 << 16);
    }

    #[test]
    fn an_interval_that_was_asked_for_yields_to_memory_only() {
        let mut spread = Spread::new(1 << 10, false);
        spread.look_at_rate(1_000_000, LOOKS);
        assert_eq!(spread.interval(), 1 << 10);
        (0..20).for_each(|_| spread.look_at_live(1e9));
        assert!(1e9 / spread.interval() as f64 <= LIVE_MAX);
        assert!(1e9 / spread.interval() as f64 >= LIVE_MAX / 2.0);
    }

    #[test]
    fn nothing_overflows() {
        let mut spread = Spread::new(u64::MAX, true);
        (0..100).for_each(|_| {
            spread.look_at_live(f64::MAX);
            spread.look_at_rate(u64::MAX, LOOKS);
        });
        assert_eq!(spread.interval(), INTERVAL_MAX);
    }
}
