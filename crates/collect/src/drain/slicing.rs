//! When a slice ends, and where in what each process says.
//!
//! An agent in exact mode keeps young blocks to itself for a moment, while frees of older ones go to the ring at once: what the ring says
//! at any moment is too little. So before a slice ends every agent is asked to tell all it has and to mark the place, and the slice ends
//! there, a process at a time. A process without an event meanwhile stands still, and what it keeps is read in place.

use std::time::{Duration, Instant};

use super::Drain;
use crate::plan::Mode;
use crate::tenant::{self, Now};

/// Length of a slice until a moment of the recording: seconds, then fewer and fewer rows an hour.
const SLICES: [(Duration, Duration); 2] = [
    (Duration::from_secs(600), Duration::from_secs(1)),
    (Duration::from_secs(7200), Duration::from_secs(10)),
];
const LAST_SLICES: Duration = Duration::from_secs(60);

/// How much longer a slice may last while files are read that its names may need.
const READING_MAX: Duration = Duration::from_secs(10);

/// How long processes are waited for.
const BORDER_MAX: Duration = Duration::from_millis(50);

impl Drain {
    /// How long the slice has lasted.
    fn age(&self) -> Duration {
        Duration::from_nanos(self.now() - self.engine.slice_start_ns())
    }

    /// Whether it is time for the slice to end.
    pub(super) fn is_due(&self) -> bool {
        self.age() >= slice_length(self.start.elapsed())
    }

    /// Whether files are being read that names in the slice may need.
    pub(super) fn is_patient(&mut self) -> bool {
        self.files.is_reading() && self.age() < slice_length(self.start.elapsed()) + READING_MAX
    }

    /// Ends the slice, in exact mode once all processes have come to its border or stand still.
    pub(super) fn approach_border(&mut self) {
        if self.plan.mode == Mode::Exact && !self.engine.is_border_asked() {
            self.asked = Instant::now();
            let border = self.engine.ask_for_border();
            self.slots.ask_for_border(border);
            self.look_at_all();
            self.wait = super::WAIT_MIN;
            return;
        }
        if self.engine.is_border_asked() && !self.engine.is_at_border() {
            if self.asked.elapsed() < BORDER_MAX {
                return;
            }
            self.look_at_all();
        }
        self.end_slice();
    }

    /// Ends the slice at once if it is about to end.
    pub(super) fn settle_border(&mut self) {
        if self.engine.is_border_asked() {
            self.end_slice();
        }
    }

    /// Looks at what all processes keep outside of their rings.
    fn look_at_all(&mut self) {
        let t_ns = self.now();
        for (idx, tenant) in self.tenants.iter_mut().enumerate() {
            if let (Some(tenant), Some(slot)) = (tenant, self.slots.get(idx)) {
                tenant.look_now(&slot, &mut self.engine, Now { t_ns, buffer: &mut self.buffer });
            }
        }
    }

    /// Does some of what ending the slice will need, while nobody waits: of a short program that is most of it.
    pub(super) fn work_ahead(&mut self) {
        if !self.files.is_reading() {
            self.write(|engine, native| engine.work_ahead(native));
        }
    }

    pub(super) fn end_slice(&mut self) {
        self.measure();
        let pauses = self.pauses.fact(self.now());
        for (idx, tenant) in self.tenants.iter().enumerate() {
            if let (Some(tenant), Some(slot)) = (tenant, self.slots.get(idx)) {
                let header = slot.header();
                let facts = tenant::status(header).into_iter().chain(pauses.clone());
                self.engine.status(tenant.number, facts.collect());
                self.pythons.extend(tenant::python(header).map(|version| (tenant.number, version)));
            }
        }
        let now = self.now();
        self.write(|engine, native| engine.end_slice(now, native));
        self.spread_samples();
    }
}

fn slice_length(elapsed: Duration) -> Duration {
    SLICES.iter().find(|(until, _)| elapsed < *until).map_or(LAST_SLICES, |(_, length)| *length)
}
