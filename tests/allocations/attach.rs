//! A process that runs already is recorded without a restart, and is as before afterwards: however the recording ends, no
//! hook and no memory of ours is left in it, and it goes on.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use heapray_capture::{Recording, read_recording};
use heapray_testkit::{Python, Target};
use heapray_tests::{Scratch, heapray, heapray_command, one_line_error};

use crate::claims::outer_pythons;

/// Allocates on demand: a thousand blocks of 733 bytes a line.
const GROWS: &str = r#"
import sys
kept = []
def grow():
    kept.append([bytes(700) for _ in range(1000)])
print("ready", flush=True)
for line in sys.stdin:
    grow()
    print("grown", flush=True)
"#;

/// A parent and a child that it forked, which both do so.
const FAMILY: &str = r#"
import os, sys
(down, ask), (answer, up) = os.pipe(), os.pipe()
child = os.fork()
kept = []
def grow():
    kept.append([bytes(700) for _ in range(1000)])
if child == 0:
    os.close(ask)
    while os.read(down, 1):
        grow()
        os.write(up, b"1")
    os._exit(0)
print(child, flush=True)
for line in sys.stdin:
    grow()
    os.write(ask, b"1")
    os.read(answer, 1)
    print("grown", flush=True)
"#;

/// Greenlets, which have their stacks copied away while they are switched out, with all that earlier calls have left there.
const GREENLETS: &str = r#"
import sys
sys.path.insert(0, "WHEELS")
from greenlet import getcurrent, greenlet
main = getcurrent()
kept = []
def deeper(n):
    return deeper(n - 1) if n else kept.append([str(n) * 40 for n in range(50)])
def body():
    while True:
        list(map(deeper, range(20)))
        list(map(lambda _: main.switch(), [0]))
several = [greenlet(body) for _ in range(40)]
print("ready", flush=True)
for line in sys.stdin:
    for one in several: one.switch()
    print("grown", flush=True)
"#;

/// Children that allocate without a pause until their parent ends.
const BUSY: &str = r#"
import os, select, sys
watched, held = os.pipe()
for _ in range(3):
    if os.fork() == 0:
        os.close(held)
        live = [None] * 3000
        while not select.select([watched], [], [], 0)[0]:
            for n in range(3000): live[n] = [n, str(n)]
        os._exit(0)
print("ready", flush=True)
for line in sys.stdin: print("alive", flush=True)
"#;

/// A parent that ends once it has forked, and its child, which goes on.
const ORPHAN: &str = r#"
import os, sys
print("ready", flush=True)
sys.stdin.readline()
if os.fork(): os._exit(0)
print(os.getpid(), flush=True)
kept = []
for line in sys.stdin:
    kept.append([bytes(700) for _ in range(1000)])
    print("grown", flush=True)
"#;

/// How long a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(60);

const EXACT: &[&str] = &["--mode", "exact"];

/// `heapray attach`, recording: it has said so.
pub(crate) struct Attach {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Attach {
    pub(crate) fn start(target: &Target, file: &str, options: &[&str]) -> Attach {
        let pid = target.pid().to_string();
        let mut command = heapray_command(["attach", &pid, "-o", file]);
        let mut child = command.args(options).stdout(Stdio::null()).spawn().expect("heapray starts");
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let mut attach = Attach { child, stderr };
        let line = attach.line();
        assert!(line.contains(&format!("recording process {pid}")), "{line}");
        attach
    }

    /// What it says next.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).expect("heapray prints UTF-8");
        line
    }

    /// Waits for its end; answers its status and what else it said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let said = self.stderr.lines().map_while(Result::ok).collect::<Vec<_>>().join("\n");
        (self.child.wait().expect("heapray can be waited for").code(), said)
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = std::process::Command::new("kill").args([name, &pid]).status().expect("kill runs");
        assert!(status.success(), "heapray is there");
    }
}

struct Scene {
    target: Target,
    scratch: Scratch,
    name: String,
}

impl Scene {
    fn new(python: &Python) -> Scene {
        let mut target = Target::start(python, GROWS);
        assert_eq!(target.line(), "ready");
        Scene { target, scratch: Scratch::new(), name: python.version() }
    }

    fn file(&self) -> String {
        self.scratch.file("attached.hr").to_str().expect("the temporary folder is UTF-8").to_owned()
    }

    fn grow(&mut self) {
        assert_eq!(self.target.ask("go"), "grown", "{}", self.name);
    }

    fn read(&self) -> Recording {
        let bytes = fs::read(self.file()).expect("the file was written");
        read_recording("attached.hr", &bytes).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Blocks of Python's that `grow` allocated in the recording.
    fn grown(&self) -> f64 {
        let recording = self.read();
        let is_grow = |node: &u32| {
            let name = recording.text(recording.frame(*node).function);
            name == "grow" || name == "grow.<locals>.<listcomp>"
        };
        let rows = recording.tasks[0].slices.iter().flat_map(|slice| slice.allocs);
        let of_grow = rows.filter(|row| recording.stack(row.node).any(|node| is_grow(&node)));
        of_grow.filter(|row| row.allocator >= heapray_wire::allocator::PYTHON_RAW).map(|row| row.bytes).sum()
    }

    /// Nothing of ours is mapped in the target, and it goes on.
    fn assert_as_before(&mut self) {
        self.grow();
        self.assert_clean(self.target.pid());
    }

    fn assert_clean(&self, pid: u32) {
        assert!(is_clean(pid), "{}: something of ours is mapped in process {pid}", self.name);
    }
}

fn is_clean(pid: u32) -> bool {
    !fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs").contains("heapray")
}

fn bytes_of(n: u32) -> std::ops::Range<f64> {
    let bytes = f64::from(n) * 733_000.0;
    bytes * 0.99..bytes * 1.1 + 50_000.0
}

#[test]
fn what_is_allocated_while_attached_is_recorded_and_nothing_is_left() {
    for python in outer_pythons() {
        let mut scene = Scene::new(python);
        scene.grow();
        let attach = Attach::start(&scene.target, &scene.file(), EXACT);
        scene.grow();
        // Nobody else may write into the file meanwhile.
        let file = scene.file();
        one_line_error(&heapray(["run", "-f", "-o", &file, "--", "true"]), &[&file, "another heapray"]);
        scene.grow();
        let pid = scene.target.pid().to_string();
        let detached = heapray(["detach", &pid]);
        assert_eq!((detached.status, detached.stderr.as_str()), (Some(0), ""), "{}", scene.name);
        let (status, said) = attach.end();
        assert_eq!(status, Some(0), "{}: {said}", scene.name);
        scene.assert_as_before();
        let (grown, expected) = (scene.grown(), bytes_of(2));
        assert!(expected.contains(&grown), "{}: {grown} of {expected:?}", scene.name);
        let end = scene.read().tasks[0].end.clone().expect("its end is told");
        assert_eq!(end.reason, "detached", "{}", scene.name);
    }
}

/// A word of an earlier native walk in a copied stack is not the address of a function that somebody has kept.
#[test]
fn copied_stacks_keep_no_memory_of_ours() {
    for python in outer_pythons() {
        let wheels = python.wheels();
        let wheels = wheels.to_str().expect("a path in UTF-8");
        let mut target = Target::start(python, &GREENLETS.replace("WHEELS", wheels));
        assert_eq!(target.line(), "ready", "greenlet's wheel is there (make pythons)");
        let mut scene = Scene { target, scratch: Scratch::new(), name: python.version() };
        scene.grow();
        let attach = Attach::start(&scene.target, &scene.file(), &["--mode", "exact", "--native"]);
        (0..3).for_each(|_| scene.grow());
        let detached = heapray(["detach", &scene.target.pid().to_string()]);
        assert_eq!((detached.status, detached.stderr.as_str()), (Some(0), ""), "{}", scene.name);
        let (status, said) = attach.end();
        assert!(status == Some(0) && !said.contains("memory stays"), "{}: {said}", scene.name);
        scene.assert_as_before();
    }
}

/// A family of which the parent is recorded, and the child about to be: the scene, the child, and heapray.
fn family(python: &Python) -> (Scene, u32, Attach) {
    let mut target = Target::start(python, FAMILY);
    let child = target.line().parse().expect("a pid");
    let mut scene = Scene { target, scratch: Scratch::new(), name: python.version() };
    scene.grow();
    let attach = Attach::start(&scene.target, &scene.file(), EXACT);
    (scene, child, attach)
}

/// Waits until the child is recorded as well.
fn wait_for_child(attach: &mut Attach, child: u32) {
    let line = attach.line();
    assert!(line.contains(&format!("its children {child} too")), "{line}");
}

#[test]
fn children_that_run_already_are_recorded_too() {
    for python in outer_pythons() {
        let (mut scene, child, mut attach) = family(python);
        wait_for_child(&mut attach, child);
        scene.grow();
        scene.grow();
        // One name of the recording is as good as the other.
        let detached = heapray(["detach", &child.to_string()]);
        assert_eq!((detached.status, detached.stderr.as_str()), (Some(0), ""), "{}", scene.name);
        assert_eq!(attach.end().0, Some(0), "{}", scene.name);
        scene.assert_as_before();
        scene.assert_clean(child);
        let recording = scene.read();
        let pids: Vec<_> = recording.tasks.iter().filter_map(|task| task.int("pid")).collect();
        assert_eq!(pids, [i64::from(scene.target.pid()), i64::from(child)], "{}", scene.name);
        for task in &recording.tasks {
            let bytes: f64 = task.slices.iter().flat_map(|slice| slice.allocs).map(|row| row.bytes).sum();
            assert!(bytes > bytes_of(2).start, "{}: {bytes} of process {:?}", scene.name, task.int("pid"));
        }
    }
}

#[test]
fn a_child_is_recorded_beyond_its_parents_end() {
    for python in outer_pythons() {
        let mut target = Target::start(python, ORPHAN);
        assert_eq!(target.line(), "ready");
        let mut scene = Scene { target, scratch: Scratch::new(), name: python.version() };
        let attach = Attach::start(&scene.target, &scene.file(), EXACT);
        let child: u32 = scene.target.ask("go").parse().expect("a pid");
        for _ in 0..3 {
            scene.grow();
        }
        let detached = heapray(["detach", &child.to_string()]);
        assert_eq!((detached.status, detached.stderr.as_str()), (Some(0), ""), "{}", scene.name);
        assert_eq!(attach.end().0, Some(0), "{}", scene.name);
        scene.grow();
        scene.assert_clean(child);
        let recording = scene.read();
        let task = recording.tasks.iter().find(|task| task.int("pid") == Some(child.into()));
        let task = task.unwrap_or_else(|| {
            panic!(
                "{}: {child} is recorded: {:?}",
                scene.name,
                recording.tasks.iter().map(|t| (t.int("pid"), t.end.clone())).collect::<Vec<_>>()
            )
        });
        let bytes: f64 = task.slices.iter().flat_map(|slice| slice.allocs).map(|row| row.bytes).sum();
        assert!(bytes > bytes_of(3).start, "{}: {bytes}", scene.name);
        assert_eq!(task.end.as_ref().map(|end| end.reason.as_str()), Some("detached"), "{}", scene.name);
    }
}

/// The agents are taken out one after the other; the ring of a process that is busy meanwhile fills within a tenth of a second.
#[test]
fn busy_processes_wait_for_nobody_while_the_recording_ends() {
    for python in outer_pythons() {
        let mut target = Target::start(python, BUSY);
        assert_eq!(target.line(), "ready");
        let mut scene = Scene { target, scratch: Scratch::new(), name: python.version() };
        let mut attach = Attach::start(&scene.target, &scene.file(), EXACT);
        let line = attach.line();
        assert!(line.contains("its children"), "{}: {line}", scene.name);
        let detached = heapray(["detach", &scene.target.pid().to_string()]);
        assert_eq!((detached.status, detached.stderr.as_str()), (Some(0), ""), "{}", scene.name);
        assert_eq!(attach.end().0, Some(0), "{}", scene.name);
        assert_eq!(scene.target.ask("still there?"), "alive");
        let recording = scene.read();
        assert_eq!(recording.tasks.len(), 4, "{}", scene.name);
        for task in &recording.tasks {
            let said = ["lost_events", "lost_frees", "agent_fault"].map(|name| task.int(name));
            assert_eq!(said, [Some(0); 3], "{} process {:?}", scene.name, task.int("pid"));
        }
    }
}

/// While a debugger has the process, its agent cannot be taken out: everybody says so at once, and how to go on.
#[test]
fn an_agent_that_a_debugger_keeps_in_is_told_and_comes_out_later() {
    for python in outer_pythons() {
        let mut scene = Scene::new(python);
        let attach = Attach::start(&scene.target, &scene.file(), EXACT);
        scene.grow();
        let pid = scene.target.pid().to_string();
        let seize = format!(
            "import ctypes, sys\nlibc = ctypes.CDLL(None, use_errno=True)\n\
             assert libc.ptrace(0x4206, {pid}, None, None) == 0, ctypes.get_errno()\n\
             print('ready', flush=True)\nsys.stdin.read()"
        );
        // PTRACE_SEIZE, ptrace(2).
        let mut tracer = Target::start(python, &seize);
        assert_eq!(tracer.line(), "ready");
        let by = tracer.pid().to_string();
        one_line_error(&heapray(["detach", &pid]), &[&pid, "still there, idle"]);
        let (status, said) = attach.end();
        assert!(status == Some(2) && said.contains(&format!("traced by process {by}")), "{status:?}: {said}");
        assert!(said.contains(&format!("then heapray detach {pid} takes it out")), "{said}");
        one_line_error(&heapray(["detach", &pid]), &[&pid, &by]);
        scene.grow();
        drop(tracer);
        let detached = heapray(["detach", &pid]);
        assert_eq!((detached.status, detached.stderr.as_str()), (Some(0), ""), "{}", scene.name);
        scene.assert_as_before();
        assert!(bytes_of(1).contains(&scene.grown()), "{}: {}", scene.name, scene.grown());
    }
}

#[test]
fn a_killed_collector_leaves_nothing_in_children_either() {
    // Also in the middle of coming into the child, and of taking the agents out, one after the other.
    let moments = [(true, false), (false, false), (true, true)];
    let all = outer_pythons().into_iter().flat_map(|python| moments.map(|moment| (python, moment)));
    for (python, (is_in, is_leaving)) in all {
        let (mut scene, child, mut attach) = family(python);
        if is_in {
            wait_for_child(&mut attach, child);
            scene.grow();
        }
        if is_leaving {
            attach.signal("-INT");
        }
        attach.signal("-KILL");
        let status = attach.end().0;
        assert!(status.is_none() || is_leaving, "{}: {status:?}", scene.name);
        for pid in [scene.target.pid(), child] {
            let detached = heapray(["detach", &pid.to_string()]);
            let is_gone = detached.status == Some(0) || detached.stderr.contains("is not being recorded");
            assert!(is_gone, "{}: {detached:?}", scene.name);
            // The guardian that was on its way into the child may still be on its way out.
            let began = Instant::now();
            while !is_clean(pid) && began.elapsed() < PATIENCE {}
            scene.assert_clean(pid);
        }
        scene.assert_as_before();
    }
}

#[test]
fn recording_is_switched_off_and_on() {
    for python in outer_pythons() {
        let mut scene = Scene::new(python);
        let pid = scene.target.pid().to_string();
        let options = [EXACT, &["--start-paused"]].concat();
        let attach = Attach::start(&scene.target, &scene.file(), &options);
        scene.grow();
        for (word, told) in [("on", "is on\n"), ("on", "is on already\n")] {
            let answer = heapray([word, &pid]);
            assert!(answer.status == Some(0) && answer.stderr.ends_with(told), "{}: {answer:?}", scene.name);
        }
        scene.grow();
        assert_eq!(heapray(["off", &pid]).status, Some(0), "{}", scene.name);
        scene.grow();
        let n_pauses = || {
            let told = heapray(["top", &pid, "--json"]).json();
            told["recording"]["paused"].as_array().map_or(0, Vec::len)
        };
        let began = Instant::now();
        while n_pauses() != 2 {
            assert!(
                began.elapsed() < PATIENCE,
                "{}: the live recording does not say that it is off",
                scene.name
            );
        }
        attach.signal("-INT");
        assert_eq!(attach.end().0, Some(0), "{}", scene.name);
        scene.assert_as_before();
        let told = heapray(["top", &scene.file(), "--json"]).json();
        let paused = told["recording"]["paused"].as_array().expect("pauses").clone();
        assert!(
            paused.len() == 2 && paused[0][0] == 0.0 && paused[0][1].as_f64() < paused[1][0].as_f64(),
            "{paused:?}"
        );
        assert!(
            heapray(["top", &scene.file()])
                .stdout
                .contains("switched off, so nothing is recorded of 0.0 s to")
        );
        let (grown, expected) = (scene.grown(), bytes_of(1));
        assert!(expected.contains(&grown), "{}: {grown} of {expected:?}", scene.name);
    }
}

#[test]
fn a_killed_collector_leaves_nothing_in_the_target() {
    for python in outer_pythons() {
        let mut scene = Scene::new(python);
        let attach = Attach::start(&scene.target, &scene.file(), &[]);
        scene.grow();
        attach.signal("-KILL");
        assert_eq!(attach.end().0, None, "{}", scene.name);
        // The guardian takes the agent out; `detach` waits for that, or does it.
        let pid = scene.target.pid().to_string();
        let detached = heapray(["detach", &pid]);
        let is_gone = detached.status == Some(0) || detached.stderr.contains("is not being recorded");
        assert!(is_gone, "{}: {detached:?}", scene.name);
        scene.assert_as_before();
        assert!(scene.read().tasks.len() <= 1, "{}: the file is readable", scene.name);
    }
}

#[test]
fn a_target_that_ends_ends_the_recording() {
    for python in outer_pythons() {
        let mut scene = Scene::new(python);
        let attach = Attach::start(&scene.target, &scene.file(), EXACT);
        scene.grow();
        let Scene { target, scratch, name } = scene;
        drop(target);
        let (status, said) = attach.end();
        assert_eq!(status, Some(0), "{name}: {said}");
        let bytes = fs::read(scratch.file("attached.hr")).expect("the file was written");
        let recording = read_recording("attached.hr", &bytes).expect("it is readable");
        assert!(recording.losses.is_empty() && recording.tasks[0].end.is_some(), "{name}");
    }
}

#[test]
fn what_cannot_be_attached_to_is_one_line() {
    let scratch = Scratch::new();
    let file = scratch.file("none.hr");
    let file = file.to_str().expect("the temporary folder is UTF-8");
    one_line_error(&heapray(["attach", "2147483647", "-o", file]), &["2147483647"]);
    one_line_error(&heapray(["on", "2147483647"]), &["2147483647"]);
    let own = std::process::id().to_string();
    one_line_error(&heapray(["attach", &own, "-o", file]), &[&own, "Python"]);
    one_line_error(&heapray(["detach", &own]), &[&own, "not being recorded"]);
    assert!(!scratch.file("none.hr").exists(), "no file is left of a recording that was not made");
    fs::write(file, "of before").expect("the temporary folder is writable");
    one_line_error(&heapray(["attach", "2147483647", "-f", "-o", file]), &["2147483647"]);
    let mistyped = heapray(["run", "-f", "-o", file, "--", "no-such-program"]);
    assert!(mistyped.status == Some(127) && mistyped.stderr.contains("no-such-program"), "{mistyped:?}");
    assert_eq!(fs::read(file).expect("it is there"), b"of before", "nor is one lost");
}
