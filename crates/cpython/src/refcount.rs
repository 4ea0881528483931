//! Reference counts, by each version's rules.

use crate::layouts::Refcounts;
use crate::{Memory, Runtime};

/// An object's reference count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refcount {
    /// The count; means nothing where immortal.
    pub count: u64,
    /// Never freed, and not counted.
    pub immortal: bool,
}

/// 3.11 gives static objects 999 999 999 references (`_PyObject_IMMORTAL_REFCNT`); a real count does not get near.
const HIGH: i64 = 500_000_000;

/// Reads the reference count of the object at `obj`; `None` where unreadable.
#[inline]
pub fn refcount<M: Memory>(mem: &M, rt: &Runtime, obj: u64) -> Option<Refcount> {
    let word = mem.u64(obj)?;
    let (count, immortal) = match rt.layout.runtime.refcounts {
        Refcounts::Plain => (word, false),
        Refcounts::HighStatics => (word, word.cast_signed() >= HIGH),
        Refcounts::Low32 => (word & 0xffff_ffff, word & 0x8000_0000 != 0),
    };
    Some(Refcount { count, immortal })
}
