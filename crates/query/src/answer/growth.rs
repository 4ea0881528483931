//! `growth`: what became more between two snapshots, by type, by holder and by container length.

use super::{Coverage, Process, TypeShare};
use serde::Serialize;

/// Differences of two snapshots of one process, largest growth first in every list.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GrowthAnswer {
    /// The earlier snapshot.
    pub before: Process,
    /// The later one.
    pub after: Process,
    /// Time between them, seconds, where both know their time.
    pub seconds: Option<f64>,
    /// Change of the blocks of all objects, bytes.
    pub delta_bytes: i64,
    /// The same per hour, where the time is known.
    pub bytes_per_hour: Option<f64>,
    /// Objects that are new.
    pub n_born: u64,
    /// Objects that are gone.
    pub n_died: u64,
    /// By type.
    pub types: Vec<TypeGrowth>,
    /// By holder: who got what was born, the accumulation points of growth.
    pub holders: Vec<HolderGrowth>,
    /// By container, where its length grew.
    pub containers: Vec<ContainerGrowth>,
    /// Unreachable objects that wait for the collector.
    pub garbage: RegionGrowth,
    /// Objects that nothing refers to although they are counted.
    pub lost: RegionGrowth,
    /// What the later snapshot saw.
    pub coverage: Coverage,
}

/// One type that grew or shrank.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TypeGrowth {
    /// Module-qualified name.
    pub name: String,
    /// Instances before.
    pub n_before: u64,
    /// Instances after.
    pub n_after: u64,
    /// New instances.
    pub n_born: u64,
    /// Gone instances.
    pub n_died: u64,
    /// Blocks after minus before, bytes.
    pub delta_bytes: i64,
}

/// One holder under which there is more than before.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HolderGrowth {
    /// The holder as one writes it in Python, indices and keys as `[*]`: `data_pipeline.buffer`.
    pub holder: String,
    /// What it is: `module global`, `class attribute`, …
    pub kind: String,
    /// Its type.
    pub type_name: String,
    /// Born minus died under it, bytes.
    pub delta_bytes: i64,
    /// Born minus died under it, objects.
    pub n_delta: i64,
    /// Part of the growth of all objects, 0 to 1; 0 where they shrank.
    pub share: f64,
    /// Elements before, for containers in both.
    pub n_before: Option<u64>,
    /// Elements after, for containers.
    pub n_after: Option<u64>,
    /// What was born, most bytes first.
    pub types: Vec<TypeShare>,
    /// An object born under it, to ask `why` about.
    pub object: String,
}

/// One container whose length grew.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ContainerGrowth {
    /// Where it is, as a Python expression.
    pub container: String,
    /// Its type.
    pub type_name: String,
    /// Elements before.
    pub n_before: u64,
    /// Elements after.
    pub n_after: u64,
    /// Retained after minus before, bytes.
    pub delta_bytes: i64,
}

/// Objects of one sort that no root reaches.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RegionGrowth {
    /// Objects before.
    pub n_before: u64,
    /// Objects after.
    pub n_after: u64,
    /// Blocks after minus before, bytes.
    pub delta_bytes: i64,
    /// Types that grew, most bytes first.
    pub types: Vec<TypeShare>,
}
