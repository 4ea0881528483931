//! A process that is being recorded is asked by its pid: the answer is from its recording, and says of what.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use heapray_capture::read_recording;
use heapray_tests::{Program, heapray};

use crate::claims::newest;

/// Forks, and tells the pid of its child again and again until it is told to end.
const FORKS: &str = r#"
import os, select, sys, time
child = os.fork()
kept = []
if child == 0:
    while os.getppid() != 1:
        kept.append(bytes(10_000))
        time.sleep(0.02)
    os._exit(0)
while not select.select([sys.stdin], [], [], 0.02)[0]:
    kept.append(bytes(10_000))
    print(child, flush=True)
os.kill(child, 9)
os.waitpid(child, 0)
"#;

#[test]
fn answers_by_pid_are_from_the_recording_and_say_of_what() {
    let program = Program::new(newest(), FORKS).exact();
    let mut run = program.command_recorded().stdin(Stdio::piped()).spawn().expect("heapray starts");
    let mut stdin = run.stdin.take().expect("stdin is piped");
    let mut lines = BufReader::new(run.stdout.take().expect("stdout is piped")).lines();
    let mut next = || lines.next().expect("the program goes on").expect("it prints UTF-8");
    let has_both = || {
        let bytes = fs::read(program.file()).unwrap_or_default();
        read_recording("recording.hr", &bytes)
            .is_ok_and(|recording| recording.tasks.iter().filter(|task| !task.slices.is_empty()).count() > 1)
    };
    let mut child = next();
    while !has_both() {
        child = next();
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
