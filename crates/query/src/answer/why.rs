//! `why`: what keeps an object, or all objects of a kind, alive.

use super::{Coverage, ObjectRow, Picture, Process, Trail, TypeShare};
use serde::Serialize;

/// The answer to "why is it alive?".
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WhyAnswer {
    /// The process.
    pub process: Process,
    /// What was asked for.
    pub subject: String,
    /// How many objects it means.
    pub n_objects: u64,
    /// Their blocks, bytes.
    pub block_bytes: u64,
    /// What they retain together, bytes.
    pub retained_bytes: u64,
    /// Their types, most bytes first.
    pub types: Vec<TypeShare>,
    /// The object, or the first of them.
    pub object: ObjectRow,
    /// The nearest reference whose removal frees them all; `None` where several roots hold them.
    pub nearest_cut: Option<Cut>,
    /// The outermost such reference below modules, types and frames.
    pub outermost_cut: Option<Cut>,
    /// Trails of the object that share no holder, the best first: cutting one leaves the next.
    pub trails: Vec<Trail>,
    /// More independent trails exist than are listed.
    pub more_trails: bool,
    /// All objects by the form of their trails, commonest first.
    pub groups: Vec<TrailGroup>,
    /// One object: its referrers by the form of their trails.
    pub referrers: Vec<TrailGroup>,
    /// What the snapshot saw.
    pub coverage: Coverage,
    /// The neighbourhood to draw; not part of the JSON.
    #[serde(skip)]
    pub picture: Picture,
}

/// A place where removing one reference frees what was asked about.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cut {
    /// The reference, as a Python expression: `data_pipeline.buffer`.
    pub reference: String,
    /// What kind of place it is: `module global`, …
    pub holder: String,
    /// Type of the object that goes.
    pub type_name: String,
    /// Its length, for containers.
    pub length: Option<u64>,
    /// Bytes that go.
    pub frees_bytes: u64,
    /// Part of all block bytes, 0 to 1.
    pub share: f64,
}

/// Objects whose trails have the same form: equal names, any index and key.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TrailGroup {
    /// The form: `data_pipeline.buffer[*]`.
    pub shape: String,
    /// Objects in it.
    pub count: u64,
    /// Part of all objects asked about, 0 to 1.
    pub share: f64,
    /// Their blocks, bytes.
    pub block_bytes: u64,
    /// What they retain together, bytes.
    pub retained_bytes: u64,
    /// What to cut so that its example goes, and what goes with it.
    pub cut: Option<Cut>,
    /// One of its trails.
    pub example: Trail,
}
