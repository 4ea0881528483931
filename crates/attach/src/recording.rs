//! Finds the recording that a process takes part in, from outside and without stopping it: what `heapray on|off|detach PID`
//! from another terminal needs.
//!
//! The control area is mapped by every recorded process, however the agent came into it; it is read and written through
//! the process's memory, because its file may be out of reach (another mount or pid namespace).

use std::mem::offset_of;

use heapray_linux::{Mapping, RemoteMemory};
use heapray_wire::ring::{self, Control};

use crate::arena::Arena;
use crate::{AttachError, preflight};

/// A recording, seen through one of its processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The process.
    pub pid: i32,
    /// Who drains it, as that process counts itself: its own pid namespace's number.
    pub collector: u32,
    /// Whether events are recorded now.
    pub is_on: bool,
    /// Whether the collector has finished.
    pub is_finished: bool,
    /// Counts the collector's rounds: at least one in 50 ms while it lives.
    pub heartbeat: u64,
    /// The agent was mapped by `heapray attach` (or is a fork of such a process), so it can be taken out again.
    pub is_attached: bool,
    control: u64,
}

/// What can be asked of a recording's collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Detach and finish.
    Detach,
    /// Record.
    On,
    /// Pause.
    Off,
}

/// The recording that process `pid` takes part in; `None` where there is no agent in it.
///
/// # Errors
/// Those of [`AttachError`] that say why the process cannot be looked at.
pub fn find_recording(pid: i32) -> Result<Option<Recording>, AttachError> {
    let target = preflight::present(pid)?;
    let mappings = heapray_linux::mappings(pid).map_err(|_| preflight::denial(pid, &target.status))?;
    Ok(in_mappings(pid, &mappings))
}

pub(crate) fn in_mappings(pid: i32, mappings: &[Mapping]) -> Option<Recording> {
    let memory = RemoteMemory::new(pid);
    let is_control = |mapping: &&Mapping| is_shared(mapping) && mapping.offset == 0;
    let arenas = Arena::find(pid, mappings);
    mappings.iter().filter(is_control).find_map(|mapping| {
        let word = |offset: usize| {
            let mut bytes = [0; 8];
            let n = memory.read(mapping.start + offset as u64, &mut bytes).ok()?;
            (n == 8).then(|| u64::from_le_bytes(bytes))
        };
        let half = |offset: usize| word(offset).map(|word| word as u32);
        let is_ours = word(offset_of!(Control, magic))? == ring::RING_MAGIC
            && half(offset_of!(Control, version))? == ring::RING_VERSION;
        is_ours.then_some(Recording {
            pid,
            collector: half(offset_of!(Control, collector_pid))?,
            is_on: half(offset_of!(Control, recording))? != 0,
            is_finished: half(offset_of!(Control, stop))? != 0,
            heartbeat: word(offset_of!(Control, heartbeat))?,
            is_attached: arenas.iter().any(|arena| arena.control.contains(&mapping.start)),
            control: mapping.start,
        })
    })
}

/// Memory of a recording's file.
pub(crate) fn is_shared(mapping: &Mapping) -> bool {
    let name = mapping.path.strip_prefix("/memfd:");
    mapping.shared && name.is_some_and(|name| name.as_bytes() == crate::SHARED_NAME.to_bytes())
}

impl Recording {
    /// Asks the collector to do something; it obeys at its next round.
    ///
    /// # Errors
    /// [`AttachError::Exited`] where the process is gone, [`AttachError::System`] where its memory may not be written.
    pub fn ask(&self, command: Command) -> Result<(), AttachError> {
        let number = match command {
            Command::Detach => ring::COMMAND_DETACH,
            Command::On => ring::COMMAND_ON,
            Command::Off => ring::COMMAND_OFF,
        };
        let memory = RemoteMemory::new(self.pid);
        let pid = self.pid;
        let at = |offset: usize| self.control + offset as u64;
        let write = |offset: usize, value: u32| {
            let failed =
                |source| AttachError::System { pid, what: "writing to the recording's memory", source };
            memory.write(at(offset), &value.to_le_bytes()).map_err(failed)
        };
        let mut seq = [0; 4];
        memory
            .read(at(offset_of!(Control, command_seq)), &mut seq)
            .map_err(|_| AttachError::Exited { pid, during: "attached to" })?;
        write(offset_of!(Control, command), number)?;
        write(offset_of!(Control, command_seq), u32::from_le_bytes(seq).wrapping_add(1))
    }
}
