//! `cycles`: garbage that waits, garbage that cannot go, cycles that are held.

use crate::answer::{CycleRow, CyclesAnswer};
use crate::{Session, rows};
use heapray_heap::{CycleGroup, CycleOptions, Cycles, cycles};

impl Session {
    /// Cycles by the types in them.
    pub fn cycles(&self, limit: usize) -> CyclesAnswer {
        let found = cycles(&self.heap, &CycleOptions { limit, retained: true });
        let rows = |groups: &[CycleGroup]| groups.iter().map(|group| self.cycle(group)).collect();
        CyclesAnswer {
            process: self.process.clone(),
            n_garbage: found.garbage_objects,
            garbage_bytes: found.garbage_bytes,
            waits_because: self.waits_because(&found),
            garbage: rows(&found.garbage),
            uncollectable: rows(&found.uncollectable),
            retained: rows(&found.retained),
            coverage: self.coverage.clone(),
        }
    }

    fn cycle(&self, group: &CycleGroup) -> CycleRow {
        CycleRow {
            n_cycles: group.cycles,
            n_objects: group.objects,
            block_bytes: group.bytes,
            frees_bytes: group.frees_bytes,
            types: rows::types(&group.types),
            around: group.around.concat(),
            entry: group.entry.as_ref().map(|trail| trail.text.clone()),
            n_finalizers: group.finalizers,
            n_untraversed: group.untraversed,
            n_frozen: group.frozen,
            object: rows::object_name(&self.heap, group.example),
        }
    }

    /// What the collector's recorded state says about garbage that is still there.
    fn waits_because(&self, found: &Cycles) -> Option<String> {
        if found.garbage_objects == 0 {
            return None;
        }
        let int = |name: &str| self.heap.tables().int(name);
        if int("gc.enabled") == Some(0) {
            return Some("the collector is disabled (gc.disable)".to_owned());
        }
        if int("gc.threshold0") == Some(0) {
            return Some("the collector's first threshold is 0, so it never starts".to_owned());
        }
        if int("gc.collecting") == Some(1) {
            return Some("a collection was just running".to_owned());
        }
        if !found.garbage.is_empty() && found.garbage.iter().all(|group| group.frozen == group.objects) {
            return Some("it is frozen (gc.freeze)".to_owned());
        }
        let due =
            |i: u8| Some(format!("{}/{}", int(&format!("gc.count{i}"))?, int(&format!("gc.threshold{i}"))?));
        let counts: Option<Vec<String>> = (0..3).map(due).collect();
        let counts = counts.map(|counts| format!(" (counts/thresholds {})", counts.join(" ")));
        Some(format!("the next full collection is not due yet{}", counts.unwrap_or_default()))
    }
}
