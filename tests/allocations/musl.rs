//! Another C library: musl, whose loader is the library itself, and whose `posix_memalign` calls its `aligned_alloc`.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use heapray_capture::read_recording;
use heapray_tests::{Scratch, heapray};
use heapray_wire::allocator::{MALLOC, MEMALIGN, REALLOC};

/// What the program asks for: allocator, blocks, bytes.
const TRUTH: [(u8, f64, f64); 3] =
    [(MALLOC, 2000.0, 1_000_000.0), (REALLOC, 2000.0, 2_000_000.0), (MEMALIGN, 4000.0, 1_880_000.0)];

#[test]
fn a_program_of_musl_is_recorded_to_the_block() {
    let folder = Scratch::new();
    let (program, file) = (folder.file("blocks"), folder.file("recording.hr"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/allocations/native/musl.c");
    let built = Command::new("musl-gcc").args(["-O1", "-o"]).arg(&program).arg(source).status();
    assert!(built.is_ok_and(|status| status.success()), "musl-gcc is installed, and musl.c compiles");
    let (program, path) = (program.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));
    for options in
        [["--mode", "exact", "--level", "malloc"], ["--mode", "sampled", "--sample-interval", "256"]]
    {
        let words = ["run", "-q", "-f", "-o", path].into_iter().chain(options).chain(["--", program]);
        let answer = heapray(words);
        assert_eq!((answer.status, answer.stdout.as_str()), (Some(0), "done\n"), "{options:?}: {answer:?}");
        let bytes = fs::read(&file).expect("it is written");
        let tables = read_recording("recording.hr", &bytes).expect("it is a recording");
        let mut sums: BTreeMap<u8, (f64, f64, f64)> = BTreeMap::new();
        for row in tables.tasks.iter().flat_map(|task| &task.slices).flat_map(|slice| slice.allocs) {
            let sum = sums.entry(row.allocator).or_default();
            *sum = (sum.0 + row.count, sum.1 + row.bytes, sum.2 + row.bytes_variance);
        }
        for (allocator, blocks, bytes) in TRUTH {
            let (count, estimate, variance) = sums.get(&allocator).copied().unwrap_or_default();
            // Five standard deviations; an exact recording has none.
            assert!(
                (estimate - bytes).abs() <= 5.0 * variance.sqrt(),
                "{options:?} {allocator}: {estimate} bytes"
            );
            assert!(variance > 0.0 || count == blocks, "{options:?} {allocator}: {count} blocks");
        }
    }
}
