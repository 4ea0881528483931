//! Prints what a recording holds, without the reports: processes, and the sites that hold most at the peak, or at the end.
//!
//! `cargo run -p heapray-collect --example dump FILE [SITES [end]]`
#![expect(clippy::print_stdout, reason = "prints what it is asked for")]

use std::collections::BTreeMap;

use heapray_wire::{Fact, FactValue};

fn main() {
    let mut args = std::env::args().skip(1);
    let path = args.next().expect("a file");
    let n_sites = args.next().map_or(10, |n| n.parse().expect("a number"));
    let at_end = args.next().is_some_and(|when| when == "end");
    let bytes = std::fs::read(&path).expect("the file is readable");
    let recording = heapray_capture::read_recording(&path, &bytes).expect("a recording");
    println!("{}", shown(&recording.facts));
    println!("slices: {}, losses: {:?}", recording.slice_times.len(), recording.losses);
    for task in &recording.tasks {
        println!("process {}: {}", task.number, shown(&task.facts));
        println!("  status: {}", shown(&task.status));
        println!("  end: {:?}; peak: {:?}", task.end, task.peak.as_ref().map(|peak| (peak.t_ns, peak.bytes)));
        println!("  last reading: {:?}", task.readings.last());
        let at_peak =
            task.peak.iter().flat_map(|peak| &peak.rows).map(|row| (row.node, (row.count, row.bytes)));
        let mut at_peak: Vec<_> = at_peak.collect();
        at_peak.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
        let sites = if at_end { largest(task) } else { at_peak };
        for (node, (count, bytes)) in sites.into_iter().take(n_sites) {
            println!("  {bytes:>14.0} bytes {count:>10.0} blocks");
            for node in recording.stack(node).take(12) {
                let frame = recording.frame(node);
                let (function, file) = (recording.text(frame.function), recording.text(frame.file));
                println!("      {:?} {function} {file}:{}:{}", frame.kind, frame.line, frame.column);
            }
        }
    }
}

/// Live at the end: born or inherited, and not freed.
fn largest(task: &heapray_capture::Task) -> Vec<(u32, (f64, f64))> {
    let mut live = BTreeMap::<u32, (f64, f64)>::new();
    let mut add = |node: u32, count: f64, bytes: f64| {
        let entry = live.entry(node).or_default();
        *entry = (entry.0 + count, entry.1 + bytes);
    };
    for row in task.inherited.iter().flat_map(|inherited| &inherited.rows) {
        add(row.node, row.count, row.bytes);
    }
    for slice in &task.slices {
        slice.allocs.iter().for_each(|row| add(row.node, row.count, row.bytes));
        slice.frees.iter().for_each(|row| add(row.node, -row.count, -row.bytes));
    }
    let mut live: Vec<_> = live.into_iter().collect();
    live.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    live
}

fn shown(facts: &[Fact]) -> String {
    let one = |fact: &Fact| match &fact.value {
        FactValue::Int(value) => format!("{}={value}", fact.name),
        FactValue::Float(value) => format!("{}={value}", fact.name),
        FactValue::Text(value) => format!("{}={value}", fact.name),
    };
    facts.iter().map(one).collect::<Vec<_>>().join(" ")
}
