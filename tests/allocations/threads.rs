//! Thread storms: hundreds of threads that start, allocate and end at once, in Python and below it.

use heapray_tests::{Program, is_full};

use crate::claims::{LIBC, PYTHON, pythons};
use crate::native::prelude;

const STORM: &str = r#"
def make(): return bytes(700)
def work(n):
    kept = [make() for _ in range(n)]
    total.append(len(kept))
    return kept
total = []
for round in range(ROUNDS):
    threads = [threading.Thread(target=work, args=(20,)) for _ in range(60)]
    for thread in threads: thread.start()
    lib.native_threads(60, 2000, 20, (c_void_p * 1200)())
    for thread in threads: thread.join()
print(sum(total), flush=True)
os._exit(0)
"#;

#[test]
fn a_storm_of_threads_is_counted_to_the_block() {
    let rounds = if is_full() { 60 } else { 6 };
    let text = prelude() + &STORM.replace("ROUNDS", &rounds.to_string());
    let made = text.lines().position(|line| line.contains("bytes(700)")).expect("it is there") as u32 + 1;
    for python in pythons() {
        for options in [&[][..], &["--native"]] {
            let recorded = Program::new(python, &text).exact().options(options).record_well();
            let who = format!("{} {options:?}", python.version());
            assert_eq!(recorded.last_line(), (rounds * 60 * 20).to_string(), "{who}");
            let raw = recorded.allocated(recorded.task(), PYTHON)[&made];
            let n_blocks = f64::from(rounds * 60 * 20);
            assert!(raw.bytes >= n_blocks * 733.0 && raw.bytes < n_blocks * 740.0, "{who}: {raw:?}");
            let stacks = recorded.stacks(recorded.task());
            let native = stacks
                .iter()
                .filter(|(_, allocator, sum)| LIBC.contains(allocator) && sum.bytes / sum.count == 2000.0);
            let count: f64 = native.map(|(_, _, sum)| sum.count).sum();
            assert_eq!(count, f64::from(rounds * 60 * 20), "{who}: blocks of native threads");
        }
    }
}

/// The first thread keeps the agent's lock until somebody else comes, and it is busy inside when that happens.
#[test]
fn threads_that_come_unannounced_are_counted_to_the_block() {
    let text = prelude() + "lib.unannounced_threads(3, 3001, 50_000, (c_void_p * 200_000)())\nos._exit(0)\n";
    for python in pythons() {
        let recorded = Program::new(python, &text).exact().record_well();
        let stacks = recorded.stacks(recorded.task());
        let of_ours = stacks
            .iter()
            .filter(|(_, allocator, sum)| LIBC.contains(allocator) && sum.bytes / sum.count == 3001.0);
        let count: f64 = of_ours.map(|(_, _, sum)| sum.count).sum();
        assert_eq!(count, 200_000.0, "{}", python.version());
    }
}
