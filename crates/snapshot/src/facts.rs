//! Facts that a snapshot states about the interpreter and about itself; names are listed in
//! `docs/capture-format.md`.

use crate::Summary;
use crate::census::{Census, Tally};
use heapray_cpython::{Memory, Runtime, gc};
use heapray_wire::{Fact, FactValue};

fn int(facts: &mut Vec<Fact>, name: impl Into<String>, value: u64) {
    facts.push(Fact { name: name.into(), value: FactValue::Int(value.min(i64::MAX as u64) as i64) });
}

/// The version, and the collector's state (of the main interpreter).
pub(crate) fn runtime<M: Memory>(memory: &M, rt: &Runtime, facts: &mut Vec<Fact>) {
    int(facts, "version_hex", u64::from(rt.version_hex));
    let version =
        format!("{}.{}.{}", rt.version_hex >> 24, rt.version_hex >> 16 & 255, rt.version_hex >> 8 & 255);
    facts.push(Fact { name: "python_version".to_owned(), value: FactValue::Text(version) });
    int(facts, "interpreters", rt.interpreters.len() as u64);
    let Some(state) = rt.interpreters.last().and_then(|interp| gc::state(memory, rt, *interp)) else {
        return;
    };
    int(facts, "gc.enabled", u64::from(state.enabled));
    int(facts, "gc.collecting", u64::from(state.collecting));
    int(facts, "gc.debug", u64::from(state.debug));
    for (i, generation) in state.generations.iter().enumerate() {
        for (name, value) in [("threshold", generation.threshold), ("count", generation.count)] {
            facts.push(Fact { name: format!("gc.{name}{i}"), value: FactValue::Int(i64::from(value)) });
        }
    }
}

/// Counts, coverage and census.
pub(crate) fn results(summary: &Summary, census: &Census) -> Vec<Fact> {
    let mut facts = Vec::new();
    int(&mut facts, "objects", summary.objects);
    int(&mut facts, "objects.tracked", summary.tracked);
    int(&mut facts, "gc.frozen_objects", summary.frozen);
    int(&mut facts, "edges", summary.edges);
    int(&mut facts, "threads", summary.n_threads);
    int(&mut facts, "frames", summary.n_frames);
    int(&mut facts, "coverage.references", summary.references);
    int(&mut facts, "coverage.explained_references", summary.explained);
    int(&mut facts, "coverage.over_explained_references", summary.over_explained);
    int(&mut facts, "coverage.unexplained_objects", summary.unexplained_objects);
    int(&mut facts, "coverage.lost_objects", summary.lost_objects);
    tally(&mut facts, "pymalloc", &census.pymalloc);
    tally(&mut facts, "malloc", &census.malloc);
    int(&mut facts, "pymalloc.arenas", census.n_arenas);
    int(&mut facts, "pymalloc.arena_bytes", census.arena_bytes);
    int(&mut facts, "pymalloc.used_bytes", census.pymalloc.bytes);
    int(&mut facts, "malloc.heap_bytes", census.malloc_heap_bytes());
    int(&mut facts, "malloc.unwalked_bytes", census.unwalked_bytes());
    facts
}

fn tally(facts: &mut Vec<Fact>, domain: &str, tally: &Tally) {
    let rows = [
        ("blocks", tally.blocks),
        ("bytes", tally.bytes),
        ("free_bytes", tally.free_bytes),
        ("owned_blocks", tally.owned_blocks),
        ("owned_bytes", tally.owned_bytes),
        ("orphan_blocks", tally.blocks.saturating_sub(tally.owned_blocks)),
        ("orphan_bytes", tally.bytes.saturating_sub(tally.owned_bytes)),
    ];
    for (name, value) in rows {
        int(facts, format!("census.{domain}.{name}"), value);
    }
}
