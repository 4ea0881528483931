//! The verdict as plain structs: findings with their evidence, and the account of the process's growth.
//!
//! It does not format: units are bytes, counts and hours, and whoever shows them chooses the words around them.
//! Invariant: findings are in order of weight, the first is the answer.

use std::fmt;

/// What kind of growth a finding is, as `heapray leaks --json` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Python references hold what grows.
    Reference,
    /// Garbage in cycles grows, and is not or cannot be collected.
    Cycle,
    /// Python objects grow that nothing refers to: C code kept a reference count.
    LostReference,
    /// Memory grows that belongs to no Python object.
    Native,
    /// Live memory is flat and resident memory grows: free bytes between live blocks.
    Fragmentation,
}

impl Kind {
    /// The word of the JSON contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Reference => "reference",
            Kind::Cycle => "cycle",
            Kind::LostReference => "lost-reference",
            Kind::Native => "native",
            Kind::Fragmentation => "fragmentation",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// How much of one type a finding gained between the first and the last snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeGrowth {
    /// Module-qualified type name.
    pub name: String,
    /// Objects gained.
    pub count: u64,
    /// Bytes gained, of their blocks as the allocator rounds them.
    pub bytes: u64,
}

/// One thing that grows, with its evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What kind of growth.
    pub kind: Kind,
    /// The holder as one would write it in Python: `data_pipeline.buffer`; for other kinds what plays its part.
    pub holder: String,
    /// Where the trail begins: `module data_pipeline`, `thread 1 in worker (app.py:12)`.
    pub root: String,
    /// Steps from the root to one of the objects that pile up, each an expression with its type.
    pub trail: Vec<String>,
    /// What piled up, by bytes.
    pub types: Vec<TypeGrowth>,
    /// Growth in bytes per hour.
    pub bytes_per_hour: f64,
    /// 90 % interval of `bytes_per_hour`, from the spread between the windows.
    pub interval: [f64; 2],
    /// Part of the process's growth that this is, 0 to 1.
    pub share: f64,
    /// How sure the rule is, 0 to 1.
    pub confidence: f64,
    /// Recorded allocation sites; empty without recorded allocations.
    pub allocated_at: Vec<String>,
    /// What to check, in a sentence.
    pub advice: String,
    /// Source file and line that belong to the holder, where known.
    pub source: Option<String>,
    /// Objects gained per hour.
    pub objects_per_hour: f64,
}

/// Figures of the process at one snapshot, in bytes. Absent figures are `None`, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Seconds since the first snapshot.
    pub elapsed_seconds: f64,
    /// Resident set.
    pub rss_bytes: Option<i64>,
    /// Blocks of objects that roots reach.
    pub held_bytes: i64,
    /// Blocks of unreachable objects in cycles.
    pub garbage_bytes: i64,
    /// Blocks of objects that nothing refers to, with what they hold.
    pub lost_bytes: i64,
    /// Bytes of allocated blocks that belong to no object, as far as the census tells.
    pub native_bytes: Option<i64>,
    /// Free bytes inside arenas and heaps.
    pub free_bytes: Option<i64>,
    /// Objects.
    pub objects: i64,
}

/// The outcome of comparing snapshots.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Findings, the weightiest first; empty where nothing leaks.
    pub findings: Vec<Finding>,
    /// Steady growth of the process that no finding explains.
    pub unexplained_bytes_per_hour: f64,
    /// Growth of the process (resident, or live memory where that is unknown or flat).
    pub process_bytes_per_hour: f64,
    /// One per snapshot, in order.
    pub figures: Vec<Figures>,
    /// Growth that was looked at and is no leak, one sentence each: what levels off, churns or is noise.
    pub dismissed: Vec<String>,
    /// Something grows, but slower towards the end, or is emptied and filled again: another snapshot would tell a leak
    /// from a warm-up or from chance.
    pub undecided: bool,
}
