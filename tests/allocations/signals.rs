//! Signals at any moment: a storm of them interrupts hooks as it interrupts everything else.

use heapray_tests::{Program, is_full};

use crate::claims::{PYTHON, pythons};
use crate::native::prelude;

const STORM: &str = r#"
import signal
seen = []
def told(number, frame): seen.append(bytes(2000))
def make(): return bytes(900)
def work(): return [make() for _ in range(2000)]
signal.signal(signal.SIGALRM, told)
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
lib.storm_begins()
n = 0
for round in range(ROUNDS):
    kept = work()
    n += len(kept)
signal.setitimer(signal.ITIMER_REAL, 0)
stormed = lib.storm_is_over()
print(n, len(seen) > 5, stormed > 50)
sys.stdout.flush()
os._exit(0)
"#;

#[test]
fn a_storm_of_signals_changes_no_count() {
    let rounds = if is_full() { 1000 } else { 100 };
    let text = prelude() + &STORM.replace("ROUNDS", &rounds.to_string());
    let line =
        |start: &str| text.lines().position(|line| line.starts_with(start)).expect("it is there") as u32 + 1;
    for python in pythons() {
        for options in [&[][..], &["--native"]] {
            let recorded = Program::new(python, &text).exact().options(options).record_well();
            let who = format!("{} {options:?}", python.version());
            assert_eq!(recorded.last_line(), format!("{} True True", rounds * 2000), "{who}");
            let made = recorded.allocated(recorded.task(), PYTHON)[&line("def make")];
            // A native stack that a signal interrupted may be cut, and says so; without native frames none is.
            let n_blocks = f64::from(rounds) * 2000.0;
            let least = if options.is_empty() { n_blocks } else { 0.98 * n_blocks };
            assert!(made.bytes >= least * 933.0 && made.bytes < n_blocks * 940.0, "{who}: {made:?}");
        }
    }
}
