//! A collector that is stopped never stalls the target beyond its bound: a second without a heartbeat, then it idles.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use heapray_tests::{Program, heapray};

use crate::claims::outer_pythons;

/// Fills any ring many times over while nobody drains it, and says how long that took.
const FILLS: &str = r#"
import sys, time
kept = []
print("ready", flush=True)
sys.stdin.readline()
began = time.monotonic()
for round in range(600):
    kept = [bytes(700) for _ in range(1000)]
print(time.monotonic() - began, flush=True)
sys.stdin.readline()
"#;

/// The bound on waiting (docs), and what the work itself takes on a busy machine.
const SECONDS_MAX: f64 = 1.5 + 3.0;

#[test]
fn a_stopped_collector_stalls_nobody() {
    for python in outer_pythons() {
        for options in
            [&["--all-events", "--mode", "exact"][..], &["--mode", "exact"], &["--sample-interval", "1024"]]
        {
            let program = Program::new(python, FILLS).options(options);
            let mut child = program.command_recorded().stdin(Stdio::piped()).spawn().expect("heapray starts");
            let mut stdin = child.stdin.take().expect("stdin is piped");
            let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
            let mut next = || lines.next().expect("the program goes on").expect("it prints UTF-8");
            assert_eq!(next(), "ready");
            signal(child.id(), "STOP");
            stdin.write_all(b"go\n").expect("the program reads");
            let seconds: f64 = next().parse().expect("seconds");
            signal(child.id(), "CONT");
            stdin.write_all(b"go\n").expect("the program reads");
            let status = child.wait().expect("heapray can be waited for");
            assert!(seconds < SECONDS_MAX, "{} {options:?}: {seconds} s", python.version());
            assert_eq!(status.code(), Some(0), "{} {options:?}", python.version());
            let stats = heapray(["stats".as_ref(), program.file().as_os_str()]);
            assert_eq!(stats.status, Some(0), "{} {options:?}: {stats:?}", python.version());
        }
    }
}

fn signal(pid: u32, name: &str) {
    let status =
        Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().expect("kill runs");
    assert!(status.success(), "process {pid} is there");
}
