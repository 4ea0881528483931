//! What is large though nothing leaks: the named places of a program by retained size.

use crate::{Heap, HolderKind, Trail, TypeCount};

/// What to list.
#[derive(Clone, Copy, Debug)]
pub struct HolderOptions {
    /// Rows.
    pub limit: usize,
    /// Holders below this retained size are left out.
    pub min_bytes: u64,
}

impl Default for HolderOptions {
    fn default() -> Self {
        HolderOptions { limit: 20, min_bytes: 1024 }
    }
}

/// A named place that holds much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The object it holds: a list, dict, instance.
    pub node: u32,
    /// What kind of place.
    pub kind: HolderKind,
    /// Its best trail; the text is its name.
    pub trail: Trail,
    /// Type of the object.
    pub type_name: String,
    /// Elements, where it is a container.
    pub length: Option<u64>,
    /// Types of its elements, most frequent first, at most 3.
    pub elements: Vec<TypeCount>,
    /// Retained bytes.
    pub retained: u64,
    /// Where most of it lies further down (each step at least 70 % of the one above): that object's trail and retained bytes.
    pub accumulates: Option<(Trail, u64)>,
}

/// Named places by retained size, largest first, each object once.
pub fn holders(_heap: &Heap, _options: &HolderOptions) -> Vec<Holder> {
    Vec::new()
}
