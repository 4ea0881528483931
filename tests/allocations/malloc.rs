//! At the level of malloc every line has exactly the calls and bytes that a preloaded library counts.

use std::fmt::Write;

use heapray_tests::{Dice, Program};
use heapray_wire::allocator::{CALLOC, MALLOC, MEMALIGN, REALLOC};

use crate::claims::{LIBC, assert_same, counted, outer_pythons, pythons, whole};
use crate::native::{libraries, prelude};

/// Prints what count.so counted for each line, by its kinds of functions.
const END: &str = r#"
if "COUNTED" in os.environ:
    count = ctypes.CDLL(None).count_of
    count.restype = ctypes.c_ulong
    for kind in range(4):
        print(json.dumps({n: [count(n, kind, 0), count(n, kind, 1)] for n in range(1, 4096) if count(n, kind, 0)}))
sys.stdout.flush()
os._exit(0)
"#;

#[test]
fn calls_per_line_are_those_of_a_preloaded_counter() {
    for python in pythons() {
        let text = generated(7, 80);
        let count = libraries().count.as_str();
        let plain =
            Program::new(python, &text).variable("COUNTED", "1").variable("LD_PRELOAD", count).plain();
        let lines: Vec<&str> = plain.stdout.lines().collect();
        assert_eq!(lines.len(), 4, "{plain:?}");
        for options in
            [&["--level", "malloc"][..], &["--level", "objects"], &["--level", "objects", "--native"]]
        {
            let program = Program::new(python, &text).options(&["--mode", "exact"]).options(options);
            let recorded = program.record_well();
            for (kind, line) in [MALLOC, CALLOC, REALLOC, MEMALIGN].into_iter().zip(&lines) {
                let expected = counted(line);
                let found =
                    whole(&recorded.allocated(recorded.task(), &[kind]), |line| expected.contains_key(&line));
                assert_same(&format!("{} {options:?} {kind}", python.version()), &text, &found, &expected);
            }
        }
    }
}

#[test]
fn a_counter_preloaded_at_once_still_counts_the_same() {
    for python in outer_pythons() {
        let text = generated(8, 40);
        let count = libraries().count.as_str();
        let program = || {
            Program::new(python, &text).variable("COUNTED", "1").variable("LD_PRELOAD", count).exact_malloc()
        };
        let plain = program().plain();
        let recorded = program().record_well();
        assert_eq!(recorded.answer.stdout, plain.stdout, "{}", python.version());
    }
}

#[test]
fn errno_is_left_alone() {
    let text = prelude()
        + "print([lib.errno_after(kind, size) for kind in range(9) for size in (1, 5000, 300_000) for _ in range(50)])";
    for python in outer_pythons() {
        for options in
            [&["--sample-interval", "4096"][..], &["--mode", "exact"], &["--mode", "exact", "--native"]]
        {
            let recorded = Program::new(python, &text).options(options).record_well();
            let wrong =
                recorded.last_line().matches(|c: char| c.is_ascii_digit()).filter(|d| *d != "7").count();
            assert_eq!(wrong, 0, "errno stays 77: {:?}", recorded.answer);
        }
    }
}

#[test]
fn all_freed_is_nothing_left() {
    let text = generated(9, 40).replace("os._exit(0)", "for p, n in out: lib.drop_all(p, n)\nos._exit(0)");
    for python in outer_pythons() {
        let recorded = Program::new(python, &text).exact_malloc().record_well();
        let allocated = recorded.allocated(recorded.task(), LIBC);
        let live = recorded.live(recorded.task(), LIBC);
        let tagged =
            |line: &u32| text.lines().nth(*line as usize - 1).is_some_and(|text| text.contains("lib.blocks"));
        assert!(allocated.keys().filter(|line| tagged(line)).count() > 30);
        assert_eq!(live.keys().find(|line| tagged(line)), None, "{}: {live:?}", python.version());
    }
}

fn generated(seed: u64, n: u64) -> String {
    let mut dice = Dice::new(0x6d61_6c6c + seed);
    let mut text =
        prelude() + "out = []\ndef room(n): out.append(((c_void_p * n)(), n)); return out[-1][0]\n";
    for _ in 0..n {
        let below = [100, 3000, 400_000][dice.below(3) as usize];
        let size = 1 + dice.below(below);
        let (kind, count) = (dice.below(9), 1 + dice.below(300));
        let to = if dice.below(3) == 0 { "None".to_owned() } else { format!("room({count})") };
        writeln!(text, "to = {to}").expect("a string takes text");
        writeln!(text, "lib.blocks(line(), {kind}, {size}, {count}, to)").expect("a string takes text");
    }
    text + END
}
