//! The chain from a module to an object, or the clear answer that no module holds it.

use crate::{Heap, Trail};

/// The answer of [`chain`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// The trail starts at a module.
    Module(Trail),
    /// No module holds it; this does.
    NoModule(Trail),
}

/// The best trail of a node, told apart by whether a module holds it.
///
/// # Cost
/// The length of the trail and the out-degrees of the few nodes whose names are shown.
pub fn chain(heap: &Heap, node: u32) -> Chain {
    let trail = heap.trail(node);
    match trail.root {
        crate::RootKind::Module => Chain::Module(trail),
        _ => Chain::NoModule(trail),
    }
}
