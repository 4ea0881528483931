//! The runtime of CPython 3.14.0 to 3.14.4: the incremental collector, which 3.14.5 took back.
//!
//! Derived from 3.14.5's row, as no such release was at hand: the collector's state ends earlier, and what follows it
//! in the interpreter state lies earlier with it; until 3.14.3, `qsbr` is a pointer smaller, too. By how much the
//! collector's state is shorter, `_Py_DebugOffsets` of the process decides: there is a row for each answer.

use super::v3_14_5::{INTERP_ROOTS, THREAD_ROOTS, V3_14_5};
use crate::layouts::runtime::{GcLists, Root, RuntimeLayout};

/// 3.14.0 to 3.14.3, without `long_lived_total`, `long_lived_pending` and `generation0` at the end of the collector's
/// state. Every number agrees with the headers of the main branch of 30 May 2025, three weeks after 3.14 left it.
pub(in crate::layouts) const V3_14_0: RuntimeLayout = row(SMALL_OLD, &roots(SMALL_OLD));

/// 3.14.0 to 3.14.3, without `generation0` only.
pub(in crate::layouts) const V3_14_0_LONG: RuntimeLayout = row(LARGE_OLD, &roots(LARGE_OLD));

/// 3.14.4, as [`V3_14_0`] but with the larger `qsbr`.
pub(in crate::layouts) const V3_14_4: RuntimeLayout = row(SMALL_NEW, &roots(SMALL_NEW));

/// 3.14.4, as [`V3_14_0_LONG`] but with the larger `qsbr`.
pub(in crate::layouts) const V3_14_4_LONG: RuntimeLayout = row(LARGE_NEW, &roots(LARGE_NEW));

const SMALL_OLD: Shift = Shift { gc: 24, qsbr: 8 };
const LARGE_OLD: Shift = Shift { gc: 8, qsbr: 8 };
const SMALL_NEW: Shift = Shift { gc: 24, qsbr: 0 };
const LARGE_NEW: Shift = Shift { gc: 8, qsbr: 0 };

/// By how many bytes two parts of the interpreter state are smaller than in 3.14.5.
#[derive(Clone, Copy)]
struct Shift {
    gc: u32,
    qsbr: u32,
}

impl Shift {
    /// Where 3.14.5's field of the interpreter state at `offset` lies here.
    const fn place(self, offset: u32) -> u32 {
        if offset < GC_END {
            offset
        } else if offset < QSBR {
            offset - self.gc
        } else {
            offset - self.gc - self.qsbr
        }
    }

    const fn place_of(self, offset: Option<u32>) -> Option<u32> {
        match offset {
            Some(offset) => Some(self.place(offset)),
            None => None,
        }
    }
}

/// End of the collector's state in 3.14.5.
const GC_END: u32 = V3_14_5.interp_gc + V3_14_5.gc_size;

/// Somewhere in 3.14.5's `qsbr`: it stands between `atexit.callbacks` (10792) and `asyncio_tasks_head`.
const QSBR: u32 = 10_800;

/// Thread roots without the last two, which follow `PyThreadState` and moved when that grew.
const STABLE_THREAD_ROOTS: &[Root] = THREAD_ROOTS.split_at(THREAD_ROOTS.len() - 2).0;

const fn row(shift: Shift, interp_roots: &'static [Root]) -> RuntimeLayout {
    RuntimeLayout {
        gc_lists: GcLists::Incremental,
        gc_size: V3_14_5.gc_size - shift.gc,
        // Here the collector reads it (`gc.c`, `mark_stacks`).
        frame_visited: None,
        interp_sysdict: shift.place(V3_14_5.interp_sysdict),
        interp_modules: shift.place(V3_14_5.interp_modules),
        interp_interned: shift.place_of(V3_14_5.interp_interned),
        interp_identifiers: shift.place(V3_14_5.interp_identifiers),
        interp_identifiers_count: shift.place(V3_14_5.interp_identifiers_count),
        interp_static_types: shift.place_of(V3_14_5.interp_static_types),
        interp_extension_types: shift.place_of(V3_14_5.interp_extension_types),
        interp_roots,
        thread_roots: STABLE_THREAD_ROOTS,
        ..V3_14_5
    }
}

const fn roots(shift: Shift) -> [Root; INTERP_ROOTS.len()] {
    let mut moved = [INTERP_ROOTS[0]; INTERP_ROOTS.len()];
    let mut idx = 0;
    while idx < moved.len() {
        moved[idx] = Root { first: shift.place(INTERP_ROOTS[idx].first), ..INTERP_ROOTS[idx] };
        idx += 1;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_follows_the_collector_moves() {
        let first = |row: &RuntimeLayout, label| {
            row.interp_roots.iter().find(|root| root.label == label).map(|root| root.first)
        };
        for label in ["gc.garbage", "gc.callbacks"] {
            assert_eq!(first(&V3_14_0, label), first(&V3_14_5, label));
        }
        let moved = |row, label| first(&V3_14_5, label).zip(first(row, label)).map(|(new, old)| new - old);
        assert_eq!(moved(&V3_14_0, "sys.modules"), Some(24));
        assert_eq!(moved(&V3_14_0, "audit hooks"), Some(32));
        assert_eq!(moved(&V3_14_4, "audit hooks"), Some(24));
        assert_eq!(moved(&V3_14_4_LONG, "atexit"), Some(8));
        assert_eq!(V3_14_5.interp_sysdict, GC_END, "sysdict follows the collector at once");
    }
}
