//! The runtime of CPython 3.14.0 to 3.14.4: the incremental collector, which 3.14.5 took back.

use crate::layouts::runtime::{GcLists, RuntimeLayout};
use crate::layouts::rows::v3_14_5::V3_14_5;

/// The collector's state ends 8 bytes earlier than in 3.14.5, and all that follows it in the interpreter state too.
const SHIFT: u32 = 8;

/// See the module.
pub(in crate::layouts) const V3_14_0: RuntimeLayout = RuntimeLayout {
    gc_lists: GcLists::Incremental,
    gc_size: V3_14_5.gc_size - SHIFT,
    ..V3_14_5
};
