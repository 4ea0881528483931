//! A process that executes several programs before the collector looks once: the slots of its old programs are given back, that of
//! the one that runs is left alone, whatever their order.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};

use heapray_attach::SharedFile;
use heapray_collect::{Drain, Level, Mode, Plan};
use heapray_wire::ring::{SLOT_FREE, SLOT_LIVE};

fn plan() -> Plan {
    Plan {
        mode: Mode::Exact,
        level: Level::Objects,
        native: false,
        all_events: false,
        sample_interval: 65_536,
        spreads: false,
        recording: true,
        signal: 0,
        follow_exec: true,
        command: Vec::new(),
        when_rss: None,
    }
}

/// This process takes a slot, as its agent would at the start of a program.
fn take(shared: &SharedFile, idx: usize, started_ns: u64) {
    let (claim, slot) = (shared.claim(idx).expect("a claim"), shared.slot(idx).expect("a slot"));
    let header = slot.header();
    header.generation.store(claim.generation.fetch_add(1, Relaxed) + 1, Relaxed);
    header.parent_slot.store(u32::MAX, Relaxed);
    header.pid.store(std::process::id(), Relaxed);
    header.started_ns.store(started_ns, Relaxed);
    claim.state.store(SLOT_LIVE, Release);
}

fn is_taken(shared: &SharedFile, idx: usize) -> bool {
    let claim = shared.claim(idx).expect("a claim");
    let pid = shared.slot(idx).expect("a slot").header().pid.load(Relaxed);
    assert_eq!(claim.state.load(Relaxed) == SLOT_FREE, pid == 0, "slot {idx} is as new where it is free");
    pid != 0
}

#[test]
fn the_slot_of_the_program_that_runs_is_left_alone() {
    let orders = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
    for (times, looks_between) in orders.into_iter().flat_map(|times| (0..3).map(move |n| (times, n))) {
        let file = std::env::temp_dir().join(format!("heapray-{}-programs.hr", std::process::id()));
        let shared = Arc::new(SharedFile::create(&plan().shared()).expect("a memory file"));
        let out = std::fs::File::create(&file).expect("the temporary folder is writable");
        let mut drain = Drain::new(shared.clone(), plan(), out).expect("a thread");
        for (idx, started_ns) in times.into_iter().enumerate() {
            take(&shared, idx, started_ns);
            if idx < looks_between {
                drain.round();
            }
        }
        drain.round();
        let taken: Vec<bool> = (0..3).map(|idx| is_taken(&shared, idx)).collect();
        assert_eq!(taken, times.map(|time| time == 3), "begun at {times:?}, {looks_between} looks between");
        assert_eq!(drain.pids(), [std::process::id().cast_signed()]);
        drain.finish("stopped");
        std::fs::remove_file(file).expect("it is there");
    }
}
