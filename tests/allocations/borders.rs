//! What is alive at the end of a slice, and when most was, holds to the block in exact mode, also of blocks that the agent had not told
//! when it was.

use heapray_tests::Program;

use crate::claims::{PYTHON, outer_pythons, pythons};

/// A thousand blocks, always, in three processes: one that replaces them without a pause, one that sleeps in between, one that stands
/// still.
const STEADY: &str = r#"
import collections, os, time
def make(): return bytes(967)
def replace(pause):
    while time.monotonic() < end:
        for _ in range(100): ring.append(make())
        if pause: time.sleep(pause)
end = time.monotonic() + 2.2
ring = collections.deque((make() for _ in range(1000)), maxlen=1000)
for pause in 0.013, 2.3:
    if os.fork() == 0:
        replace(pause)
        os._exit(0)
replace(0)
os.wait()
os._exit(0)
"#;

#[test]
fn a_steady_program_is_as_large_at_the_end_of_every_slice() {
    for python in outer_pythons() {
        let recorded = Program::new(python, STEADY).exact().record_well();
        let mut n_borders = 0;
        for task in &recorded.tables.tasks {
            let indices: Vec<u32> = task.slices.iter().map(|slice| slice.index).collect();
            // The last of a process is not over when that ends.
            for index in indices.iter().rev().skip(1) {
                let live = recorded.live_after(task, PYTHON, *index);
                let of_ring = live.get(&3).map_or(0.0, |sum| sum.count);
                let who = format!("{} process {:?} slice {index}", python.version(), task.pid());
                // One is made before the oldest goes, and frames are charged to it.
                assert!((1000.0..=1010.0).contains(&of_ring), "{who}: {of_ring} blocks");
                n_borders += 1;
            }
        }
        assert!(n_borders >= 4, "{}: {n_borders}", python.version());
    }
}

/// Small blocks and then large ones, or many small ones for a moment: after a pause, in which the agent has heard what the mark is.
const HIGH: &str = r#"
import os, time
def small(n): return [bytes(967) for _ in range(n)]
def large(): return [bytearray(1 << 20) for _ in range(10)]
def large_on_small():
    kept = small(1000)
    large()
time.sleep(0.5)
WHAT
os._exit(0)
"#;

#[test]
fn the_high_water_mark_has_the_blocks_of_a_moment() {
    for (what, n_blocks) in [("large_on_small()", 1000.0), ("for _ in range(5): small(900)", 900.0)] {
        let text = HIGH.replace("WHAT", what);
        for python in pythons() {
            let recorded = Program::new(python, &text).exact().record_well();
            let peak = recorded.ask(&["peak", "--limit", "10000"]);
            let rows = peak["rows"].as_array().expect("rows");
            let of_line = rows.iter().filter(|row| row["line"] == 3 && row["function"] != "<module>");
            let count: f64 = of_line.filter_map(|row| row["live"]["count"].as_f64()).sum();
            // A thirtieth of the mark may be missing, or 64 KiB: blocks of 1,000 bytes.
            let bytes = peak["live"]["bytes"].as_f64().expect("the mark");
            let missing = (bytes / 30.0).max(65_536.0) / 1000.0;
            let is_right = (n_blocks - missing..=n_blocks + 10.0).contains(&count);
            assert!(is_right, "{} {what}: {count}", python.version());
        }
    }
}
