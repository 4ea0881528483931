//! heapray leaves a process as it found it: nothing lost under load, nothing left behind however heapray ends.

use std::process::Child;
use std::time::{Duration, Instant};

use heapray_testkit::{Target, find_pythons};
use heapray_tests::{
    Dice, Footprint, Load, Scratch, Service, Totals, fixed_copy, heapray, heapray_command, is_full, record,
};

/// A target that is busy in one thread, has a child and a socket pair, and answers questions about itself.
const TARGET: &str = r#"
import os, socket, subprocess, sys, threading
ours, theirs = socket.socketpair()
child = subprocess.Popen(["sleep", "1000"])
heap = [{"n": n, "text": str(n)} for n in range(50_000)]
ended = False
def spin():
    n = 0
    while not ended:
        n = (n + 1) % 251
thread = threading.Thread(target=spin)
thread.start()
print(child.pid)
for line in sys.stdin:
    if line == "waitpid\n":
        print(os.waitpid(-1, os.WNOHANG))
    elif line == "socket\n":
        ours.send(b"x")
        print(theirs.recv(1))
    elif line == "end\n":
        break
ended = True
thread.join()
child.kill()
child.wait()
sys.exit(7)
"#;

#[test]
fn snapshots_of_a_busy_service_lose_no_request() {
    let n = if is_full() { 1000 } else { 50 };
    // The service that does not leak: each snapshot is then as large as the first.
    let scratch = Scratch::new();
    let service = Service::start("sync", &fixed_copy(&scratch));
    let file = scratch.file("busy.snapshot");
    let load = Load::start(service.port, 3, Duration::from_millis(100));
    load.wait_for(50);
    let pid = service.worker().to_string();
    let began = Instant::now();
    for i in 0..n {
        let taken = heapray(["snapshot".as_ref(), pid.as_ref(), "-o".as_ref(), file.as_os_str()]);
        assert_eq!(taken.status, Some(0), "snapshot {i}: {taken:?}");
    }
    let seconds = began.elapsed().as_secs_f64();
    let totals = load.stop();
    if is_full() {
        record("under-load", "Snapshots of a service under load", &report(n, seconds, totals));
    }
    assert_eq!(totals.failed, 0, "no request is lost: {totals:?}");
    assert!(totals.answered > 100, "the service was busy: {totals:?}");
}

#[test]
fn killing_heapray_at_any_moment_leaves_the_target_untouched() {
    let n = if is_full() { 200 } else { 20 };
    let mut target = Target::start(newest_python(), TARGET);
    let own_child: u32 = target.line().parse().expect("the target prints its child's pid");
    let scratch = Scratch::new();
    let words =
        ["snapshot".into(), target.pid().to_string().into(), "-o".into(), scratch.file("s").into_os_string()];
    let before = Footprint::of(target.pid());
    assert_eq!(before.children, [own_child]);
    let whole = timed(heapray_command(&words).spawn().expect("heapray starts"));
    assert_eq!(settled(&target, &before), before, "a whole run leaves the target untouched");
    let mut dice = Dice::new(0x6865_6170);
    for i in 0..n {
        let moment = Duration::from_micros(dice.below(whole.as_micros() as u64 * 11 / 10));
        kill_after(heapray_command(&words).spawn().expect("heapray starts"), moment);
        let after = settled(&target, &before);
        assert_eq!(after, before, "run {i}, killed after {moment:?} of {whole:?}");
        assert_eq!(target.ask("waitpid"), "(0, 0)", "run {i}: the target has its own child and no other");
        assert_eq!(target.ask("socket"), "b'x'", "run {i}: the target's sockets work");
    }
    target.say("end");
    assert_eq!(target.wait().code(), Some(7), "the target ends as it would have");
    if is_full() {
        let text = format!(
            "heapray killed (SIGKILL) {n} times at seeded moments of a snapshot that takes {} ms: after each, the target's \
             mappings, descriptors, children, threads and signal state were as before, its `waitpid(-1)` saw its own child \
             and no other, its sockets worked; at the end its exit status was its own.",
            whole.as_millis()
        );
        record("killed", "heapray killed at random moments", &text);
    }
}

fn report(n: u32, seconds: f64, totals: Totals) -> String {
    format!(
        "{n} snapshots, one after the other in {seconds:.0} s, of one gunicorn worker that answers requests from three \
         connections meanwhile: {} requests answered, {} lost, the slowest answer after {} ms.",
        totals.answered,
        totals.failed,
        totals.slowest.as_millis()
    )
}

/// Waits until what heapray left has been cleaned up by its guardian, ten seconds at most; the last look.
fn settled(target: &Target, wanted: &Footprint) -> Footprint {
    let began = Instant::now();
    loop {
        let now = Footprint::of(target.pid());
        if now == *wanted || began.elapsed() > Duration::from_secs(10) {
            return now;
        }
        std::thread::yield_now();
    }
}

fn timed(mut child: Child) -> Duration {
    let began = Instant::now();
    let status = child.wait().expect("heapray can be waited for");
    assert!(status.success(), "heapray reads the target: {status}");
    began.elapsed()
}

/// The moment of the kill is what is tested, so it is waited for.
fn kill_after(mut child: Child, moment: Duration) {
    std::thread::sleep(moment);
    child.kill().expect("heapray can be killed, or has ended");
    child.wait().expect("heapray can be waited for");
}

fn newest_python() -> &'static heapray_testkit::Python {
    let here = find_pythons().iter().rfind(|python| python.root.is_none());
    here.expect("a supported Python is installed")
}
