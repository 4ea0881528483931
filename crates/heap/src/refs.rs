//! The neighbours of one node, both ways, with the names of the references.

use heapray_wire::Label;

use crate::Heap;

/// One reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The node at the other end.
    pub node: u32,
    /// Its label; strength tells weak and borrowed ones.
    pub label: Label,
    /// The label as text: `.payload`, `[17]`, `['name']`.
    pub text: String,
}

/// What a node refers to, in the order of its edges, weak ones and the one to its type included; at most `limit`.
pub fn referents(_heap: &Heap, _node: u32, _limit: usize) -> Vec<Reference> {
    Vec::new()
}

/// What refers to a node, by rising node id, weak ones last; at most `limit`.
///
/// # Cost
/// The out-degrees of the referrers, and one look at each shape with weak references.
pub fn referrers(_heap: &Heap, _node: u32, _limit: usize) -> Vec<Reference> {
    Vec::new()
}
