//! Reference cycles: garbage that waits for the collector, garbage that it can never free, and live cycles.

use crate::{Heap, Trail, TypeCount};

/// Which cycles to list.
#[derive(Clone, Copy, Debug)]
pub struct CycleOptions {
    /// Groups listed of each sort.
    pub limit: usize,
    /// Also search the live heap (about 0.1 µs a node).
    pub retained: bool,
}

impl Default for CycleOptions {
    fn default() -> Self {
        CycleOptions { limit: 20, retained: true }
    }
}

/// Cycles with the same types.
#[derive(Clone, Debug, PartialEq)]
pub struct CycleGroup {
    /// Number of such cycles (strongly connected components).
    pub cycles: u64,
    /// Objects in them.
    pub objects: u64,
    /// Bytes of the blocks of the objects in them.
    pub bytes: u64,
    /// Bytes that go when they go: with everything that only they hold.
    pub frees_bytes: u64,
    /// Types of the objects of one cycle, most frequent first.
    pub types: Vec<TypeCount>,
    /// Objects in them with a finalizer.
    pub finalizers: u64,
    /// Objects in them that the collector cannot see through: such cycles are never collected.
    pub untraversed: u64,
    /// Objects in them in the permanent generation (`gc.freeze`): not collected while frozen.
    pub frozen: u64,
    /// An object of the largest of them.
    pub example: u32,
    /// One way round that cycle: `Node.parent`, `.children`, `[0]`.
    pub around: Vec<String>,
    /// Retained cycles: the trail to the object at which the largest is entered.
    pub entry: Option<Trail>,
}

/// The answer of [`cycles`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cycles {
    /// Unreachable cycles that the collector will free, most bytes first.
    pub garbage: Vec<CycleGroup>,
    /// Unreachable cycles that it never frees, most bytes first.
    pub uncollectable: Vec<CycleGroup>,
    /// Live cycles, most bytes first.
    pub retained: Vec<CycleGroup>,
    /// All unreachable objects: those of cycles and what hangs off them.
    pub garbage_objects: u64,
    /// Bytes of their blocks.
    pub garbage_bytes: u64,
}

/// Groups of cycles by the types in them.
pub fn cycles(_heap: &Heap, _options: &CycleOptions) -> Cycles {
    Cycles::default()
}
