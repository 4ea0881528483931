//! The slots of all memory files of a recording, numbered on from file to file: one file for a program and all that it starts, one more
//! for each process that ran already and was attached to.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use heapray_attach::{SharedFile, Slot};
use heapray_wire::ring::{COMMAND_NONE, Claim, Control};

/// See the module.
#[derive(Debug)]
pub(crate) struct Slots {
    files: Vec<Arc<SharedFile>>,
    /// Of each file.
    n_slots: usize,
}

impl Slots {
    /// Those of one file.
    pub(crate) fn of(file: Arc<SharedFile>) -> Self {
        Self { n_slots: file.n_slots(), files: vec![file] }
    }

    /// Adds those of another file, which was made for the same plan.
    pub(crate) fn add(&mut self, file: Arc<SharedFile>) {
        self.files.push(file);
    }

    /// Number of slots.
    pub(crate) fn len(&self) -> usize {
        self.files.len() * self.n_slots
    }

    fn at(&self, idx: usize) -> Option<(&SharedFile, usize)> {
        Some((self.files.get(idx / self.n_slots)?, idx % self.n_slots))
    }

    /// Who has a slot; `None` behind the last.
    pub(crate) fn claim(&self, idx: usize) -> Option<&Claim> {
        self.at(idx).and_then(|(file, idx)| file.claim(idx))
    }

    /// A slot; `None` behind the last.
    pub(crate) fn get(&self, idx: usize) -> Option<Slot<'_>> {
        self.at(idx).and_then(|(file, idx)| file.slot(idx))
    }

    /// The slot that a process in slot `idx` calls `number`: it knows its own file only. `None` where there is none.
    pub(crate) fn beside(&self, idx: usize, number: u32) -> Option<usize> {
        let number = usize::try_from(number).ok().filter(|number| *number < self.n_slots)?;
        Some(idx / self.n_slots * self.n_slots + number)
    }

    /// Makes a slot as new.
    pub(crate) fn wipe(&self, idx: usize) -> io::Result<()> {
        self.at(idx).map_or(Ok(()), |(file, idx)| file.wipe(idx))
    }

    /// The words of each file.
    pub(crate) fn controls(&self) -> impl Iterator<Item = &Control> {
        self.files.iter().map(|file| file.control())
    }

    /// Tells all agents that the collector lives.
    pub(crate) fn beat(&self) {
        self.controls().for_each(|control| {
            control.heartbeat.fetch_add(1, Ordering::Release);
        });
    }

    /// Has agents say where they have told all that happened.
    pub(crate) fn ask_for_border(&self, number: u64) {
        self.controls().for_each(|control| control.border.store(number, Ordering::Release));
        self.beat();
    }

    /// Whether events are recorded.
    pub(crate) fn is_recording(&self) -> bool {
        self.controls().any(|control| control.recording.load(Ordering::Relaxed) != 0)
    }

    /// Switches the recording on or off; agents look at the word when the collector has moved: at once, not after the next round.
    pub(crate) fn set_recording(&self, on: bool) {
        self.controls().for_each(|control| control.recording.store(on.into(), Ordering::Release));
        self.beat();
    }

    /// What somebody asks for through one of the files, `COMMAND_NONE` where nobody does.
    pub(crate) fn take_command(&self) -> u32 {
        let asked = self.controls().map(|control| control.command.swap(COMMAND_NONE, Ordering::AcqRel));
        asked.fold(COMMAND_NONE, |first, next| if first == COMMAND_NONE { next } else { first })
    }

    /// Tells all agents that the recording is over.
    pub(crate) fn stop(&self) {
        self.controls().for_each(|control| {
            control.recording.store(0, Ordering::Release);
            control.stop.store(1, Ordering::Release);
        });
    }

    /// Has agents draw samples at this mean distance.
    pub(crate) fn set_interval(&self, bytes: u64) {
        self.controls().for_each(|control| control.sample_interval.store(bytes, Ordering::Relaxed));
    }

    /// Counts of all files: claims that found no room, programs that could not be followed.
    pub(crate) fn refused(&self) -> (u64, u64) {
        let of = |control: &Control| {
            (control.refused_claims.load(Ordering::Relaxed), control.unreachable.load(Ordering::Relaxed))
        };
        self.controls().map(of).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}
