//! Looks how much of the address space that processes have reserved is in use: allocators inside libraries tell nobody.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use super::Drain;
use crate::engine::ReservedRange;

/// Time between two looks at a process, at least.
const LOOKS: Duration = Duration::from_millis(20);
/// A look is not repeated before this many times the time that it took: 2 % of a processor at most while a process is young, since it
/// may end at any moment, half a percent later.
const COST_FACTORS: [u32; 2] = [50, 200];
const YOUNG: Duration = Duration::from_secs(10);

/// When a process is looked at again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looks {
    begin: Instant,
    last: Instant,
    took: Duration,
}

impl Looks {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { begin: now, last: now, took: Duration::ZERO }
    }

    fn is_due(&self) -> bool {
        let factor = COST_FACTORS[usize::from(self.begin.elapsed() >= YOUNG)];
        self.last.elapsed() >= LOOKS.max(self.took * factor)
    }
}

impl Drain {
    /// Looks at the processes for which it is time; at all `at_once` where there will be no other look.
    pub(super) fn look_at_reserved(&mut self, at_once: bool) {
        for idx in 0..self.tenants.len() {
            if let Some(Some(tenant)) = self.tenants.get(idx)
                && (at_once || tenant.looks.is_due())
            {
                let (number, pid) = (tenant.number, tenant.pid);
                self.look_at_reserved_of(idx, number, pid);
            }
        }
    }

    fn look_at_reserved_of(&mut self, idx: usize, number: u32, pid: i32) {
        let ranges = self.engine.reserved(number);
        if ranges.is_empty() {
            return;
        }
        let begin = Instant::now();
        let used = used_bytes(pid, &ranges);
        let ending = self.engine.ending_slice(number);
        // What was told until the look comes first: an interpreter that has begun to end gives memory back, which is not to look as
        // if it had before. Of what has no page in use this is not the process, but the program that it has executed since.
        self.drain(idx);
        if let Ok(used) = used
            && used.iter().any(|(_, bytes)| *bytes > 0)
            && self.engine.ending_slice(number) == ending
        {
            let t_ns = self.now();
            self.engine.look_at_reserved(number, &used, t_ns);
        }
        if let Some(Some(tenant)) = self.tenants.get_mut(idx) {
            tenant.looks = Looks { last: Instant::now(), took: begin.elapsed(), ..tenant.looks };
        }
    }
}

/// Bytes in use of each reservation. An error where the process has ended, or must not be looked into.
fn used_bytes(pid: i32, ranges: &[ReservedRange]) -> io::Result<Vec<(u32, u64)>> {
    let bounds: Vec<(u64, u64)> = ranges.iter().map(|range| (range.start, range.end)).collect();
    let mut used = BTreeMap::<u32, u64>::new();
    for (range, bytes) in ranges.iter().zip(heapray_linux::used_bytes(pid, &bounds)?) {
        *used.entry(range.reservation).or_default() += bytes;
    }
    Ok(used.into_iter().collect())
}
