//! A program that is started with the agent behaves as if it had been started without.

mod support;

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Output, Stdio};

use support::{example, wait_until};

const SIGINT: i32 = 2;
const SIGUSR1: i32 = 10;
const SIGTERM: i32 = 15;
const SIGSTOP: i32 = 19;
const SIGCONT: i32 = 18;
const SIGTSTP: i32 = 20;

fn stand(words: &[&str]) -> Command {
    let mut command = Command::new(example("stand"));
    command.args(words).stdin(Stdio::null());
    command
}

fn run(words: &[&str]) -> Output {
    stand(words).output().expect("the example is built: run all tests of this package")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Starts a program that writes a line when it is ready.
fn start(words: &[&str]) -> (Child, String) {
    let mut child = stand(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("built");
    let line = line(&mut child);
    (child, line)
}

fn line(child: &mut Child) -> String {
    let mut out = Vec::new();
    let mut byte = [0];
    while child.stdout.as_mut().expect("piped").read(&mut byte).expect("readable") == 1 && byte[0] != b'\n' {
        out.push(byte[0]);
    }
    text(&out)
}

fn program_of(child: &Child) -> i32 {
    *heapray_attach::tree(child.id().cast_signed()).get(1).expect("it has started something")
}

fn state(pid: i32) -> char {
    heapray_linux::stat(pid).map_or('X', |stat| stat.state)
}

#[test]
fn output_and_status_pass_through() {
    let output = run(&["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout), text(&output.stderr)),
        (Some(7), "out\n".into(), "err\n".into())
    );
    assert_eq!(run(&["true"]).status.code(), Some(0));
}

#[test]
fn the_program_sees_the_environment_that_it_would_have_seen() {
    let plain = Command::new("/usr/bin/python3")
        .args(["-c", "import os; print(sorted(os.environ.items()))"])
        .output()
        .expect("a Python is installed");
    let with = run(&["/usr/bin/python3", "-c", "import os; print(sorted(os.environ.items()))"]);
    assert_eq!(text(&with.stdout), text(&plain.stdout), "{}", text(&with.stderr));
}

#[test]
fn a_death_by_signal_is_ours_too() {
    for signal in [SIGTERM, 9, 6, 11] {
        let output = run(&["sh", "-c", &format!("kill -{signal} $$")]);
        assert_eq!(output.status.signal(), Some(signal));
    }
}

#[test]
fn what_cannot_be_started_says_why() {
    let output = run(&["heapray-no-such-program"]);
    assert_eq!(output.status.code(), Some(127));
    assert!(
        text(&output.stderr).contains("cannot start heapray-no-such-program"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(run(&["/"]).status.code(), Some(126));
}

#[test]
fn standard_input_is_the_programs() {
    let (mut child, ready) = start(&["sh", "-c", "echo ready; read word; echo got $word"]);
    assert_eq!(ready, "ready");
    child.stdin.take().expect("piped").write_all(b"hello\n").expect("it reads");
    assert_eq!(line(&mut child), "got hello");
    assert!(child.wait().expect("our child").success());
}

#[test]
fn signals_are_passed_on() {
    let signals =
        [(SIGTERM, "TERM"), (SIGUSR1, "USR1"), (SIGINT, "INT"), (1, "HUP"), (28, "WINCH"), (40, "40")];
    // A shell cannot trap what it was started with as ignored, as a job in the background is with INT.
    let own = std::process::id().cast_signed();
    let ignored = heapray_linux::status(own).expect("we are here").ignored;
    for (signal, name) in signals.into_iter().filter(|(signal, _)| ignored >> (signal - 1) & 1 == 0) {
        let script = format!("trap 'echo got; exit 3' {name}; echo ready; while :; do sleep 0.01; done");
        let (mut child, ready) = start(&["sh", "-c", &script]);
        assert_eq!(ready, "ready");
        heapray_linux::kill(child.id().cast_signed(), signal).expect("it lives");
        assert_eq!(line(&mut child), "got", "{name}");
        assert_eq!(child.wait().expect("our child").code(), Some(3), "{name}");
    }
}

#[test]
fn an_ignored_signal_stays_ignored() {
    let (mut child, ready) = start(&[
        "sh",
        "-c",
        "trap '' HUP; exec \"$0\" sh -c 'echo ready; read x; echo on'",
        example("stand").to_str().expect("text"),
    ]);
    assert_eq!(ready, "ready");
    heapray_linux::kill(program_of(&child), 1).expect("it lives");
    child.stdin.take().expect("piped").write_all(b"\n").expect("it reads");
    assert_eq!(line(&mut child), "on");
    child.wait().expect("our child");
}

#[test]
fn a_job_stops_and_goes_on_as_a_whole() {
    let mut command = stand(&["sh", "-c", "echo ready; read x; echo on"]);
    // A group of its own whose parent is in another of the same session, as a shell makes it: else SIGTSTP is ignored.
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn().expect("built");
    assert_eq!(line(&mut child), "ready");
    let (ours, program) = (child.id().cast_signed(), program_of(&child));
    heapray_linux::kill(-ours, SIGTSTP).expect("a group");
    wait_until("both stop", || state(program) == 'T' && state(ours) == 'T');
    heapray_linux::kill(-ours, SIGCONT).expect("a group");
    wait_until("both go on", || state(program) != 'T' && state(ours) != 'T');
    child.stdin.take().expect("piped").write_all(b"\n").expect("it reads");
    assert_eq!(line(&mut child), "on");
    assert!(child.wait().expect("our child").success());
}

#[test]
fn a_program_that_somebody_stops_does_not_stop_its_collector() {
    let (mut child, _) = start(&["sh", "-c", "echo ready; read x; echo on"]);
    let (ours, program) = (child.id().cast_signed(), program_of(&child));
    heapray_linux::kill(program, SIGSTOP).expect("it lives");
    wait_until("it stops", || state(program) == 'T');
    // Sent to us, SIGCONT is passed on.
    heapray_linux::kill(ours, SIGCONT).expect("it lives");
    wait_until("it goes on", || state(program) != 'T');
    assert_ne!(state(ours), 'T');
    child.stdin.take().expect("piped").write_all(b"\n").expect("it reads");
    assert_eq!(line(&mut child), "on");
    child.wait().expect("our child");
}

#[test]
fn nothing_is_left_in_the_temporary_folder() {
    let folder = std::env::temp_dir().join(format!("heapray-launch-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("temporary folder");
    let output =
        stand(&["sh", "-c", "echo $TMPDIR; ls $TMPDIR"]).env("TMPDIR", &folder).output().expect("built");
    let seen = text(&output.stdout);
    assert!(seen.contains("heapray-"), "the agent lies there meanwhile: {seen}");
    assert_eq!(std::fs::read_dir(&folder).expect("ours").count(), 0);
    std::fs::remove_dir(folder).expect("ours");
}
