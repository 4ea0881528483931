//! `sys.setprofile`, `sys.settrace` and tracemalloc belong to the program: heapray neither takes them nor minds them.

use heapray_tests::Program;

use crate::claims::{PYTHON, pythons};

const PROFILED: &str = r#"
import os, sys, threading
n = 0
def profile(frame, event, argument):
    global n
    n += 1
def make(): return bytes(1000)
def work(): return [make() for _ in range(1000)]
sys.setprofile(profile)
threading.setprofile(profile)
kept = work()
thread = threading.Thread(target=lambda: kept.extend(work()))
thread.start()
thread.join()
mine = sys.getprofile() is profile
sys.setprofile(None)
kept += work()
print(mine, sys.getprofile() is None, n > 6, sys.gettrace() is None)
sys.stdout.flush()
os._exit(0)
"#;

const TRACED: &str = r#"
import os, sys, tracemalloc
def make(): return bytes(1000)
def work(): return [make() for _ in range(1000)]
kept = work()
tracemalloc.start()
kept += work()
size = sum(s.size for s in tracemalloc.take_snapshot().statistics("lineno") if s.traceback[0].lineno == 3 and s.traceback[0].filename == __file__)
tracemalloc.stop()
kept += work()
print(size // 10_000, tracemalloc.is_tracing())
sys.stdout.flush()
os._exit(0)
"#;

fn check(text: &str, work: u32) {
    for python in pythons() {
        for options in [&["--sample-interval", "16384"][..], &["--mode", "exact", "--level", "objects"]] {
            let plain = Program::new(python, text).plain();
            let recorded = Program::new(python, text).options(options).record_well();
            assert_eq!(recorded.answer.stdout, plain.stdout, "{} {options:?}", python.version());
            let bytes = recorded.live(recorded.task(), PYTHON).get(&work).map_or(0.0, |sum| sum.bytes);
            // Three times 1,000 blocks of 1,033 bytes; at 16 KiB 190 samples: 7 % of standard deviation.
            assert!((bytes / 3_099_000.0 - 1.0).abs() < 0.3, "{} {options:?}: {bytes}", python.version());
        }
    }
}

#[test]
fn profile_functions_change_nothing() {
    check(PROFILED, 7);
}

#[test]
fn tracemalloc_at_once_changes_nothing() {
    check(TRACED, 3);
}
