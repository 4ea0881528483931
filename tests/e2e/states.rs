//! Whatever a process is doing when heapray asks: the answer is right, and the process goes on doing it.

use std::process::Command;

use heapray_testkit::{Python, Target, find_pythons};
use heapray_tests::{Answer, Footprint, heapray};

/// Every target holds these; what follows says what it does meanwhile. `go()` is the last call.
const HEAP: &str = "
import gc, os, signal, socket, sys, threading, time
class Widget:
    def __init__(self, n): self.n = n
widgets = [Widget(n) for n in range(777)]
def ready(): print('ready', flush=True)
";

#[test]
fn idle_in_a_read() {
    found(newest(), "ready()\nsys.stdin.readline()");
}

#[test]
fn asleep() {
    found(newest(), "ready()\ntime.sleep(1000)");
}

#[test]
fn busy_in_python() {
    found(newest(), "ready()\nwhile True: n = sum(i for i in range(1000))");
}

#[test]
fn holding_the_gil_in_c() {
    found(newest(), "ready()\nsum(range(10**13))");
}

#[test]
fn collecting_garbage_all_the_time() {
    found(newest(), "pile = [[n] for n in range(200_000)]\nready()\nwhile True: gc.collect()");
}

#[test]
fn changing_its_dicts_and_lists_all_the_time() {
    let churn = "
changing, n = {}, 0
ready()
while True:
    n += 1
    changing[n % 5000] = [n] * (n % 50)
    if n % 7919 == 0: changing = {}
";
    found(newest(), churn);
}

#[test]
fn starting_and_ending_threads_all_the_time() {
    let churn = "
def start():
    while True:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
threading.Thread(target=start, daemon=True).start()
ready()
start()
";
    found(newest(), churn);
}

#[test]
fn with_five_thousand_threads() {
    let many = "
end = threading.Event()
threading.stack_size(65536)
try:
    for _ in range(5000): threading.Thread(target=end.wait, daemon=True).start()
except RuntimeError:  # a limit of this machine: then as many as it allows
    pass
ready()
end.wait()
";
    found(newest(), many);
}

#[test]
fn stopped_by_a_signal_stays_stopped() {
    let mut target =
        start(newest(), "ready()\nos.kill(os.getpid(), signal.SIGSTOP)\nready()\nsys.stdin.readline()");
    let pid = target.pid();
    while state(pid) != 'T' {
        std::thread::yield_now();
    }
    is_found(&ask(pid));
    // Let go by its tracer, it is awake in the kernel for some microseconds until it stops again.
    while state(pid) != 'T' {
        std::thread::yield_now();
    }
    let status = Command::new("kill").args(["-CONT", &pid.to_string()]).status().expect("kill runs");
    assert!(status.success());
    assert_eq!(target.line(), "ready", "it goes on when its owner says so");
}

#[test]
fn in_place_changes_nothing_either() {
    let target = start(newest(), "ready()\nsys.stdin.readline()");
    let before = Footprint::of(target.pid());
    is_found(&heapray(["find", &target.pid().to_string(), "type=__main__.Widget", "--json", "--in-place"]));
    assert_eq!(Footprint::of(target.pid()), before);
}

#[test]
fn on_every_python() {
    for python in find_pythons() {
        let target = start(python, "ready()\nsys.stdin.readline()");
        let before = Footprint::of(target.pid());
        is_found(&ask(target.pid()));
        assert_eq!(Footprint::of(target.pid()), before, "Python {}", python.version());
    }
}

#[test]
fn peers_of_its_sockets_notice_nothing() {
    let talk = "
ours, theirs = socket.socketpair()
def echo():
    while data := theirs.recv(100): theirs.send(data)
threading.Thread(target=echo, daemon=True).start()
ready()
for line in sys.stdin:
    ours.send(b'ping')
    print(ours.recv(100), flush=True)
";
    let mut target = start(newest(), talk);
    for _ in 0..5 {
        is_found(&ask(target.pid()));
        assert_eq!(target.ask("talk"), "b'ping'");
    }
}

#[test]
fn in_a_namespace_of_its_own() {
    let script = format!("{HEAP}ready()\nsys.stdin.readline()");
    let exe = newest().exe.clone();
    let outer = format!(
        "import subprocess, sys\n\
         p = subprocess.Popen(['unshare', '--pid', '--mount', '--fork', '--kill-child', '--mount-proc', {exe:?}, '-c', {script:?}])\n\
         sys.stdin.readline()"
    );
    if !may_unshare() {
        return; // without the right to make namespaces there is nothing to ask
    }
    let mut target = Target::start(newest(), &outer);
    assert_eq!(target.line(), "ready");
    let unshare = children(target.pid())[0];
    is_found(&ask(children(unshare)[0]));
    target.say("end");
}

/// The newest interpreter of this machine's own root.
fn newest() -> &'static Python {
    find_pythons().iter().rfind(|python| python.root.is_none()).expect("a supported Python is installed")
}

fn start(python: &Python, script: &str) -> Target {
    let mut target = Target::start(python, &format!("{HEAP}{script}"));
    assert_eq!(target.line(), "ready");
    target
}

fn ask(pid: u32) -> Answer {
    heapray(["find", &pid.to_string(), "type=__main__.Widget", "--json"])
}

/// Asks three times while `script` runs.
fn found(python: &Python, script: &str) {
    let target = start(python, script);
    for _ in 0..3 {
        is_found(&ask(target.pid()));
        assert_ne!(state(target.pid()), 'Z', "the target lives");
    }
}

fn is_found(answer: &Answer) {
    assert_eq!(answer.status, Some(0), "{answer:?}");
    assert_eq!(answer.json()["n_matches"], 777, "{answer:?}");
}

/// The letter of proc_pid_stat(5): `T` is stopped by a signal, `Z` a zombie.
fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the target runs");
    let rest = stat.rsplit(") ").next().expect("the name ends");
    rest.chars().next().expect("the state follows")
}

fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(path).expect("the process runs");
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn may_unshare() -> bool {
    let status =
        Command::new("unshare").args(["--pid", "--mount", "--fork", "--mount-proc", "true"]).status();
    status.is_ok_and(|status| status.success())
}
