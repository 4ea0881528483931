//! What native threads allocate is charged to the line of Python that started them, behind a mark that says so; what is not
//! known to come from a line keeps the mark that says that.

use std::collections::BTreeMap;
use std::fs;

use heapray_capture::{Recording, Task, read_recording};
use heapray_testkit::Target;
use heapray_tests::{Program, Recorded, Scratch, Sum, heapray};
use heapray_wire::FrameKind;

use crate::attach::Attach;
use crate::claims::{LIBC, outer_pythons, pythons};
use crate::native::libraries;

const HERE: &str = "native thread, started here";
const BY_ONE: &str = "native thread, started by one started here";
const UNKNOWN: &str = "native thread";

const EXACT: &[&str] = &["--mode", "exact", "--level", "malloc"];

/// Python that has the functions of pools.so.
fn prelude() -> String {
    format!(
        "import ctypes, os, sys, threading\n\
         from ctypes import c_int, c_size_t, c_void_p\n\
         lib = ctypes.CDLL({:?})\n\
         for name in ('pool_start', 'pool_start_in_thread'): getattr(lib, name).restype = c_void_p\n\
         lib.pool_run.argtypes = [c_void_p, c_size_t, c_size_t, c_void_p]\n\
         lib.pool_end.argtypes = [c_void_p]\n\
         kept = []\n\
         def run(pool, size):\n    \
             kept.append((c_void_p * 400)())\n    \
             lib.pool_run(pool, size, 100, kept[-1])\n\
         def end(pool): lib.pool_end(pool)\n",
        libraries().pools
    )
}

/// How many blocks of some ten bytes more than `size` came from where: the innermost frame of Python and the mark inside of it, as far
/// as there are any. What one place allocates is known by its mean.
fn places(recorded: &Recorded, size: u32) -> BTreeMap<String, f64> {
    let mut places = BTreeMap::new();
    for (stack, _, sum) in of_size(recorded, recorded.task(), size) {
        let of =
            |kind: &str| stack.iter().rfind(|frame| frame.starts_with(kind)).map(|frame| function(frame));
        let mark = of("Start").or(of("Cut"));
        let words = [of("Python"), mark].into_iter().flatten().collect::<Vec<_>>();
        *places.entry(words.join(", ")).or_default() += sum.count;
    }
    places
}

/// The stacks of such blocks.
fn of_size(recorded: &Recorded, task: &Task, size: u32) -> Vec<(Vec<String>, u8, Sum)> {
    let sizes = f64::from(size)..f64::from(size + 10);
    let is_it = |(_, allocator, sum): &(Vec<String>, u8, Sum)| {
        LIBC.contains(allocator) && sum.count > 0.0 && sizes.contains(&(sum.bytes / sum.count))
    };
    recorded.stacks(task).into_iter().filter(is_it).collect()
}

/// The function of a frame in words: kind, function, line.
fn function(frame: &str) -> &str {
    let from = frame.find(' ').map_or(0, |at| at + 1);
    &frame[from..frame.rfind(' ').unwrap_or(frame.len())]
}

fn expected<const N: usize>(places: [(&str, &str, u32); N]) -> BTreeMap<String, f64> {
    let words = places.map(|(function, mark, count)| {
        let words = [function, mark].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>();
        (words.join(", "), f64::from(count))
    });
    words.into_iter().collect()
}

const STARTS: &str = r"
def directly(): return lib.pool_start(4)
def by_a_thread(): return lib.pool_start_in_thread(4)
def in_python(): out.append(lib.pool_start(4))
def works():
    for size in (30001, 30002): run(pool, size)
out = []
pool = directly()
works()
run(by_a_thread(), 30003)
worker = threading.Thread(target=in_python); worker.start(); worker.join()
run(out[0], 30004)
os._exit(0)
";

#[test]
fn native_threads_hang_from_where_they_were_started() {
    let text = prelude() + STARTS;
    for python in pythons() {
        for options in [EXACT, &["--mode", "exact", "--native"]] {
            let recorded = Program::new(python, &text).options(options).record_well();
            let who = format!("{} {options:?}", python.version());
            // Half of what `directly` is charged with was work of another caller: it is said where the threads were started, no more.
            let started = [("directly", HERE, 800), ("by_a_thread", BY_ONE, 400), ("in_python", HERE, 400)];
            assert_eq!(places(&recorded, 30_000), expected(started), "{who}");
        }
    }
}

#[test]
fn sampled_native_threads_hang_from_where_they_were_started() {
    let text = prelude() + STARTS;
    let line = text.lines().position(|line| line.contains("def directly")).expect("it is there") as u64 + 1;
    for python in pythons() {
        for options in [&[][..], &["--native"]] {
            let program =
                Program::new(python, &text).options(&["--sample-interval", "4096"]).options(options);
            let recorded = program.record_well();
            let who = format!("{} {options:?}", python.version());
            let top = recorded.ask(&["top", "--limit", "3"]);
            let row = top["rows"].as_array().expect("rows").iter().find(|row| row["line"] == line);
            let bytes = row.unwrap_or_else(|| panic!("{who}: no row of line {line}: {top}"))["live"]["bytes"]
                .as_f64();
            // 800 blocks of 30 kB, each sampled with a probability of 0.9993.
            let truth = 400.0 * (30_001.0 + 30_002.0);
            assert!(
                bytes.is_some_and(|bytes| (bytes / truth - 1.0).abs() < 0.01),
                "{who}: {bytes:?} of {truth}"
            );
            let bytes = top["native_threads"]["bytes"].as_f64().unwrap_or(0.0);
            assert!((bytes / truth - 2.0).abs() < 0.02, "{who}: {bytes} of twice {truth} by native threads");
            let tree = recorded.ask(&["tree", "--what", "live"]);
            let marks = tree["rows"].as_array().expect("rows").iter().filter(|row| row["kind"] == "start");
            let texts: Vec<&str> = marks.filter_map(|row| row["function"].as_str()).collect();
            assert!(texts.contains(&HERE) && texts.contains(&BY_ONE), "{who}: {texts:?}");
        }
    }
}

/// Threads end, and others get their place in memory: from another line, in a forked child, in Python.
const ENDS: &str = r"
def one(): return lib.pool_start(4)
def other(): return lib.pool_start(4)
def again(): return lib.pool_start(4)
def short(start, size):
    pool = start()
    run(pool, size)
    end(pool)
for round in range(20):
    short(one, 30001)
    short(other, 30002)
    worker = threading.Thread(target=lambda: None); worker.start(); worker.join()
child = os.fork()
short(again, 30003)
if child == 0: os._exit(0)
os.waitpid(child, 0)
os._exit(0)
";

#[test]
fn a_later_thread_at_the_same_place_has_its_own_start() {
    let text = prelude() + ENDS;
    for python in outer_pythons() {
        for options in [EXACT, &["--mode", "exact", "--native"]] {
            let recorded = Program::new(python, &text).options(options).record_well();
            let who = format!("{} {options:?}", python.version());
            let started = [("one", HERE, 8000), ("other", HERE, 8000), ("again", HERE, 400)];
            assert_eq!(places(&recorded, 30_000), expected(started), "{who}");
            let child = recorded.tables.tasks.iter().find(|task| task.pid() != recorded.task().pid());
            let stacks = of_size(&recorded, child.expect("the child is recorded"), 30_000);
            let has = |stack: &[String], word: &str| stack.iter().any(|frame| frame.starts_with(word));
            let of_child =
                stacks.iter().filter(|(stack, _, _)| has(stack, "Python again") && has(stack, "Start"));
            let count: f64 = of_child.map(|(_, _, sum)| sum.count).sum();
            assert_eq!(count, 400.0, "{who}: in the child");
        }
    }
}

const PYTHON_THREADS: &str = r"
import ctypes, threading, os
def block(): kept.append(ctypes.create_string_buffer(50000 - 33))
def target():
    for _ in range(50): block()
kept = []
threads = [threading.Thread(target=target) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
os._exit(0)
";

#[test]
fn threads_of_python_stand_where_they_are() {
    for python in pythons() {
        let recorded = Program::new(python, PYTHON_THREADS).exact().record_well();
        let mut count = 0.0;
        for (stack, _, sum) in recorded.stacks(recorded.task()) {
            if stack.iter().any(|frame| frame.starts_with("Python block")) {
                count += if (sum.bytes / sum.count - 50_000.0).abs() < 100.0 { sum.count } else { 0.0 };
                assert!(
                    !stack.iter().any(|frame| frame.starts_with("Start") || frame.starts_with("Cut")),
                    "{}: {stack:?}",
                    python.version()
                );
            }
        }
        assert_eq!(count, 400.0, "{}", python.version());
    }
}

/// Starts one pool before it is attached to and one afterwards.
const ATTACHED: &str = r#"
def early(): return lib.pool_start(4)
def late(): return lib.pool_start(4)
before = early()
print("ready", flush=True)
sys.stdin.readline()
after = late()
run(before, 30001)
run(after, 30002)
print("done", flush=True)
sys.stdin.readline()
end(before)
end(after)
print("ended", flush=True)
"#;

#[test]
fn threads_that_ran_before_an_attach_are_not_guessed_at() {
    let text = prelude() + ATTACHED;
    for python in outer_pythons() {
        let (mut target, scratch) = (Target::start(python, &text), Scratch::new());
        assert_eq!(target.line(), "ready");
        let file = scratch.file("attached.hr");
        let attach = Attach::start(&target, file.to_str().expect("UTF-8"), EXACT);
        assert_eq!(target.ask("go"), "done", "{}", python.version());
        let detached = heapray(["detach", &target.pid().to_string()]);
        assert_eq!((detached.status, detached.stderr.as_str()), (Some(0), ""), "{}", python.version());
        assert_eq!(attach.end().0, Some(0));
        // The threads that were started while it was recorded run on without the agent.
        let maps = fs::read_to_string(format!("/proc/{}/maps", target.pid())).expect("it runs");
        let ours = maps.lines().find(|line| line.contains("heapray") && !line.ends_with("/pools.so"));
        assert_eq!(ours, None, "{}", python.version());
        assert_eq!(target.ask("go"), "ended", "{}", python.version());
        let bytes = fs::read(&file).expect("the file was written");
        let recording = read_recording("attached.hr", &bytes).expect("it can be read");
        assert_eq!(
            marks_of(&recording, 30_001.0),
            [(UNKNOWN.to_owned(), 400.0)].into(),
            "{}",
            python.version()
        );
        assert_eq!(marks_of(&recording, 30_002.0), [(HERE.to_owned(), 400.0)].into(), "{}", python.version());
    }
}

/// Blocks of this size by the innermost mark on their stack.
fn marks_of(recording: &Recording, size: f64) -> BTreeMap<String, f64> {
    let mut marks = BTreeMap::new();
    for row in recording.tasks[0].slices.iter().flat_map(|slice| slice.allocs) {
        let is_mark = |node: &u32| matches!(recording.frame(*node).kind, FrameKind::Cut | FrameKind::Start);
        let mark = recording.stack(row.node).find(is_mark);
        if let Some(mark) = mark.filter(|_| row.bytes / row.count == size) {
            *marks.entry(recording.text(recording.frame(mark).function).to_owned()).or_default() += row.count;
        }
    }
    marks
}

const OPENMP: &str = r"
def warms_up(): return omp.parallel_blocks(4, 16, 0, None)
def first(): return region(4, 40001)
def second(): return region(4, 40002)
def region(n, size):
    kept.append((c_void_p * 400)())
    return omp.parallel_blocks(n, size, 100, kept[-1])
kept = []
print(warms_up(), first(), second(), flush=True)
os._exit(0)
";

#[test]
fn threads_of_openmp_hang_from_the_region_that_started_them() {
    let head = format!(
        "import ctypes, os\nfrom ctypes import c_int, c_size_t, c_void_p\nomp = ctypes.CDLL({:?})\n\
         omp.parallel_blocks.argtypes = [c_int, c_size_t, c_size_t, c_void_p]\n",
        libraries().openmp
    );
    for python in outer_pythons() {
        for options in [EXACT, &["--mode", "exact", "--native"]] {
            let recorded = Program::new(python, &(head.clone() + OPENMP)).options(options).record_well();
            let who = format!("{} {options:?}", python.version());
            assert_eq!(recorded.last_line(), "4 4 4", "{who}");
            let mut counts = BTreeMap::<(&str, bool), f64>::new();
            for (stack, _, sum) in of_size(&recorded, recorded.task(), 40_000) {
                let of = |name: &&str| stack.iter().any(|frame| frame.starts_with(&format!("Python {name}")));
                let by = ["warms_up", "first", "second"].into_iter().find(of).unwrap_or("nobody");
                *counts.entry((by, stack.iter().any(|frame| frame.starts_with("Start")))).or_default() +=
                    sum.count;
            }
            // Who calls is one of the team. The others wait for the next region.
            let expected =
                [(("warms_up", true), 600.0), (("first", false), 100.0), (("second", false), 100.0)];
            assert_eq!(counts, expected.into(), "{who}");
        }
    }
}
