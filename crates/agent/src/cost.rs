//! What the agent costs the process, measured by itself: every so-many-th event, by the processor's counter.
//!
//! Asking the kernel for the time takes longer than most events do, and what runs before it decides how long; the counter takes a few
//! nanoseconds. What a tick is in nanoseconds is known from the two clocks' distance since the start.

use core::sync::atomic::Ordering::Relaxed;

use crate::arch::counter;
use crate::kernel;
use crate::ring::header;

/// Every so-many-th event is timed: a prime, so that no habit of the program's makes them all of one kind.
const EVERY: u32 = 1021;
/// An event that took longer, in nanoseconds, was interrupted: even emptying the window takes less.
const MAX_NS: u64 = 200_000;
/// No processor's counter is faster, in ticks a nanosecond.
const FASTEST: u64 = 5;

/// See the module.
pub(crate) struct Cost {
    /// Events until the next one that is timed.
    left: u32,
    /// Whether the processor's counter may be read: a process can have that forbidden.
    has_counter: bool,
    /// Counter and clock at the start.
    origin: (u64, u64),
    /// What it takes to read the counter.
    own: u64,
    max: u64,
    timed: u64,
    n_timed: u64,
}

impl Cost {
    /// Before the start.
    pub(crate) const fn new() -> Cost {
        Cost { left: EVERY, has_counter: false, origin: (0, 0), own: 0, max: 0, timed: 0, n_timed: 0 }
    }

    /// Begins anew, with a fresh header.
    pub(crate) fn begin(&mut self) {
        *self = Cost { has_counter: kernel::may_read_counter(), max: MAX_NS * FASTEST, ..Cost::new() };
        self.origin = (self.now(), kernel::now_ns());
        self.own = (0..8).map(|_| self.now().abs_diff(self.now())).min().unwrap_or(0);
    }

    /// Whether `n` events from now on have one among them that is to be timed.
    #[inline]
    pub(crate) fn is_due(&mut self, n: u32) -> bool {
        match self.left.checked_sub(n) {
            Some(left) => {
                self.left = left;
                false
            }
            None => {
                self.left = EVERY;
                true
            }
        }
    }

    /// The counter, or the clock where there is none.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        if self.has_counter { counter() } else { kernel::now_ns() }
    }

    /// Counts an event that began at `start`.
    pub(crate) fn add(&mut self, start: u64) {
        let taken = self.now().wrapping_sub(start);
        if taken <= self.max {
            self.timed += taken.saturating_sub(self.own);
            self.n_timed += 1;
        }
    }

    /// Tells the collector.
    pub(crate) fn tell(&mut self, now_ns: u64) {
        let ticks = self.now().wrapping_sub(self.origin.0).max(1);
        let ns = now_ns.saturating_sub(self.origin.1).max(1);
        // Counter and clock are read one after the other, which matters less the longer ago the start is.
        if ns > 100 * MAX_NS {
            self.max = in_proportion(MAX_NS, ticks, ns);
        }
        header().timed_ns.store(in_proportion(self.timed, ns, ticks), Relaxed);
        header().n_timed.store(self.n_timed, Relaxed);
    }
}

/// `value * up / down`, at most the largest number.
fn in_proportion(value: u64, up: u64, down: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(up) / u128::from(down)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_told_in_nanoseconds() {
        for has_counter in [false, true] {
            let mut cost = Cost::new();
            cost.begin();
            cost.has_counter &= has_counter;
            cost.origin = (cost.now(), kernel::now_ns());
            let (start, start_ns) = cost.origin;
            while kernel::now_ns() - start_ns < 2_000_000 {
                core::hint::spin_loop();
            }
            cost.timed = (cost.now() - start) / 2;
            let now_ns = kernel::now_ns();
            cost.tell(now_ns);
            let told = 2 * header().timed_ns.load(Relaxed);
            assert!(told <= now_ns - start_ns && told > 1_000_000, "{told} of {}", now_ns - start_ns);
        }
    }

    #[test]
    fn every_so_many_events_one_is_due() {
        let mut cost = Cost::new();
        assert_eq!((0..10 * EVERY).filter(|_| cost.is_due(1)).count(), 9);
        // The sixteenth is the first that goes beyond.
        let mut cost = Cost::new();
        assert_eq!((0..160).filter(|_| cost.is_due(64)).count(), 10);
    }

    #[test]
    fn interrupted_events_do_not_count() {
        let mut cost = Cost::new();
        cost.begin();
        cost.add(cost.now());
        assert_eq!(cost.n_timed, 1);
        cost.add(cost.now().wrapping_sub(10 * MAX_NS * FASTEST));
        assert_eq!(cost.n_timed, 1);
    }
}
