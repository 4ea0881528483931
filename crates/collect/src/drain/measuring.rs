//! What is measured while a recording runs, and what follows from it: memory, and how many samples there are.

use std::time::{Duration, Instant};

use heapray_wire::Reading;

use super::Drain;
use crate::plan::{Mode, RssLimit};
use crate::spread::LOOKS;

/// While memory is watched to switch the recording on, it is measured this often.
const WATCH: Duration = Duration::from_millis(100);

impl Drain {
    /// Switches the recording on when memory is at its limit, once.
    pub(super) fn watch(&mut self) {
        let Some(limit) = self.plan.when_rss else { return };
        if self.measured.elapsed() < WATCH {
            return;
        }
        self.measured = Instant::now();
        let resident = self.tenants.iter().flatten().map(|tenant| resident_bytes(tenant.pid)).max();
        if resident.is_some_and(|bytes| bytes >= self.bytes_of(limit)) {
            self.set_recording(true);
            self.plan.when_rss = None;
        }
    }

    fn bytes_of(&self, limit: RssLimit) -> u64 {
        match limit {
            RssLimit::Bytes(bytes) => bytes,
            RssLimit::Share(share) => {
                let pid = self.tenants.iter().flatten().next().map_or(0, |tenant| tenant.pid);
                let whole = heapray_linux::cgroup(pid).max_bytes.unwrap_or_else(heapray_linux::machine_bytes);
                (whole as f64 * share) as u64
            }
        }
    }

    pub(super) fn measure(&mut self) {
        self.measured = Instant::now();
        let t_ns = self.now();
        let group = self.tenants.iter().flatten().next().map(|tenant| heapray_linux::cgroup(tenant.pid));
        let group = group.unwrap_or_default();
        for tenant in self.tenants.iter().flatten() {
            let reading = Reading {
                t_ns,
                rss_bytes: resident_bytes(tenant.pid),
                live_bytes: 0.0,
                cgroup_bytes: group.current_bytes.unwrap_or(0),
                cgroup_limit_bytes: group.max_bytes.unwrap_or(0),
            };
            self.engine.reading(tenant.number, reading);
        }
    }

    /// Draws fewer samples as there are more live ones: each keeps the interval that it was drawn with.
    pub(super) fn spread_samples(&mut self) {
        if self.plan.mode == Mode::Sampled {
            self.spread.look_at_live(self.engine.all_sampled_bytes());
            self.slots.set_interval(self.spread.interval());
        }
    }

    /// Draws fewer samples while they come fast.
    pub(super) fn watch_rate(&mut self) {
        let elapsed = self.rate_looked.elapsed();
        if self.plan.mode != Mode::Sampled || elapsed < LOOKS {
            return;
        }
        self.rate_looked = Instant::now();
        let engine = &self.engine;
        let fresh = self.tenants.iter_mut().flatten().map(|tenant| {
            let n_events = engine.events_of(tenant.number);
            n_events.saturating_sub(std::mem::replace(&mut tenant.n_events, n_events))
        });
        self.spread.look_at_rate(fresh.max().unwrap_or(0), elapsed);
        self.slots.set_interval(self.spread.interval());
    }
}

fn resident_bytes(pid: i32) -> u64 {
    heapray_linux::status(pid).map_or(0, |status| status.resident_bytes)
}
