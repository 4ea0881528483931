//! What CPython looks like in memory: one layout table and pure readers over a [`Memory`].
//!
//! Nothing here does I/O, allocates per object on a hot path, or trusts what it reads: every pointer may be
//! torn, stale or hostile, and every reader answers `None`/skips rather than loop or panic.
#![no_std]

extern crate alloc;

mod edges;
mod memory;
mod types;

pub mod code;
pub mod frames;
pub mod gc;
pub mod greenlets;
pub mod interp;
pub mod layouts;
pub mod linetable;
pub mod object;
pub mod pymalloc;
mod refcount;
mod runtime;
pub mod strings;
pub mod threads;

pub use edges::{Label, Sink, Strength};
pub use layouts::{Layout, ObjectLayout, RuntimeLayout};
pub use memory::{Memory, Region};
pub use refcount::{Refcount, refcount};
pub use runtime::{Runtime, Unsupported};
pub use types::{AttributePlace, Member, ObjectKind, TypeInfo};
