//! `leaks`: the verdict. Its JSON is a contract from its first day; what text shows besides is not serialised.

use super::{Coverage, Process};
use serde::Serialize;

/// The verdict over several snapshots of one process.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LeaksAnswer {
    /// What leaks, the largest growth first; empty for a healthy process.
    pub findings: Vec<Finding>,
    /// Growth that no finding explains, bytes per hour.
    pub unexplained_bytes_per_hour: f64,
    /// The process at its last snapshot, with what was measured.
    pub process: Measured,
    /// What the last snapshot saw.
    pub coverage: Coverage,
}

/// The process and the measurement that the verdict rests on. What could not be measured is `None`, never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Measured {
    /// The process at its last snapshot.
    #[serde(flatten)]
    pub process: Process,
    /// Snapshots compared.
    pub n_snapshots: u64,
    /// From the first to the last, seconds.
    pub seconds: f64,
    /// Growth of the process, bytes per hour: resident, or live memory where that is unknown or flat.
    pub bytes_per_hour: f64,
    /// Growth of the resident set, bytes per hour.
    pub rss_bytes_per_hour: Option<f64>,
    /// Growth of the blocks of Python objects, bytes per hour.
    pub python_bytes_per_hour: Option<f64>,
    /// Figures at each snapshot.
    pub figures: Vec<Figures>,
    /// Growth that was looked at and is no leak, one sentence each: what levels off, settles or is noise.
    pub dismissed: Vec<String>,
    /// Something grows, but slower towards the end or maybe by chance: another snapshot would tell.
    pub undecided: bool,
}

/// Figures of the process at one snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Seconds since the first snapshot.
    pub seconds: f64,
    /// Resident set, bytes.
    pub rss_bytes: Option<i64>,
    /// Blocks of objects that roots reach, bytes.
    pub held_bytes: i64,
    /// Blocks of garbage in cycles, bytes.
    pub garbage_bytes: i64,
    /// Blocks of objects that nothing refers to, with what they hold, bytes.
    pub lost_bytes: i64,
    /// Allocated blocks that belong to no object, bytes.
    pub native_bytes: Option<i64>,
    /// Free bytes inside arenas and heaps.
    pub free_bytes: Option<i64>,
    /// Objects.
    pub n_objects: i64,
}

/// One leak.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Finding {
    /// `reference`, `cycle`, `lost-reference`, `native`, `fragmentation`.
    pub kind: String,
    /// The holder as one writes it in Python: `data_pipeline.buffer`; for other kinds what plays its part.
    pub holder: String,
    /// Where the trail begins: `module data_pipeline`, `thread 1 in worker (app.py:12)`.
    pub root: String,
    /// From the root to one of the objects that pile up, each step an expression with its type.
    pub trail: Vec<String>,
    /// What piled up between the first and the last snapshot, most bytes first.
    pub types: Vec<TypeShare>,
    /// Growth, bytes per hour.
    pub bytes_per_hour: f64,
    /// 90 % interval of `bytes_per_hour`, from the spread between the windows.
    pub interval: [f64; 2],
    /// Part of the process's growth that this is, 0 to 1.
    pub share: f64,
    /// How sure the rule is, 0 to 1.
    pub confidence: f64,
    /// Where the objects were allocated; empty without recorded allocations.
    pub allocated_at: Vec<String>,
    /// One sentence: what to check.
    pub advice: String,
    /// Source file and line that belong to the holder, where known. Text only.
    #[serde(skip)]
    pub source: Option<String>,
    /// Elements of the holder in the first and the last snapshot, where it is a container. Text only.
    #[serde(skip)]
    pub length: Option<(u64, u64)>,
    /// Objects gained per hour. Text only.
    #[serde(skip)]
    pub objects_per_hour: f64,
}

/// Objects of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TypeShare {
    /// Module-qualified name.
    pub name: String,
    /// How many.
    pub count: u64,
    /// Their blocks, bytes.
    pub bytes: u64,
}
