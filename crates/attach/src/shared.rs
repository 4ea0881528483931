//! The memory file of a recording, as its collector sees it: control area, claims, slots with their rings.
//!
//! Layout and meaning of every word stand in `heapray_wire::ring`. Targets write here, so nothing is believed: indices
//! are checked, and the ring is read as numbers.
//!
//! Unsafe: the structs of `wire::ring` are looked at inside the mapping.
#![expect(unsafe_code, reason = "views of a shared mapping")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use heapray_linux::SharedMemory;
use heapray_wire::ring::cells::Cell;
use heapray_wire::ring::{self, Claim, Control, EMPTYING_TEMPORARIES, SlotHeader};

/// What a recording's memory file is made for; goes into its control area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedPlan {
    /// Processes that can be recorded at a time, at most [`ring::MAX_SLOTS`].
    pub n_slots: usize,
    /// Bytes of the ring of each, a power of two of at least a page.
    pub ring_bytes: usize,
    /// [`ring::MODE_SAMPLED`] or [`ring::MODE_EXACT`].
    pub mode: u32,
    /// [`ring::LEVEL_MALLOC`] or [`ring::LEVEL_OBJECTS`].
    pub level: u32,
    /// `ring::FLAG_…`.
    pub flags: u32,
    /// Mean distance of samples, in bytes.
    pub sample_interval: u64,
    /// Whether events are recorded from the start.
    pub recording: bool,
    /// The signal that toggles recording, 0 for none.
    pub signal: u32,
}

impl Default for SharedPlan {
    /// Sampled, objects, 64 KiB, recording, 512 processes.
    fn default() -> Self {
        Self {
            n_slots: ring::MAX_SLOTS,
            ring_bytes: ring::SAMPLED_RING_BYTES,
            mode: ring::MODE_SAMPLED,
            level: ring::LEVEL_OBJECTS,
            flags: 0,
            sample_interval: 64 << 10,
            recording: true,
            signal: 0,
        }
    }
}

impl SharedPlan {
    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        ring::file_bytes(self.n_slots, ring::slot_bytes(self.ring_bytes)) as u64
    }
}

/// A recording's memory file, mapped. Dropping it closes and unmaps it here; processes keep their own mappings.
#[derive(Debug)]
pub struct SharedFile {
    memory: SharedMemory,
    n_slots: usize,
    slot_bytes: usize,
}

/// The name of the file in `/proc/PID/maps` is `/memfd:` and this.
pub const SHARED_NAME: &std::ffi::CStr = c"heapray";

impl SharedFile {
    /// Makes the file; `run` hands its path (see [`SharedFile::path`]) to the processes that it starts.
    ///
    /// # Errors
    /// Those of making and mapping it; `InvalidInput` where the plan asks for what cannot be.
    pub fn create(plan: &SharedPlan) -> io::Result<Self> {
        check(plan)?;
        Self::fill(SharedMemory::create(SHARED_NAME, plan.file_bytes())?, plan, std::process::id())
    }

    /// Makes an empty memory file that somebody else has made the one of a recording. `collector`: who will drain it.
    ///
    /// # Errors
    /// As [`SharedFile::create`].
    pub fn create_in(file: OwnedFd, plan: &SharedPlan, collector: u32) -> io::Result<Self> {
        check(plan)?;
        let file = std::fs::File::from(file);
        file.set_len(plan.file_bytes())?;
        Self::fill(SharedMemory::open(file.into())?, plan, collector)
    }

    /// Opens the memory file of a recording that was made elsewhere.
    ///
    /// # Errors
    /// Those of mapping it; `InvalidData` where it is none, or one of another version.
    pub fn open(file: OwnedFd) -> io::Result<Self> {
        let memory = SharedMemory::open(file)?;
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        // SAFETY: `Control` is made of atomic integers only.
        let control: &Control = unsafe { memory.view(0) }.ok_or_else(damaged)?;
        let number = |field: &std::sync::atomic::AtomicU32| {
            usize::try_from(field.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
        };
        let is_ours = control.magic.load(Ordering::Acquire) == ring::RING_MAGIC
            && control.version.load(Ordering::Relaxed) == ring::RING_VERSION;
        let (n_slots, slot_bytes) = (number(&control.n_slots), number(&control.slot_bytes));
        let ring_bytes = slot_bytes.checked_sub(ring::RING_OFFSET).ok_or_else(damaged)?;
        let plan = SharedPlan { n_slots, ring_bytes, ..SharedPlan::default() };
        if !is_ours || check(&plan).is_err() || plan.file_bytes() > memory.len_bytes() {
            return Err(damaged());
        }
        Ok(Self { memory, n_slots, slot_bytes })
    }

    fn fill(memory: SharedMemory, plan: &SharedPlan, collector: u32) -> io::Result<Self> {
        let inode = file_inode(memory.as_fd())?;
        let slot_bytes = ring::slot_bytes(plan.ring_bytes);
        let shared = Self { memory, n_slots: plan.n_slots, slot_bytes };
        let control = shared.control();
        let set = |field: &std::sync::atomic::AtomicU32, value: u32| field.store(value, Ordering::Relaxed);
        set(&control.version, ring::RING_VERSION);
        set(&control.slot_bytes, u32::try_from(slot_bytes).unwrap_or(0));
        set(&control.n_slots, u32::try_from(plan.n_slots).unwrap_or(0));
        set(&control.mode, plan.mode);
        set(&control.level, plan.level);
        set(&control.flags, plan.flags);
        set(&control.recording, u32::from(plan.recording));
        set(&control.signal, plan.signal);
        set(&control.collector_pid, collector);
        control.sample_interval.store(plan.sample_interval, Ordering::Relaxed);
        control.file_inode.store(inode, Ordering::Relaxed);
        // Last: who finds the magic may read the rest.
        control.magic.store(ring::RING_MAGIC, Ordering::Release);
        Ok(shared)
    }

    /// What a child of ours finds the file under while this is open: for `HEAPRAY_CONTROL`.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.memory.as_fd().as_raw_fd()))
    }

    /// Slots in the file.
    pub fn n_slots(&self) -> usize {
        self.n_slots
    }

    /// Bytes of a slot, header and ring.
    pub fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    /// The control area's words.
    pub fn control(&self) -> &Control {
        // SAFETY: `Control` is made of atomic integers only.
        unsafe { self.memory.view(0) }.expect("the file is longer than its control area")
    }

    /// Who has slot `idx`; `None` behind the last slot.
    pub fn claim(&self, idx: usize) -> Option<&Claim> {
        (idx < self.n_slots).then_some(())?;
        // SAFETY: `Claim` is made of atomic integers only.
        unsafe { self.memory.view(ring::claim_offset(idx) as u64) }
    }

    /// Slot `idx`; `None` behind the last one.
    pub fn slot(&self, idx: usize) -> Option<Slot<'_>> {
        (idx < self.n_slots).then_some(())?;
        let offset = ring::slot_offset(idx, self.slot_bytes) as u64;
        // SAFETY: `SlotHeader` is made of atomic integers only.
        let header = unsafe { self.memory.view(offset) }?;
        let words = |at: usize, n_cells: usize| self.memory.words(offset + at as u64, 2 * n_cells);
        Some(Slot {
            header,
            window: words(ring::WINDOW_OFFSET, ring::WINDOW_CELLS)?,
            temporaries: words(ring::TEMPORARIES_OFFSET, 2 * ring::MAX_TEMPORARIES)?,
            words: words(ring::RING_OFFSET, (self.slot_bytes - ring::RING_OFFSET) / ring::CELL_BYTES)?,
        })
    }

    /// Makes slot `idx` as new, and gives its memory back, header included. Its claim is not touched: that goes back to
    /// [`ring::SLOT_FREE`] afterwards.
    ///
    /// # Errors
    /// Those of fallocate(2).
    pub fn wipe(&self, idx: usize) -> io::Result<()> {
        if idx >= self.n_slots {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        self.memory.free(ring::slot_offset(idx, self.slot_bytes) as u64, self.slot_bytes as u64)
    }
}

impl AsFd for SharedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

/// One process's slot.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    header: &'a SlotHeader,
    window: &'a [AtomicU64],
    temporaries: &'a [AtomicU64],
    words: &'a [AtomicU64],
}

impl<'a> Slot<'a> {
    /// Its header.
    pub fn header(&self) -> &'a SlotHeader {
        self.header
    }

    /// Cells in its ring, a power of two.
    pub fn n_cells(&self) -> u64 {
        self.words.len() as u64 / 2
    }

    /// Cells that were written and not yet consumed, as (from, to): counts since the ring was made. Where the process has
    /// overwritten itself (it never should), only what can still be there.
    pub fn pending(&self) -> (u64, u64) {
        let to = self.header.head.load(Ordering::Acquire);
        let from = self.header.tail.load(Ordering::Relaxed);
        (from.clamp(to.saturating_sub(self.n_cells()), to), to)
    }

    /// Appends the cells of counts `from..to` to `out`.
    pub fn copy_cells(&self, (from, to): (u64, u64), out: &mut Vec<Cell>) {
        let mask = self.n_cells() - 1;
        out.extend((from..to).map(|count| {
            let at = usize::try_from(2 * (count & mask)).unwrap_or(0);
            cell(&self.words[at..at + 2])
        }));
    }

    /// The window's cells as they are now, empty ones too. To be read when the process has ended, after its ring.
    pub fn window(&self) -> impl Iterator<Item = Cell> + use<'a> {
        self.window.chunks_exact(2).map(cell)
    }

    /// The records of temporaries as they are now, two cells each, empty ones too. As [`Slot::window`].
    pub fn temporaries(&self) -> impl Iterator<Item = [Cell; 2]> + use<'a> {
        self.temporaries.chunks_exact(4).map(|words| [cell(&words[..2]), cell(&words[2..])])
    }

    /// Appends the records of window and temporaries to `out`: what a process that has ended, and whose ring was read, had not
    /// put into the ring yet.
    pub fn copy_young(&self, out: &mut Vec<Cell>) {
        let emptying = self.header.emptying.load(Ordering::Acquire);
        let is_moved = (emptying & !EMPTYING_TEMPORARIES) <= self.header.head.load(Ordering::Acquire);
        let moved = (emptying != 0 && is_moved).then_some(emptying & EMPTYING_TEMPORARIES);
        if moved != Some(0) {
            // A block that makes room is put into the ring before its cell is another's.
            let mut last = Vec::new();
            let head = self.header.head.load(Ordering::Acquire);
            self.copy_cells((head.saturating_sub(1), head), &mut last);
            out.extend(self.window().filter(|cell| cell.a != 0 && !last.contains(cell)));
        }
        if moved != Some(EMPTYING_TEMPORARIES) {
            out.extend(self.temporaries().filter(|[first, _]| first.a != 0).flatten());
        }
    }

    /// Tells the process that everything before count `to` may be overwritten.
    pub fn consumed(&self, to: u64) {
        self.header.tail.store(to, Ordering::Release);
    }
}

fn cell(words: &[AtomicU64]) -> Cell {
    Cell { a: words[0].load(Ordering::Relaxed), b: words[1].load(Ordering::Relaxed) }
}

fn check(plan: &SharedPlan) -> io::Result<()> {
    let ring = (plan.ring_bytes / ring::CELL_BYTES).is_power_of_two() && plan.ring_bytes >= 4096;
    let slots = (1..=ring::MAX_SLOTS).contains(&plan.n_slots);
    let size = u32::try_from(ring::slot_bytes(plan.ring_bytes)).is_ok();
    if ring && slots && size { Ok(()) } else { Err(io::Error::from(io::ErrorKind::InvalidInput)) }
}

fn file_inode(file: BorrowedFd<'_>) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::File::from(file.try_clone_to_owned()?).metadata()?.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> SharedFile {
        SharedFile::create(&SharedPlan { n_slots: 3, ring_bytes: 4096, ..SharedPlan::default() })
            .expect("memory files are to be had")
    }

    #[test]
    fn the_control_area_says_what_was_planned() {
        let shared = small();
        let control = shared.control();
        assert_eq!(control.magic.load(Ordering::Relaxed), ring::RING_MAGIC);
        assert_eq!(control.n_slots.load(Ordering::Relaxed), 3);
        assert_eq!(control.slot_bytes.load(Ordering::Relaxed) as usize, ring::slot_bytes(4096));
        assert_eq!(control.recording.load(Ordering::Relaxed), 1);
        assert!(shared.path().exists());
        assert!(shared.slot(2).is_some() && shared.slot(3).is_none() && shared.claim(3).is_none());
    }

    #[test]
    fn cells_are_read_around_the_end_of_the_ring() {
        let shared = small();
        let slot = shared.slot(1).expect("there");
        assert_eq!((slot.n_cells(), slot.pending()), (256, (0, 0)));
        for (at, word) in slot.words.iter().enumerate() {
            word.store(at as u64, Ordering::Relaxed);
        }
        slot.header().head.store(258, Ordering::Release);
        slot.consumed(254);
        let mut out = Vec::new();
        slot.copy_cells(slot.pending(), &mut out);
        let firsts: Vec<u64> = out.iter().map(|cell| cell.a).collect();
        assert_eq!(firsts, [508, 510, 0, 2]);
        // A process that wrote past its tail, or a tail from nowhere, is not followed into nonsense.
        slot.header().head.store(1000, Ordering::Release);
        assert_eq!(slot.pending(), (744, 1000));
        slot.consumed(u64::MAX);
        assert_eq!(slot.pending(), (1000, 1000));
    }

    #[test]
    fn a_block_that_was_on_its_way_into_the_ring_is_read_once() {
        let shared = small();
        let slot = shared.slot(1).expect("there");
        let put = |words: &[AtomicU64], at: usize, cell: Cell| {
            words[2 * at].store(cell.a, Ordering::Relaxed);
            words[2 * at + 1].store(cell.b, Ordering::Relaxed);
        };
        let [moving, staying, other] = [(7, 1), (9, 1), (7, 2)].map(|(a, b)| Cell { a, b });
        for (at, cell) in [(0, moving), (5, staying), (6, other)] {
            put(slot.window, at, cell);
        }
        let young = || {
            let mut out = Vec::new();
            slot.copy_young(&mut out);
            out
        };
        assert_eq!(young(), [moving, staying, other]);
        // The 258th cell of a ring of 256.
        put(slot.words, 1, moving);
        slot.header().head.store(258, Ordering::Release);
        assert_eq!(young(), [staying, other]);
    }

    #[test]
    fn a_wiped_slot_is_as_new() {
        let shared = small();
        let slot = shared.slot(1).expect("there");
        slot.header().head.store(9, Ordering::Relaxed);
        shared.wipe(1).expect("a hole");
        assert_eq!(slot.header().head.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_file_is_opened_only_where_it_is_a_recordings() {
        let first = small();
        let again = || first.as_fd().try_clone_to_owned().expect("a descriptor");
        assert_eq!(SharedFile::open(again()).expect("ours").n_slots(), 3);
        first.control().n_slots.store(4, Ordering::Relaxed);
        assert!(SharedFile::open(again()).is_err(), "longer than it is");
        first.control().slot_bytes.store(5, Ordering::Relaxed);
        assert!(SharedFile::open(again()).is_err());
        let other = SharedMemory::create(c"other", 1 << 20).expect("memory files are to be had");
        assert!(SharedFile::open(other.as_fd().try_clone_to_owned().expect("a descriptor")).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for plan in [
            SharedPlan { n_slots: 0, ..SharedPlan::default() },
            SharedPlan { n_slots: ring::MAX_SLOTS + 1, ..SharedPlan::default() },
            SharedPlan { ring_bytes: 3 * 4096, ..SharedPlan::default() },
            SharedPlan { ring_bytes: 16, ..SharedPlan::default() },
        ] {
            assert!(SharedFile::create(&plan).is_err(), "{plan:?}");
        }
    }
}
