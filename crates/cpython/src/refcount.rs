//! Reference counts, by each version's rules.

use crate::{Memory, Runtime};

/// An object's reference count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refcount {
    /// The count; means nothing where immortal.
    pub count: u64,
    /// Never freed, and not counted.
    pub immortal: bool,
}

/// Reads the reference count of the object at `obj`.
#[inline]
pub fn refcount<M: Memory>(_mem: &M, _rt: &Runtime, _obj: u64) -> Option<Refcount> {
    None
}
