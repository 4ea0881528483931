//! Whoever is killed: of a killed target nothing is lost that it had put into the ring; of a killed collector the
//! file is readable and the target runs on.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use heapray_tests::{Answer, Dice, Program, heapray, is_full};

use crate::claims::{PYTHON, outer_pythons};

/// Writes down after each batch how many there were, where a kill cannot take it back.
const COUNTS: &str = r#"
import mmap, os, struct, sys
file = open("progress", "r+b")
progress = mmap.mmap(file.fileno(), 8)
def make(): return bytes(700)
def batch(): return [make() for _ in range(100)]
kept = []
n = 0
print("ready", flush=True)
while True:
    kept.append(batch())
    n += 1
    progress[:] = struct.pack("q", n)
    if n % 200 == 0: kept.clear()
"#;

#[test]
fn nothing_in_the_ring_is_lost_when_the_target_is_killed() {
    let mut dice = Dice::new(0x6b69_6c6c);
    for python in outer_pythons() {
        for round in 0..if is_full() { 60 } else { 8 } {
            let program = Program::new(python, COUNTS).exact();
            fs::write(program.folder().join("progress"), [0; 8]).expect("the scratch folder takes files");
            let mut child = program.command_recorded().spawn().expect("heapray starts");
            let mut line = String::new();
            let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
            stdout.read_line(&mut line).expect("the program prints UTF-8");
            assert_eq!(line, "ready\n", "{}", python.version());
            std::thread::sleep(Duration::from_micros(dice.below(300_000))); // the moment is what is tested
            kill_child(child.id());
            let status = child.wait().expect("heapray can be waited for");
            assert_eq!(status.signal(), Some(9), "{}", python.version());
            let progress = fs::read(program.folder().join("progress")).expect("it is there");
            let n = u64::from_le_bytes(progress.try_into().expect("8 bytes"));
            let answer = Answer { status: None, stdout: String::new(), stderr: String::new() };
            let recorded = program.recorded(answer);
            let found = recorded.allocated(recorded.task(), PYTHON).get(&5).map_or(0.0, |sum| sum.bytes);
            let (least, most) = (n as f64 * 73_300.0, (n + 1) as f64 * 73_400.0);
            assert!(found >= least && found <= most, "{} {round}: {found} of {n} batches", python.version());
            assert_eq!(recorded.task().end.as_ref().map(|end| end.reason.as_str()), Some("killed"));
        }
    }
}

/// Allocates until told to end, and says how it goes.
const GOES_ON: &str = r#"
import sys, time
kept = []
print("ready", flush=True)
sys.stdin.readline()
began = time.monotonic()
for round in range(300):
    kept.append([bytes(700) for _ in range(1000)])
    if round % 10 == 0: kept.clear()
print("done", time.monotonic() - began, flush=True)
sys.stdin.readline()
print("end", flush=True)
"#;

#[test]
fn the_target_runs_on_when_the_collector_is_killed() {
    for python in outer_pythons() {
        for options in [&[][..], &["--mode", "exact", "--level", "objects"]] {
            let program = Program::new(python, GOES_ON).options(options);
            let mut child = program.command_recorded().stdin(Stdio::piped()).spawn().expect("heapray starts");
            let mut stdin = child.stdin.take().expect("stdin is piped");
            let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
            let mut next = || lines.next().expect("the program goes on").expect("it prints UTF-8");
            assert_eq!(next(), "ready");
            child.kill().expect("heapray can be killed");
            child.wait().expect("heapray can be waited for");
            stdin.write_all(b"go\n").expect("the program reads");
            let done = next();
            assert!(done.starts_with("done"), "{} {options:?}: {done}", python.version());
            stdin.write_all(b"go\n").expect("the program reads");
            assert_eq!(next(), "end");
            let file = program.file();
            let stats = heapray(["stats".as_ref(), file.as_os_str()]);
            assert_eq!(
                stats.status,
                Some(0),
                "{} {options:?}: the file is readable: {stats:?}",
                python.version()
            );
        }
    }
}

fn kill_child(pid: u32) {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("heapray runs");
    let child = text.split_whitespace().next().expect("it has a child");
    let status = std::process::Command::new("kill").args(["-9", child]).status().expect("kill runs");
    assert!(status.success(), "process {child} is there");
}
