//! `chain`: the shortest way from a module to an object.

use super::{Coverage, ObjectRow, Picture, Process, Trail};
use serde::Serialize;

/// The chain, or an explicit statement that there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChainAnswer {
    /// The process.
    pub process: Process,
    /// What was asked for.
    pub subject: String,
    /// The object.
    pub object: ObjectRow,
    /// Whether a module leads to it.
    pub from_module: bool,
    /// From a module to the object; where no module does, from what holds it instead.
    pub trail: Trail,
    /// What the snapshot saw.
    pub coverage: Coverage,
    /// The chain to draw; not part of the JSON.
    #[serde(skip)]
    pub picture: Picture,
}
