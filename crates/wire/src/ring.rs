//! The memory file that the allocation agent and the collector share: a control area, then one slot per process.
//!
//! This file says where which word lies; it does not map memory. Both sides cast mapped pages to these structs,
//! all of whose fields are atomics of core, so neither side ever reads a torn word. What the cells of a slot's ring
//! mean stands in [`cells`](self::cells).
//!
//! ```text
//! 0                 CONTROL_BYTES                                      + slot_bytes
//! | Control, claims | SlotHeader | window | temporaries | ring of cells | SlotHeader | …
//! ```
//!
//! Exact mode keeps young blocks in the window, sets of four cells that are `Alloc` records as they stand (0 is
//! empty), and pairs that came and went inside it in the temporaries, a hash table of `Temporary` records of two
//! cells. The agent moves both into the ring at some of the collector's rounds, the temporaries when they fill, and of a full set
//! of the window one block at a time. Once a process has ended, the collector reads what is left in them **after** the ring: the
//! window holds blocks that were never freed. One that is the ring's last record was on its way there, and is the same block.
//!
//! One process writes a slot's ring (under its own lock), the collector reads it. `head` and `tail` count cells
//! since the ring was made and never wrap; a cell lies at `count & (n_cells - 1)`. `head` is stored (release) after
//! a whole record, so that a process that is killed leaves whole records only.

mod allocator;
mod cell_error;
pub mod cells;

use core::mem::{offset_of, size_of};
use core::sync::atomic::{AtomicU32, AtomicU64};

/// First word of the control area: `hrayring` read as a little-endian number.
pub const RING_MAGIC: u64 = u64::from_le_bytes(*b"hrayring");
/// Version of everything in this file; agent and collector are built together and must agree.
pub const RING_VERSION: u32 = 3;
/// Bytes of the control area: the [`Control`] struct and the claims of all slots.
pub const CONTROL_BYTES: usize = 8192;
/// Offset of the window in a slot.
pub const WINDOW_OFFSET: usize = 4096;
/// Cells of the window.
pub const WINDOW_CELLS: usize = 8192;
/// Offset of the temporaries in a slot.
pub const TEMPORARIES_OFFSET: usize = WINDOW_OFFSET + WINDOW_CELLS * CELL_BYTES;
/// Records of two cells that the temporaries hold at most.
pub const MAX_TEMPORARIES: usize = 4096;
/// Offset of the ring in a slot.
pub const RING_OFFSET: usize = TEMPORARIES_OFFSET + MAX_TEMPORARIES * 2 * CELL_BYTES;
/// Bytes of one cell: two words.
pub const CELL_BYTES: usize = 16;
/// Slots that a file can have at most: as many as there are [`Claim`]s.
pub const MAX_SLOTS: usize = 512;
/// Ring of a process in exact mode, in bytes.
pub const EXACT_RING_BYTES: usize = 4 << 20;
/// Ring of a process in sampled mode, in bytes.
pub const SAMPLED_RING_BYTES: usize = 1 << 20;
/// Longest payload of a record, in bytes; longer line tables and names are cut by the agent.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 10;
/// Environment variable that names the memory file to a process that was started with the agent preloaded.
pub const CONTROL_VARIABLE: &str = "HEAPRAY_CONTROL";

/// `Control::mode`: Poisson samples by bytes.
pub const MODE_SAMPLED: u32 = 1;
/// `Control::mode`: every event.
pub const MODE_EXACT: u32 = 2;

/// `Control::level`: the system's allocator only.
pub const LEVEL_MALLOC: u32 = 1;
/// `Control::level`: Python's objects as well.
pub const LEVEL_OBJECTS: u32 = 2;

/// `Control::flags`: native frames below the Python frames.
pub const FLAG_NATIVE: u32 = 1;
/// `Control::flags`: nothing is cancelled inside the agent's window.
pub const FLAG_ALL_EVENTS: u32 = 2;
/// `Control::flags`: recorded by `run`: programs that the process starts are recorded too.
pub const FLAG_FOLLOW_EXEC: u32 = 4;

/// `Control::command`: nothing is asked.
pub const COMMAND_NONE: u32 = 0;
/// `Control::command`: detach and finish.
pub const COMMAND_DETACH: u32 = 1;
/// `Control::command`: record.
pub const COMMAND_ON: u32 = 2;
/// `Control::command`: pause.
pub const COMMAND_OFF: u32 = 3;

/// `Claim::state`: nobody's.
pub const SLOT_FREE: u32 = 0;
/// `Claim::state`: somebody fills in the header.
pub const SLOT_CLAIMING: u32 = 1;
/// `Claim::state`: a process writes its ring.
pub const SLOT_LIVE: u32 = 2;
/// `Claim::state`: its process has stopped recording by itself; the collector drains it and frees it.
pub const SLOT_RELEASED: u32 = 3;

/// The first part of the file: what is recorded, and whether.
///
/// Written by the collector, but for `command`, `command_seq` (who runs `heapray on|off|detach`) and the claims.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Control {
    /// [`RING_MAGIC`].
    pub magic: AtomicU64,
    /// [`RING_VERSION`].
    pub version: AtomicU32,
    /// Bytes of a slot, header and ring; the ring's cells are a power of two.
    pub slot_bytes: AtomicU32,
    /// Slots in the file, at most [`MAX_SLOTS`].
    pub n_slots: AtomicU32,
    /// [`MODE_SAMPLED`] or [`MODE_EXACT`]; fixed before the first agent starts.
    pub mode: AtomicU32,
    /// [`LEVEL_MALLOC`] or [`LEVEL_OBJECTS`]; fixed likewise.
    pub level: AtomicU32,
    /// `FLAG_…`; fixed likewise.
    pub flags: AtomicU32,
    /// 1 while events are recorded, 0 while paused.
    pub recording: AtomicU32,
    /// 1 once the collector has finished: every agent goes idle for good.
    pub stop: AtomicU32,
    /// The collector's process, as its own namespace counts.
    pub collector_pid: AtomicU32,
    /// `COMMAND_…`; the collector obeys it and puts [`COMMAND_NONE`] back.
    pub command: AtomicU32,
    /// Counts commands; whoever writes `command` adds 1 after it.
    pub command_seq: AtomicU32,
    /// Signal that toggles recording when the target gets it, 0 none.
    pub signal: AtomicU32,
    /// Counts the collector's rounds; it moves at least every 50 ms.
    pub heartbeat: AtomicU64,
    /// Mean distance of samples in bytes; may grow while agents run.
    pub sample_interval: AtomicU64,
    /// Inode of the memory file, so that a mapping of it can be recognised in `/proc/PID/maps`.
    pub file_inode: AtomicU64,
    /// Claims that found no free slot.
    pub refused_claims: AtomicU64,
    /// Programs that were executed unrecorded, because who did so cannot read the agent's file: in another root, or as another user.
    pub unreachable: AtomicU64,
    /// Number of the border between slices that agents in exact mode are asked to say that they have come to ([`cells::Record::Border`]).
    pub border: AtomicU64,
    /// Seed of the agents' random numbers, mixed with nothing else, so that a run can be repeated; 0: from the clock.
    pub seed: AtomicU64,
}

/// Offset of the claims in the control area.
pub const CLAIMS_OFFSET: usize = 4096;

/// Who has a slot. A process takes one by changing `state` from [`SLOT_FREE`] to [`SLOT_CLAIMING`].
#[derive(Debug, Default)]
#[repr(C)]
pub struct Claim {
    /// `SLOT_…`.
    pub state: AtomicU32,
    /// Added to by every claim, so that a slot's second owner is told from its first.
    pub generation: AtomicU32,
}

/// The header of a slot: who writes the ring, how far it is, what was lost, what it cost.
#[derive(Debug, Default)]
#[repr(C)]
pub struct SlotHeader {
    /// Same as the claim's generation while the header is valid.
    pub generation: AtomicU32,
    /// The process, as it sees itself (`getpid`).
    pub pid: AtomicU32,
    /// A number of this start of a process: random, never 0.
    pub start_id: AtomicU64,
    /// Slot of the process that forked this one, `u32::MAX` none.
    pub parent_slot: AtomicU32,
    /// Generation of that slot at the fork.
    pub parent_generation: AtomicU32,
    /// The mark in the parent's ring at which this process came to be; 0 unknown.
    pub fork_mark: AtomicU64,
    /// Hexversion of the Python that was found, 0 none.
    pub python_hex: AtomicU32,
    /// `FAULT_…`, 0 none: why the agent stopped recording by itself.
    pub fault: AtomicU32,
    /// 1 while the hooks stand.
    pub hooked: AtomicU32,
    /// Objects whose slots were patched.
    pub n_objects: AtomicU32,
    /// Slots patched.
    pub n_patched: AtomicU32,
    /// Nodes of the stack tree.
    pub n_nodes: AtomicU32,
    /// How objects are seen: `OBJECTS_…`.
    pub objects: AtomicU32,
    /// 1 where there is a Python that cannot be read: another version, or free-threaded.
    pub has_other_python: AtomicU32,
    /// Allocations and frees that were lost because the ring was full.
    pub lost_events: AtomicU64,
    /// Of these, frees: each is a false leak, so they are counted apart.
    pub lost_frees: AtomicU64,
    /// Events that came while the same thread was inside the agent and passed unrecorded.
    pub reentered: AtomicU64,
    /// Events that passed unrecorded because the agent's lock could not be had in time.
    pub contended: AtomicU64,
    /// Events seen: allocations and frees recorded or cancelled.
    pub n_events: AtomicU64,
    /// Pairs that were cancelled inside the window.
    pub n_cancelled: AtomicU64,
    /// Events whose time in the agent was measured.
    pub n_timed: AtomicU64,
    /// Their time in nanoseconds.
    pub timed_ns: AtomicU64,
    /// Events that went through the agent's slow path, of which every so-many-th was measured.
    pub n_slow: AtomicU64,
    /// Time that exact mode waited for room in the ring, in nanoseconds.
    pub waited_ns: AtomicU64,
    /// Memory that the agent holds in the process, in bytes.
    pub agent_bytes: AtomicU64,
    /// 0, or: window or temporaries ([`EMPTYING_TEMPORARIES`] is set) are being moved into the ring, and all of them are in it once
    /// `head` has come to this count. Who reads them after the process's death then takes them once, from either place.
    pub emptying: AtomicU64,
    /// When the slot was taken, by the monotonic clock, in nanoseconds.
    pub started_ns: AtomicU64,
    /// Bytes in the window that would make a new high-water mark; stored by the collector, which knows what else is alive.
    pub crest: AtomicU64,
    /// Bytes by which a high-water mark may be told too low; stored by the collector too.
    pub crest_step: AtomicU64,
    /// Keeps the counters apart from `head`.
    pub pad: [AtomicU64; 1],
    /// Cells written; stored by the process after whole records.
    pub head: AtomicU64,
    /// Keeps `head` and `tail` on lines of their own.
    pub pad_head: [AtomicU64; 15],
    /// Cells read; stored by the collector.
    pub tail: AtomicU64,
}

/// `SlotHeader::emptying`: the temporaries, not the window.
pub const EMPTYING_TEMPORARIES: u64 = 1 << 63;

/// `SlotHeader::fault`: the collector has not moved for a second.
pub const FAULT_NO_HEARTBEAT: u32 = 1;
/// `SlotHeader::fault`: no memory could be mapped.
pub const FAULT_NO_MEMORY: u32 = 2;
/// `SlotHeader::fault`: a state that cannot be; the agent disarmed itself.
pub const FAULT_IMPOSSIBLE: u32 = 3;
/// `SlotHeader::fault`: no allocator to hook was found.
pub const FAULT_NO_ALLOCATOR: u32 = 4;

/// `SlotHeader::objects`: no Python, or its allocators were not found.
pub const OBJECTS_NONE: u32 = 0;
/// `SlotHeader::objects`: CPython's own small-object allocator, sampled by pages without a hook in `free`.
pub const OBJECTS_PYMALLOC: u32 = 1;
/// `SlotHeader::objects`: another allocator in the object domain; every function of it is hooked.
pub const OBJECTS_OTHER: u32 = 2;

/// What `heapray_start` is given when it is called from outside; addresses are the target's, 0 is "find it".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Start {
    /// [`RING_MAGIC`].
    pub magic: u64,
    /// [`RING_VERSION`].
    pub version: u32,
    /// Index of the claimed slot.
    pub slot_idx: u32,
    /// The mapped control area.
    pub control: u64,
    /// The mapped slot.
    pub slot: u64,
    /// The loader's `r_debug`; 0: found through the program's headers.
    pub r_debug: u64,
    /// `AT_PHDR`, `AT_PHNUM` and `AT_BASE` of the target's auxiliary vector; 0: the agent reads them from its own `/proc`, which
    /// a target in another root need not have.
    pub program_headers: u64,
    /// See `program_headers`.
    pub n_program_headers: u64,
    /// See `program_headers`.
    pub loader_base: u64,
    /// What was found of Python.
    pub python: PythonSymbols,
}

/// Addresses of CPython's functions and data in the target, 0 where unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PythonSymbols {
    /// `PyMem_GetAllocator`.
    pub get_allocator: u64,
    /// `PyMem_SetAllocator`.
    pub set_allocator: u64,
    /// `PyObject_GetArenaAllocator`.
    pub get_arena_allocator: u64,
    /// `PyObject_SetArenaAllocator`.
    pub set_arena_allocator: u64,
    /// `PyThreadState_GetUnchecked` (3.13+) or `_PyThreadState_UncheckedGet`: the current thread's state.
    pub current_tstate: u64,
    /// `PyGILState_GetThisThreadState`: this thread's state, whoever holds the interpreter.
    pub own_tstate: u64,
    /// `Py_Version`, a word (3.11+).
    pub version: u64,
    /// `Py_GetVersion`, which answers a text.
    pub get_version: u64,
    /// `_PyRuntime`.
    pub runtime: u64,
    /// `PyThreadState_Get`'s end of life: `Py_IsInitialized`.
    pub is_initialized: u64,
    /// `PyCode_Type`, the type of code objects.
    pub code_type: u64,
}

/// `heapray_start` answers this where [`Start`] has another magic or version.
pub const START_BAD_VERSION: i64 = -1001;
/// `heapray_start` answers this where the agent records already.
pub const START_TWICE: i64 = -1002;
/// `heapray_start` answers this where the loader's list of objects cannot be found.
pub const START_NO_OBJECTS: i64 = -1003;
/// `heapray_start` answers this where no allocator was found in the loaded objects.
pub const START_NO_ALLOCATOR: i64 = -1004;
/// `heapray_start` answers this where memory cannot be mapped.
pub const START_NO_MEMORY: i64 = -1005;
/// `heapray_start` answers this where no slot is free.
pub const START_NO_SLOT: i64 = -1006;
/// `heapray_start` answers this where the control area is not one.
pub const START_BAD_CONTROL: i64 = -1007;

/// Bytes of a slot whose ring has `ring_bytes` (a power of two of cells).
pub const fn slot_bytes(ring_bytes: usize) -> usize {
    RING_OFFSET + ring_bytes
}

/// Offset of slot `idx` in the file.
pub const fn slot_offset(idx: usize, slot_bytes: usize) -> usize {
    CONTROL_BYTES + idx * slot_bytes
}

/// Bytes of a file of `n_slots`.
pub const fn file_bytes(n_slots: usize, slot_bytes: usize) -> usize {
    slot_offset(n_slots, slot_bytes)
}

/// Cells in the ring of a slot of `slot_bytes`.
pub const fn ring_cells(slot_bytes: usize) -> u64 {
    ((slot_bytes - RING_OFFSET) / CELL_BYTES) as u64
}

/// Offset of claim `idx` in the control area.
pub const fn claim_offset(idx: usize) -> usize {
    CLAIMS_OFFSET + idx * size_of::<Claim>()
}

const _: () = {
    assert!(size_of::<Control>() <= CLAIMS_OFFSET);
    assert!(claim_offset(MAX_SLOTS) <= CONTROL_BYTES);
    assert!(size_of::<SlotHeader>() <= WINDOW_OFFSET);
    assert!(offset_of!(SlotHeader, head).is_multiple_of(64));
    assert!(offset_of!(SlotHeader, tail) - offset_of!(SlotHeader, head) >= 64);
    assert!((EXACT_RING_BYTES / CELL_BYTES).is_power_of_two());
    assert!((SAMPLED_RING_BYTES / CELL_BYTES).is_power_of_two());
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_the_control_area_without_gaps() {
        let bytes = slot_bytes(EXACT_RING_BYTES);
        assert_eq!(slot_offset(0, bytes), CONTROL_BYTES);
        assert_eq!(slot_offset(1, bytes) - slot_offset(0, bytes), bytes);
        assert_eq!(file_bytes(2, bytes), CONTROL_BYTES + 2 * bytes);
        assert_eq!(ring_cells(bytes), 262_144);
        assert!(ring_cells(slot_bytes(SAMPLED_RING_BYTES)).is_power_of_two());
        assert_eq!(bytes % 4096, 0);
    }

    #[test]
    fn words_lie_where_the_first_version_put_them() {
        assert_eq!(offset_of!(Control, slot_bytes), 12);
        assert_eq!(offset_of!(Control, recording), 32);
        assert_eq!(offset_of!(Control, heartbeat), 56);
        assert_eq!(offset_of!(SlotHeader, start_id), 8);
        assert_eq!(offset_of!(SlotHeader, lost_events), 64);
        assert_eq!(offset_of!(Start, python), 64);
    }
}
