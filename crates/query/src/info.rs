//! What a snapshot file holds.

use crate::answer::{FactRow, InfoAnswer, ProcessInfo};
use crate::facts;
use heapray_capture::{HeapTables, SnapshotFile};
use heapray_wire::{Fact, FactValue};

/// Describes the processes of a file, or the one named.
pub fn info(file: &SnapshotFile, process: Option<u32>) -> InfoAnswer {
    let wanted = |tables: &&HeapTables| process.is_none_or(|pid| tables.int("pid") == Some(i64::from(pid)));
    InfoAnswer {
        processes: file.processes.iter().filter(wanted).map(process_info).collect(),
        lost: file.losses.iter().map(|loss| format!("at byte {}: {}", loss.offset, loss.what)).collect(),
    }
}

fn process_info(tables: &HeapTables) -> ProcessInfo {
    ProcessInfo {
        process: facts::process(tables),
        n_types: tables.types.len() as u64,
        block_bytes: (0..tables.n_nodes()).map(|node| tables.block(node)).sum(),
        facts: tables.facts.iter().map(fact_row).collect(),
        coverage: facts::coverage(tables, &[]),
    }
}

pub(crate) fn fact_row(fact: &Fact) -> FactRow {
    let value = match &fact.value {
        FactValue::Int(value) => (*value).into(),
        FactValue::Float(value) => (*value).into(),
        FactValue::Text(value) => value.as_str().into(),
    };
    FactRow { name: fact.name.clone(), value }
}
