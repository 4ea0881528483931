//! Whole programs with the agent preloaded: what is recorded, against what they know about themselves.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::mem::offset_of;
use std::process::{Command, Stdio};

use heapray_testkit::Python;
use heapray_wire::ring::cells::Allocator;
use heapray_wire::ring::*;
use support::{Plan, Process, Recorder, pythons};

/// Keeps 200,000 small and 2,000 large objects, drops as many, and tells the bytes it kept.
const LEAK: &str = "
import os, sys
def leak(n):
    return [b'%d' % i * 3 for i in range(n)], [bytes(2000) for _ in range(n // 100)]
def drop(n):
    for _ in range(n):
        x = [b'%d' % n * 5, {'a': n}, [n] * 40]
drop(50_000)
kept = leak(200_000)
drop(50_000)
print(sum(sys.getsizeof(x) for part in kept for x in part) + sum(x.__sizeof__() for x in kept))
sys.stdout.flush()
os._exit(7)
";

fn run(plan: Plan, python: &Python, script: &str, vars: &[(&str, &str)]) -> (Recorder, String) {
    let mut recorder = Recorder::new(plan);
    let mut command = recorder.command(python);
    command.args(["-c", script]).envs(vars.iter().copied());
    let (status, output) = recorder.run(command);
    assert_eq!(status.code(), Some(7), "{}: {output}", python.version());
    (recorder, output)
}

fn number(output: &str) -> f64 {
    output.trim().parse().expect("one number")
}

/// The process of the script: the last one (the ones before it, such as `chroot`, became it by `exec`).
fn script_process(recorder: &Recorder) -> Process {
    recorder.process(recorder.n_processes() - 1)
}

/// Five standard deviations of the estimate of `bytes` (docs/sampling.md).
fn tolerance(bytes: f64, interval: u64) -> f64 {
    5.0 * (interval as f64 * bytes).sqrt()
}

fn check_leak(plan: Plan, python: &Python, vars: &[(&str, &str)]) -> Process {
    let (recorder, output) = run(plan, python, LEAK, vars);
    let (process, kept) = (script_process(&recorder), number(&output));
    let (seen, dropped) = (process.live_under("leak"), process.live_under("drop"));
    let margin = if plan.mode == MODE_EXACT { 0.02 * kept } else { tolerance(kept, plan.interval) };
    let what = format!("{} {vars:?}: kept {kept}, seen {seen}, dropped {dropped}", python.version());
    assert!((seen - kept).abs() < margin, "{what}");
    assert!(dropped < 20_000.0, "{what}");
    assert_eq!(process.n_lost, 0, "{what}");
    process
}

#[test]
fn sampled_leak_is_charged_to_the_function_that_allocates() {
    for python in pythons() {
        let process = check_leak(Plan::SAMPLED, &python, &[]);
        assert_eq!(process.n_unknown_frees, 0, "{}", python.version());
    }
}

#[test]
fn exact_leak_is_charged_to_the_function_that_allocates() {
    for python in pythons() {
        check_leak(Plan::EXACT, &python, &[]);
    }
}

#[test]
fn other_allocators_under_python_change_nothing_of_that() {
    let python = &pythons()[0];
    for plan in [Plan::SAMPLED, Plan::EXACT] {
        for name in ["malloc", "debug"] {
            check_leak(plan, python, &[("PYTHONMALLOC", name)]);
        }
        check_leak(plan, python, &[("MALLOC_PERTURB_", "165")]);
        let (recorder, output) = run(plan, python, LEAK, &[("PYTHONTRACEMALLOC", "1")]);
        // tracemalloc's own tables are charged to who makes them grow.
        let (seen, kept) = (script_process(&recorder).live_under("leak"), number(&output));
        assert!((kept..2.5 * kept).contains(&seen), "{seen} {kept}");
    }
}

/// Bytes that live and were given under `work`, as tracemalloc counts them in another run, whose free lists hold a little
/// more or less at that point.
const TRACED: &str = "
import os, sys
def work():
    global kept
    kept = [{'id': i, 'name': 'n%d' % i, 'v': [i * 0.5, str(i)]} for i in range(20_000)]
    kept.append(bytes(3_000_000))
    kept.append(' '.join(str(i) for i in range(50_000)))
    kept.append(set(range(5000)))
    for i in range(2000):
        kept[i] = None
if len(sys.argv) > 1:
    import tracemalloc
    first = work.__code__.co_firstlineno
    tracemalloc.start(20)
    work()
    traces = tracemalloc.take_snapshot().traces
    tracemalloc.stop()
    print(sum(t.size for t in traces if any(first < f.lineno <= first + 7 for f in t.traceback)))
else:
    work()
sys.stdout.flush()
os._exit(7)
";

#[test]
fn exact_bytes_equal_tracemalloc() {
    for python in pythons() {
        let mut oracle: Command = python.command();
        oracle.args(["-c", TRACED, "oracle"]).env("PYTHONHASHSEED", "0");
        let oracle = String::from_utf8(oracle.output().expect("python runs").stdout).expect("text");
        let (recorder, _) = run(Plan::EXACT, &python, TRACED, &[]);
        let seen = script_process(&recorder).live_under("work");
        let expected = number(&oracle);
        assert!((seen - expected).abs() <= 1e-3 * expected, "{}: {seen} {expected}", python.version());
    }
}

#[test]
fn objects_that_are_sampled_are_counted_by_python_as_before() {
    let script = "
import os, sys
kept = [b'%d' % i for i in range(100_000)]
del kept[::2]
print(sys.getallocatedblocks())
sys.stdout.flush()
os._exit(7)
";
    for python in pythons() {
        let plain = python.command().args(["-c", script]).output().expect("python runs").stdout;
        let plain = number(&String::from_utf8(plain).expect("text"));
        let (_, seen) = run(Plan { interval: 512, ..Plan::SAMPLED }, &python, script, &[]);
        assert!((number(&seen) - plain).abs() < 200.0, "{}: {seen} {plain}", python.version());
    }
}

#[test]
fn mappings_count_while_they_can_be_used() {
    let script = "
import ctypes, mmap, os, tempfile
def grown():
    m = mmap.mmap(-1, 1 << 20)
    m.resize(64 << 20)
    return m
def closed():
    mmap.mmap(-1, 16 << 20).close()
def reserved():
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    return libc.mmap(None, 10 << 30, 0, 0x4022, -1, 0)
def of_file():
    f = tempfile.TemporaryFile()
    f.truncate(1 << 20)
    m = mmap.mmap(f.fileno(), 1 << 20)
    m.resize(4 << 20)
    return m
kept = grown(), closed(), reserved(), of_file()
os._exit(7)
";
    let python = &pythons()[0];
    for plan in [Plan::SAMPLED, Plan::EXACT] {
        let (recorder, _) = run(plan, python, script, &[]);
        let process = script_process(&recorder);
        let mapped = |function| {
            let blocks = process.live.values().filter(|block| block.allocator == Allocator::Mmap);
            let there = blocks.filter(|block| process.functions(block.node).contains(&function));
            there.map(|block| block.size).sum::<u64>()
        };
        assert_eq!(mapped("grown"), 64 << 20);
        assert_eq!((mapped("closed"), mapped("reserved"), mapped("of_file")), (0, 0, 0));
    }
}

#[test]
fn forked_children_get_slots_of_their_own() {
    let script = "
import os
def parents(): return [bytes(1000) for _ in range(5000)]
def childs(): return [bytes(3000) for _ in range(1000)]
kept = parents()
pids = []
for k in range(3):
    pid = os.fork()
    if pid == 0:
        if k == 0: del kept[:2500]
        mine = childs()
        os._exit(0)
    pids.append(pid)
assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
os._exit(7)
";
    for python in pythons() {
        for plan in [Plan::SAMPLED, Plan::EXACT] {
            let (recorder, _) = run(plan, &python, script, &[]);
            let first = recorder.n_processes() - 4;
            let parent = recorder.process(first);
            assert_eq!(parent.marks, [1, 2, 3], "{}", python.version());
            let mark = |number| recorder.header(number, offset_of!(SlotHeader, fork_mark));
            let mut children: Vec<usize> = (first + 1..first + 4).collect();
            children.sort_by_key(|number| mark(*number));
            for (number, child) in children.iter().copied().zip(1..) {
                assert_eq!(mark(number), child);
                assert_eq!(recorder.header32(number, offset_of!(SlotHeader, parent_slot)), first as u32);
                let process = recorder.process(number);
                let expected = 1000.0 * 3033.0;
                let margin = if plan.mode == MODE_EXACT {
                    0.02 * expected
                } else {
                    tolerance(expected, plan.interval)
                };
                let seen = process.live_under("childs");
                assert!((seen - expected).abs() < margin, "{}: {seen}", python.version());
            }
            if plan.mode == MODE_EXACT {
                // The parent's blocks are unknown to a reader of this ring alone.
                let freed = recorder.process(children[0]).n_unknown_frees;
                assert!((2500..2700).contains(&freed), "{freed}");
            }
        }
    }
}

#[test]
fn programs_that_are_started_are_recorded_and_see_nothing_of_it() {
    let script = "
import os, subprocess, sys
look = 'import os; print(os.environ.get(\"LD_PRELOAD\"), os.environ.get(\"HEAPRAY_CONTROL\"))'
run = lambda **more: subprocess.run([sys.executable, '-c', look], capture_output=True, text=True, **more)
for answer in run(), run(close_fds=False), run(env={}), run(preexec_fn=lambda: None):
    assert answer.stdout == 'None None\\n', answer
    assert answer.stderr == '', answer
assert os.posix_spawn('/bin/true', ['true'], {}) > 0
os.wait()
os.execv(sys.executable, [sys.executable, '-c', look + '; os._exit(7)'])
";
    let python = &pythons()[0];
    let (recorder, output) = run(Plan::SAMPLED, python, script, &[]);
    assert_eq!(output, "None None\n");
    // The script, four children (one of them forked first), /bin/true, and what the script became.
    assert!(recorder.n_processes() >= 7, "{}", recorder.n_processes());
}

#[test]
fn threads_lose_nothing() {
    let script = "
import hashlib, json, os, signal, threading, zlib
signal.signal(signal.SIGALRM, lambda *_: [bytes(100) for _ in range(10)])
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
def work(seed):
    for i in range(150):
        data = zlib.decompress(zlib.compress(bytes(range(256)) * 80))
        json.loads(json.dumps([{'a': i, 'b': [1, 2, 3]}] * 20))
for _ in range(10):
    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
signal.setitimer(signal.ITIMER_REAL, 0)
print(len(threading.enumerate()))
import sys; sys.stdout.flush()
os._exit(7)
";
    let python = &pythons()[0];
    for plan in [Plan::SAMPLED, Plan::EXACT] {
        let (recorder, _) = run(plan, python, script, &[]);
        let process = script_process(&recorder);
        let passed = [offset_of!(SlotHeader, contended), offset_of!(SlotHeader, reentered)]
            .map(|offset| recorder.header(0, offset));
        assert_eq!(process.n_lost, 0, "{} {passed:?}", plan.mode);
        // A sampled free is told where the address may be a sample's: the reader knows better.
        assert!(plan.mode == Plan::SAMPLED.mode || process.n_unknown_frees == 0, "{passed:?}");
        assert!(process.live_under("work") < 1e6, "{}", process.live_under("work"));
        assert_eq!(recorder.header(0, offset_of!(SlotHeader, lost_frees)), 0);
    }
}

#[test]
fn paused_agents_record_nothing_until_they_are_told() {
    let (recorder, _) = run(Plan { recording: 0, ..Plan::SAMPLED }, &pythons()[0], LEAK, &[]);
    let process = script_process(&recorder);
    assert_eq!((process.states.as_slice(), process.live.len()), (&[0][..], 0));
    let (recorder, _) = run(Plan { recording: 0, ..Plan::EXACT }, &pythons()[0], LEAK, &[]);
    let process = script_process(&recorder);
    assert_eq!((process.states.as_slice(), process.live.len(), process.n_unknown_frees), (&[0][..], 0, 0));
}

#[test]
fn program_goes_on_without_its_collector() {
    let python = &pythons()[0];
    let recorder =
        Recorder::new(Plan { ring_bytes: 1 << 16, flags: FLAG_ALL_EVENTS | FLAG_FOLLOW_EXEC, ..Plan::EXACT });
    let output = recorder.command(python).args(["-c", LEAK]).output().expect("python runs");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(recorder.header32(0, offset_of!(SlotHeader, fault)), FAULT_NO_HEARTBEAT);
    assert!(recorder.header(0, offset_of!(SlotHeader, lost_events)) > 0);
}

#[test]
fn what_goes_back_after_the_recording_is_not_lost() {
    let script = "kept = [bytes(5000) for _ in range(2000)]\nprint('ready', flush=True)\ninput()\ndel kept\n";
    for plan in [Plan { interval: 4096, ..Plan::SAMPLED }, Plan::EXACT] {
        let mut recorder = Recorder::new(plan);
        let mut command = recorder.command(&pythons()[0]);
        let mut program = command
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let mut line = String::new();
        let output = program.stdout.take().expect("stdout is piped");
        BufReader::new(output).read_line(&mut line).expect("it speaks");
        recorder.drain();
        recorder.put32(offset_of!(Control, stop), 1);
        recorder.beat();
        program.stdin.take().expect("stdin is piped").write_all(b"\n").expect("it reads");
        assert!(program.wait().expect("it ends").success());
        let offsets = [offset_of!(SlotHeader, lost_events), offset_of!(SlotHeader, lost_frees)];
        assert_eq!(offsets.map(|offset| recorder.header(0, offset)), [0, 0], "mode {}", plan.mode);
    }
}

#[test]
fn libraries_that_come_and_go_are_patched_each_time() {
    let script = "
import _ctypes, ctypes, os, sys
import zlib
path = zlib.__file__ if getattr(zlib, '__file__', None) else None
import _json
path = path or _json.__file__
for _ in range(200):
    handle = _ctypes.dlopen(path, os.RTLD_LAZY | os.RTLD_LOCAL)
    try:
        _ctypes.dlsym(handle, 'free_nothing_of_that_name')
    except OSError:
        pass
    _ctypes.dlclose(handle)
os._exit(7)
";
    run(Plan::SAMPLED, &pythons()[0], script, &[]);
    run(Plan::EXACT, &pythons()[0], script, &[]);
}
