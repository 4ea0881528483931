//! The records of a recording of allocations as plain values: texts, frames, stacks, slices of time, live sets.
//!
//! Ids of texts, frames and stack nodes are of the whole file; everything else belongs to one process. Weights are
//! `f64` because a sample stands for a fraction of blocks; an exact recording holds whole numbers and variances of 0.

use alloc::string::String;
use alloc::vec::Vec;

use crate::model::Fact;

/// What a frame of a stack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum FrameKind {
    /// A function of Python.
    Python = 1,
    /// A function of native code; `file` is its source, or its library where no line is known.
    Native = 2,
    /// A thread, the outermost frame: `function` is its name or none, `line` its thread id.
    Thread = 3,
    /// A tag set by the program, next to the thread: `function` is its text.
    Tag = 4,
    /// Frames are missing here: `function` says why.
    Cut = 5,
    /// What runs further in is a native thread, which was started where the frames further out are: `function` says so.
    Start = 6,
}

/// One place in a program, the same for all processes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameRow {
    /// What it is.
    pub kind: FrameKind,
    /// Text id of the qualified name, or `NO_STRING`.
    pub function: u32,
    /// Text id of the file, or `NO_STRING`.
    pub file: u32,
    /// Line from 1, 0 unknown; of a thread its id.
    pub line: u32,
    /// Column from 1, 0 unknown.
    pub column: u32,
    /// Last line of the expression, 0 unknown.
    pub end_line: u32,
    /// Column behind the expression from 1, 0 unknown.
    pub end_column: u32,
    /// Line where the function begins, 0 unknown.
    pub first_line: u32,
}

/// A node of the tree of stacks: a frame, called from its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StackRow {
    /// Node id of the caller, smaller than the node's own; `NO_NODE` for the outermost.
    pub parent: u32,
    /// Frame id.
    pub frame: u32,
}

/// What one site (stack and allocator) allocated within a slice, temporaries included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AllocRow {
    /// Stack node; `NO_NODE` where no stack is known.
    pub node: u32,
    /// Allocator, see [`allocator`].
    pub allocator: u8,
    /// Records that the estimates stand on: samples, or all allocations of an exact recording.
    pub n_records: u64,
    /// Blocks.
    pub count: f64,
    /// Bytes as requested.
    pub bytes: f64,
    /// Variance of `count`.
    pub count_variance: f64,
    /// Variance of `bytes`.
    pub bytes_variance: f64,
    /// Blocks among `count` that were freed before the recorder had to note them one by one.
    pub temporary_count: f64,
    /// Bytes among `bytes` of these.
    pub temporary_bytes: f64,
}

/// Blocks of one site that were born in one slice: freed within another ([`FreeRow`]), or alive ([`LiveRow`]).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LiveRow {
    /// Stack node; `NO_NODE` where no stack is known.
    pub node: u32,
    /// Allocator, see [`allocator`].
    pub allocator: u8,
    /// Number of the slice that they were allocated in.
    pub birth: u32,
    /// Records that the estimates stand on.
    pub n_records: u64,
    /// Blocks.
    pub count: f64,
    /// Bytes as requested.
    pub bytes: f64,
    /// Variance of `count`.
    pub count_variance: f64,
    /// Variance of `bytes`.
    pub bytes_variance: f64,
}

/// Blocks of one site, born in slice `birth`, that were freed within a slice; temporaries have `birth` = that slice.
pub type FreeRow = LiveRow;

/// What one process allocated and freed in one span of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slice {
    /// Number of the slice, the same for all processes of a file, from 0, below [`Slice::MAX`].
    pub index: u32,
    /// Begin, ns since the recording's start.
    pub start_ns: u64,
    /// End, ns since the recording's start.
    pub end_ns: u64,
    /// Allocated, at most one row a site.
    pub allocs: Vec<AllocRow>,
    /// Freed, at most one row a site and birth.
    pub frees: Vec<FreeRow>,
}

impl Slice {
    /// Numbers of slices end here: two years of minutes.
    pub const MAX: u32 = 1 << 20;
}

/// What was measured of a process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// When, ns since the recording's start.
    pub t_ns: u64,
    /// Resident bytes.
    pub rss_bytes: u64,
    /// Bytes of live blocks that the recording knows of.
    pub live_bytes: f64,
    /// Bytes charged to its control group, 0 unknown.
    pub cgroup_bytes: u64,
    /// Limit of the control group, 0 none or unknown.
    pub cgroup_limit_bytes: u64,
}

/// What was alive when a process's live bytes were highest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peak {
    /// When, ns since the recording's start.
    pub t_ns: u64,
    /// Live bytes then.
    pub bytes: f64,
    /// What they were.
    pub rows: Vec<LiveRow>,
}

/// How large the allocations of one allocator were, since the process's recording began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SizesRow {
    /// Allocator, see [`allocator`].
    pub allocator: u8,
    /// Blocks by `floor(log2(bytes))`, 0 for empty ones; [`SizesRow::N_BUCKETS`] of them.
    pub buckets: Vec<f64>,
    /// Blocks in all.
    pub count: f64,
    /// Bytes in all.
    pub bytes: f64,
}

impl SizesRow {
    /// Number of buckets.
    pub const N_BUCKETS: usize = 64;
}

/// What a forked process found alive: blocks of its parent that it holds a copy of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inherited {
    /// Process number of the parent.
    pub parent: u32,
    /// The blocks, under the parent's stacks and births.
    pub rows: Vec<LiveRow>,
}

/// How the recording of one process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskEnd {
    /// When, ns since the recording's start.
    pub t_ns: u64,
    /// `exited`, `killed`, `exec`, `detached`, `stopped` or a sentence.
    pub reason: String,
    /// Exit status or signal number; 0 where there is none.
    pub code: i32,
}

impl TaskEnd {
    /// The reason where the process executed another program.
    pub const EXEC: &str = "exec";
    /// The reason where its parent took its exit status before anybody else could look.
    pub const UNSEEN: &str = "ended, nobody saw how";
}

/// One allocation or free, where every event was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventRow {
    /// When it was drained, ns since the recording's start; never falls.
    pub t_ns: u64,
    /// [`EventRow::ALLOC`] or [`EventRow::FREE`].
    pub kind: u8,
    /// Allocator, see [`allocator`]; of a free that of the block.
    pub allocator: u8,
    /// Stack node of the allocation (of a free too); `NO_NODE` where it is not known.
    pub node: u32,
    /// Address of the block.
    pub address: u64,
    /// Bytes as requested (of a free too); 0 where it is not known.
    pub size: u64,
}

impl EventRow {
    /// `kind` of an allocation.
    pub const ALLOC: u8 = 0;
    /// `kind` of a free.
    pub const FREE: u8 = 1;
}

/// Numbers of allocators. A reader shows one that it does not know by its number.
pub mod allocator {
    /// `malloc`.
    pub const MALLOC: u8 = 1;
    /// `calloc`.
    pub const CALLOC: u8 = 2;
    /// `realloc`, `reallocarray`.
    pub const REALLOC: u8 = 3;
    /// `posix_memalign`, `aligned_alloc`, `memalign`, `valloc`, `pvalloc`.
    pub const MEMALIGN: u8 = 4;
    /// `mmap`, `mremap`.
    pub const MMAP: u8 = 5;
    /// `PyMem_RawMalloc` and its like.
    pub const PYTHON_RAW: u8 = 6;
    /// `PyMem_Malloc` and its like.
    pub const PYTHON_MEM: u8 = 7;
    /// `PyObject_Malloc` and its like.
    pub const PYTHON_OBJECT: u8 = 8;
    /// An arena of pymalloc: holds objects, so it is not counted beside them.
    pub const ARENA: u8 = 9;
    /// Reserved address space, as far as it was seen in use: a block is what came into use in a slice.
    pub const RESERVED: u8 = 10;

    /// Its name in reports, `None` for a number that this version does not know.
    pub fn name(number: u8) -> Option<&'static str> {
        const NAMES: [&str; 10] = [
            "malloc",
            "calloc",
            "realloc",
            "memalign",
            "mmap",
            "python raw",
            "python mem",
            "python object",
            "arena",
            "reserved",
        ];
        NAMES.get(usize::from(number).wrapping_sub(1)).copied()
    }
}

/// One chunk of a recording. [`RecordingChunk::Recording`] comes first; texts, frames and stacks before the first
/// chunk that uses their ids, and they number on from chunk to chunk through the whole file; of each process its
/// task first. Chunks of processes may be mixed.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordingChunk {
    /// Begins the file: mode, level, interval, command. Of the file.
    Recording(Vec<Fact>),
    /// Begins a process: pid, parent, how it came to be recorded.
    Task(Vec<Fact>),
    /// More texts. Of the file.
    Texts(Vec<String>),
    /// More frames. Of the file.
    Frames(Vec<FrameRow>),
    /// More nodes of the tree of stacks. Of the file.
    Nodes(Vec<StackRow>),
    /// One span of time of a process; several of the same index add up.
    Slice(Slice),
    /// More readings of a process.
    Readings(Vec<Reading>),
    /// The process's high-water mark so far; replaces the one before.
    Peak(Peak),
    /// Sizes so far; replaces those before.
    Sizes(Vec<SizesRow>),
    /// Facts about the recording of the process so far; of each name the last holds.
    Status(Vec<Fact>),
    /// The recording of the process is over.
    End(TaskEnd),
    /// More events of a process.
    Events(Vec<EventRow>),
    /// What the process inherited at its fork.
    Inherited(Inherited),
}
