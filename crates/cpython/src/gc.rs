//! The collector: its settings, and the lists of objects that it tracks.

use alloc::vec::Vec;

use crate::{Memory, Runtime};

/// What the collector is doing and set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcState {
    /// `gc.isenabled()`.
    pub enabled: bool,
    /// A collection is in progress: objects sit on private lists, [`tracked`] will answer [`Torn`].
    pub collecting: bool,
    /// `gc.get_debug()`.
    pub debug: u32,
    /// The three generations, youngest first, as `gc.get_threshold()` and `gc.get_count()` show them.
    pub generations: Vec<GenerationState>,
}

/// Threshold and counter of one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationState {
    /// `gc.get_threshold()[i]`.
    pub threshold: i32,
    /// `gc.get_count()[i]`.
    pub count: i32,
}

/// The collector's generation of an object, as `gc.get_objects(generation=…)` counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// 0.
    Young,
    /// 1.
    Middle,
    /// 2.
    Old,
    /// Frozen by `gc.freeze()`.
    Permanent,
}

/// The collector's lists are being changed, or are no lists: take the copy again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the collector's lists are torn: {reason} after {objects} objects")]
pub struct Torn {
    /// Objects reported before the tear.
    pub objects: u64,
    /// What was seen.
    pub reason: &'static str,
}

/// The collector's settings in interpreter `interp`; `None` where unreadable.
pub fn state<M: Memory>(_mem: &M, _rt: &Runtime, _interp: u64) -> Option<GcState> {
    None
}

/// Calls `f` with each tracked object of `interp` and its generation; answers how many.
///
/// Errors: [`Torn`] where links are broken or cyclic, or while a collection is in progress; `f` may then have
/// been called for some objects. Cost: two words read an object.
pub fn tracked<M: Memory>(
    _mem: &M,
    _rt: &Runtime,
    _interp: u64,
    _f: impl FnMut(u64, Generation),
) -> Result<u64, Torn> {
    Err(Torn { objects: 0, reason: "not built yet" })
}
