//! What threads allocate that never saw Python is counted, and carries a mark instead of somebody's stack. Where they were
//! started is the claim of `started_threads`.

use heapray_tests::{Program, Recorded};

use crate::claims::{LIBC, outer_pythons};
use crate::native::prelude;

#[test]
fn native_threads_carry_a_mark() {
    let text = prelude()
        + "def starts(): lib.native_threads(20, 3001, 500, (c_void_p * 10000)())\n\
           starts()\n\
           os._exit(0)\n";
    for python in outer_pythons() {
        for options in [&[][..], &["--native"]] {
            let program = Program::new(python, &text).exact_malloc().options(options);
            let recorded = program.record_well();
            let found = of_size(&recorded, 3001.0);
            let count: f64 = found.iter().map(|(_, count)| count).sum();
            assert_eq!(count, 10_000.0, "{} {options:?}: {found:?}", python.version());
            for (stack, _) in &found {
                let main = format!("Thread {} ", "MainThread");
                assert!(
                    !stack.iter().any(|frame| frame.starts_with(&main)),
                    "not the main thread's: {stack:?}"
                );
                // The first blocks may come before it is known where the thread was started.
                let is_marked = stack.iter().any(|frame| frame.starts_with("Cut"));
                let is_started = stack.iter().any(|frame| frame.starts_with("Start"))
                    && stack.iter().any(|frame| frame.contains("starts"));
                assert!(is_marked || is_started, "a mark, or who started it: {stack:?}");
            }
        }
    }
}

#[test]
fn allocations_in_destructors_of_threads_are_survived() {
    let text = prelude() + "lib.ending_threads(200)\nprint('done')\n";
    for python in outer_pythons() {
        for options in
            [&["--sample-interval", "1024"][..], &["--mode", "exact"], &["--mode", "exact", "--native"]]
        {
            let recorded = Program::new(python, &text).options(options).record_well();
            assert_eq!(recorded.last_line(), "done", "{} {options:?}", python.version());
        }
    }
}

/// Stacks that allocated only blocks of this size, and how many.
fn of_size(recorded: &Recorded, size: f64) -> Vec<(Vec<String>, f64)> {
    let stacks = recorded.stacks(recorded.task()).into_iter();
    stacks
        .filter(|(_, allocator, sum)| {
            LIBC.contains(allocator) && sum.count > 0.0 && sum.bytes / sum.count == size
        })
        .map(|(stack, _, sum)| (stack, sum.count))
        .collect()
}
