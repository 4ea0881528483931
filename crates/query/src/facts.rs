//! What the recorded facts and skips of a snapshot say, as the parts that every answer carries.

use crate::answer::{Coverage, Process, Skipped};
use heapray_capture::{HeapTables, Loss};
use heapray_wire::{FactValue, NodeFlags};

/// The process of a snapshot.
pub(crate) fn process(tables: &HeapTables) -> Process {
    Process {
        pid: tables.int("pid"),
        python: tables.text("python_version").map(str::to_owned),
        command: tables.text("command").or_else(|| tables.text("executable")).map(str::to_owned),
        rss_bytes: tables.int("rss_bytes"),
        pause_ms: number(tables, "pause_us").map(|us| us / 1_000.0),
        taken_at: number(tables, "taken_unix_ns").map(|ns| ns / 1e9),
    }
}

/// What a snapshot saw and what it did not.
pub(crate) fn coverage(tables: &HeapTables, losses: &[Loss]) -> Coverage {
    let explained = number(tables, "coverage.explained_references")
        .zip(number(tables, "coverage.references"))
        .filter(|(_, all)| *all > 0.0);
    Coverage {
        n_objects: tables.flags.iter().filter(|flags| !flags.has(NodeFlags::SYNTHETIC)).count() as u64,
        n_references: tables.edges.len() as u64,
        references_explained: explained.map(|(explained, all)| (explained / all).clamp(0.0, 1.0)),
        skipped: tables
            .skipped
            .iter()
            .map(|(what, count)| Skipped { what: what.clone(), count: *count })
            .collect(),
        lost: losses.iter().map(|loss| format!("at byte {}: {}", loss.offset, loss.what)).collect(),
    }
}

/// A numeric fact, whole or not.
pub(crate) fn number(tables: &HeapTables, name: &str) -> Option<f64> {
    let fact = tables.facts.iter().rev().find(|fact| fact.name == name)?;
    match fact.value {
        FactValue::Int(value) => Some(value as f64),
        FactValue::Float(value) if value.is_finite() => Some(value),
        _ => None,
    }
}
