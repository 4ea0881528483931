//! Whatever allocator the program runs on: glibc with poison, jemalloc, mimalloc, Python's debug allocators.

use heapray_testkit::Python;
use heapray_tests::Program;

use crate::claims::{LIBC, PYTHON, outer_pythons, pythons};
use crate::native::prelude;

const WORK: &str = r#"
def work(): return [bytes(900) for _ in range(2000)]
def native(n): lib.blocks(0, 0, 5000, n, None if n < 0 else out)
out = (c_void_p * 400)()
kept = work()
native(400)
lib.drop_all(out, 200)
grown = {n: [n] for n in range(20_000)}
text = "".join(str(n) for n in range(20_000))
for _ in range(20): work()
print(len(kept), len(grown), len(text))
sys.stdout.flush()
os._exit(0)
"#;

fn check(variables: &[(&str, &str)], exact: bool) {
    let text = prelude() + WORK;
    let line =
        |start: &str| text.lines().position(|line| line.starts_with(start)).expect("it is there") as u32 + 1;
    for python in pythons() {
        for options in [&["--sample-interval", "8192"][..], &["--mode", "exact", "--level", "objects"]] {
            let mut program = Program::new(python, &text).options(options);
            for (name, value) in variables {
                program = program.variable(name, value);
            }
            let plain = program.plain();
            let recorded = program.record_well();
            let who = format!("{} {variables:?} {options:?}", python.version());
            assert_eq!(recorded.answer.stdout, plain.stdout, "{who}");
            assert_eq!(recorded.answer.stderr.contains("ld.so"), plain.stderr.contains("ld.so"), "{who}");
            let live = recorded.live(recorded.task(), LIBC);
            let native = live.get(&line("def native")).copied().unwrap_or_default();
            let live = recorded.live(recorded.task(), if exact { PYTHON } else { &[] });
            let objects = live.get(&line("def work")).copied().unwrap_or_default();
            // tracemalloc's own records are malloc's, asked for on the line that they are about.
            let most = if exact { 2_100_000.0 } else { 3_200_000.0 };
            if options.contains(&"exact") {
                // Without pymalloc the call's own objects on that line are malloc's too.
                let more = if exact { 0.0 } else { 20_000.0 };
                assert!(native.bytes >= 1e6 && native.bytes <= 1e6 + more, "{who}: {native:?}");
                assert!(objects.bytes >= 1_866_000.0 && objects.bytes < most, "{who}: {objects:?}");
            } else {
                // 1 MB at 8 KiB: 122 samples, 9 % of standard deviation. The other line says its own.
                let slack = 4.0 * objects.bytes_variance.sqrt();
                assert!((native.bytes / 1e6 - 1.0).abs() < 0.4, "{who}: {native:?}");
                let (low, high) = (1_866_000.0 - slack, most + slack);
                assert!(objects.bytes >= low && objects.bytes < high, "{who}: {objects:?}");
            }
        }
    }
}

#[test]
fn poisoned_memory_is_no_matter() {
    check(&[("MALLOC_PERTURB_", "85"), ("MALLOC_CHECK_", "3")], true);
}

#[test]
fn python_without_pymalloc_is_seen() {
    check(&[("PYTHONMALLOC", "malloc")], false);
}

#[test]
fn pythons_debug_allocators_are_seen() {
    check(&[("PYTHONMALLOC", "debug")], false);
    check(&[("PYTHONMALLOC", "malloc_debug")], false);
}

/// All that a program does which has ended before the collector has looked at it once.
const BRIEF: &str =
    "import os\ndef work(): return [bytes(100) for _ in range(2000)]\nkept = work()\nos._exit(0)\n";

/// The interpreter sets its allocators anew while it starts: from the first event after that they are hooked again.
#[test]
fn a_brief_program_on_debug_allocators_is_whole() {
    for python in pythons() {
        for _ in 0..3 {
            let program = Program::new(python, BRIEF).exact().variable("PYTHONDEVMODE", "1");
            let recorded = program.record_well();
            let live = recorded.live(recorded.task(), PYTHON);
            let objects = live.get(&2).copied().unwrap_or_default();
            // 133 bytes each, and the list.
            assert!(objects.bytes >= 2000.0 * 133.0, "{}: {objects:?}", python.version());
            assert!(objects.count >= 2001.0, "{}: {objects:?}", python.version());
        }
    }
}

#[test]
fn tracemalloc_from_the_start_is_no_matter() {
    check(&[("PYTHONTRACEMALLOC", "1")], false);
}

#[test]
fn a_preloaded_jemalloc_is_seen() {
    preloaded("libjemalloc.so.");
}

#[test]
fn a_preloaded_mimalloc_is_seen() {
    preloaded("libmimalloc.so.");
}

fn preloaded(name: &str) {
    let path = library(name);
    check(&[("LD_PRELOAD", &path)], true);
    let modes = &[&["--mode", "sampled"][..], &["--mode", "exact"], MALLOC];
    counts_once(outer_pythons(), ("LD_PRELOAD", &path), modes);
}

#[test]
fn pythons_own_mimalloc_counts_once() {
    let have_it: Vec<&Python> = outer_pythons().into_iter().filter(|python| python.minor() >= 13).collect();
    counts_once(have_it, ("PYTHONMALLOC", "mimalloc"), &[&["--mode", "exact"], MALLOC]);
}

const MALLOC: &[&str] = &["--mode", "exact", "--level", "malloc"];

/// The blocks of an allocator count, or the address space that it has them in, not both.
fn counts_once<'a>(
    pythons: impl IntoIterator<Item = &'a Python>,
    (name, value): (&str, &str),
    modes: &[&[&str]],
) {
    let text = "import os, sys\n\
        kept = [bytearray(1 << 20) for _ in range(40)]\n\
        print('ready', os.getpid(), flush=True)\n\
        sys.stdin.readline()\n\
        os._exit(0)\n";
    for python in pythons {
        for options in modes {
            let recorded =
                Program::new(python, text).options(options).variable(name, value).record_until_ready();
            // All of it: Python's own lies where the first block was asked for.
            let mb = recorded.ask(&["top"])["live"]["bytes"].as_f64().unwrap_or(0.0) / f64::from(1 << 20);
            let who = format!("{} {value} {options:?}", python.version());
            assert!((39.0..55.0).contains(&mb), "{who}: {mb} MB");
        }
    }
}

/// A library of Debian's, which `make test` installs. Interpreters in other roots do not have it and run without.
fn library(name: &str) -> String {
    let folder = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let files = std::fs::read_dir(&folder).expect("the folder of libraries is readable").flatten();
    let mut found: Vec<_> = files.filter_map(|file| file.path().to_str().map(str::to_owned)).collect();
    found.retain(|path| path.rsplit('/').next().is_some_and(|file| file.starts_with(name)));
    found.sort();
    found.into_iter().next().unwrap_or_else(|| panic!("no {name} in {folder}: run make test once"))
}
