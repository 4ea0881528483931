//! What an interpreter state holds: the references of `PyInterpreterState` and of the static runtime.

use crate::{Memory, Runtime, Sink};

/// Reports every reference that the interpreter state at `interp` holds.
pub fn roots<M: Memory>(_mem: &M, _rt: &Runtime, _interp: u64, _sink: &mut impl Sink) {}
