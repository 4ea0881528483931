//! A process that is being recorded is asked by its pid: the answer is from its recording, and says of what.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use heapray_capture::read_recording;
use heapray_tests::{Program, heapray};

use crate::claims::newest;

/// Parent and child hold something and wait.
const FORKS: &str = r#"
import os, sys
down, up = os.pipe()
child = os.fork()
kept = [bytes(10_000) for _ in range(10)]
if child == 0:
    os.close(up)
    os.read(down, 1)
    os._exit(0)
print(child, flush=True)
sys.stdin.readline()
os.close(up)
os.waitpid(child, 0)
"#;

/// How long a busy machine may take to show both.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn answers_by_pid_are_from_the_recording_and_say_of_what() {
    let program = Program::new(newest(), FORKS).exact();
    let mut run = program.command_recorded().stdin(Stdio::piped()).spawn().expect("heapray starts");
    let mut stdin = run.stdin.take().expect("stdin is piped");
    let mut lines = BufReader::new(run.stdout.take().expect("stdout is piped")).lines();
    let has_both = || {
        let bytes = fs::read(program.file()).unwrap_or_default();
        read_recording("recording.hr", &bytes)
            .is_ok_and(|recording| recording.tasks.iter().filter(|task| !task.slices.is_empty()).count() > 1)
    };
    let child = lines.next().expect("a line").expect("UTF-8");
    let began = Instant::now();
    while !has_both() {
        assert!(began.elapsed() < PATIENCE, "both processes show what they hold");
    }
    let whole = heapray(["top", &child]);
    let part = heapray(["top", &child, "--process", &child]);
    let leaks = heapray(["leaks", &child, "--from", "0s"]);
    stdin.write_all(b"\n").expect("the program reads");
    assert!(run.wait().is_ok_and(|status| status.success()), "the program ends as told");
    let note = format!("of all processes of the recording that process {child} is in");
    assert!(whole.status == Some(0) && whole.stdout.contains(&note), "{whole:?}");
    assert!(whole.stdout.contains("still being written") && !whole.stdout.contains("lost"), "{whole:?}");
    assert!(part.status == Some(0) && !part.stdout.contains(&note), "{part:?}");
    assert!(leaks.stdout.contains("survived the window"), "{leaks:?}");
    let after = heapray(["leaks", &child, "--from", "0s"]);
    assert_eq!(after.status, Some(2), "{after:?}");
    assert!(after.stderr.contains("it is not being recorded"), "{after:?}");
}
