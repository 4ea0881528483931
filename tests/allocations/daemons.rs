//! A program that goes into the background: what it held counts in the daemon, and `run` says what becomes of that.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use heapray_capture::read_recording;
use heapray_tests::{Program, Recorded, heapray};

use crate::claims::{newest, pythons};
use crate::native::libraries;

/// Loads, forks twice as daemons do, and ends with status 3 once the daemon holds something of its own, which it does until it reads.
const TEXT: &str = r#"
import gc, os, sys
def loads(): return bytes(1000)
def serves(): return bytes(500)
cache = [loads() for _ in range(2000)]
down, up = os.pipe()
if os.fork():
    os.close(up)
    os.read(down, 1)
    os._exit(3)
os.setsid()
if os.fork():
    os._exit(0)
mine = [serves() for _ in range(1000)]
print(os.getpid(), flush=True)
os.close(down)
os.write(up, b"x")
os.close(up)
sys.stdin.readline()
mine += [serves() for _ in range(1000)]
os._exit(0)
"#;

/// Live bytes under the line that begins so, in a report of all processes.
fn live(recorded: &Recorded, line: &str) -> f64 {
    let number = TEXT.lines().position(|text| text.starts_with(line)).expect("it is there") + 1;
    let top = recorded.ask(&["top", "--limit", "100"]);
    let rows = top["rows"].as_array().expect("rows");
    // The function itself, which its line defines, is there too.
    let here = rows.iter().filter(|row| {
        row["line"] == number && row["file"].as_str().is_some_and(|file| file.ends_with("program.py"))
    });
    here.filter_map(|row| row["live"]["bytes"].as_f64()).sum()
}

/// The daemon's pid, when it holds what it is to hold.
fn daemon(run: &mut Child) -> (i32, ChildStdin) {
    let stdin = run.stdin.take().expect("stdin is piped");
    let mut line = String::new();
    let read = BufReader::new(run.stdout.take().expect("stdout is piped")).read_line(&mut line);
    assert!(read.is_ok(), "the daemon speaks");
    (line.trim().parse().expect("a pid"), stdin)
}

#[test]
fn run_stays_until_the_last_process_and_what_was_held_before_counts_in_it() {
    for python in pythons() {
        let program = Program::new(python, TEXT).exact().options(&["--until-last"]);
        let mut command = program.command_recorded();
        let mut run = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("heapray starts");
        let (pid, mut stdin) = daemon(&mut run);
        let mut lines = BufReader::new(run.stderr.take().expect("stderr is piped"));
        let mut told = String::new();
        lines.read_line(&mut told).expect("UTF-8");
        assert!(
            told.contains("has ended, what it started is recorded on")
                && told.contains(&format!("process {pid})")),
            "{told}"
        );
        stdin.write_all(b"\n").expect("the daemon reads");
        lines.read_to_string(&mut told).expect("UTF-8");
        let status = run.wait().expect("heapray ends").code();
        assert_eq!(status, Some(3), "the program's own status: {told}");
        assert!(told.contains("3 processes") && !told.contains("not recorded any more"), "{told}");
        let answer = heapray_tests::Answer { status, stdout: String::new(), stderr: told };
        let recorded = program.recorded(answer);
        let who = python.version();
        let (loads, serves) = (live(&recorded, "def loads"), live(&recorded, "def serves"));
        assert!((loads - 2000.0 * 1033.0).abs() < 2_000.0, "{who}: {loads}");
        assert!((serves - 2000.0 * 533.0).abs() < 2_000.0, "{who}: {serves}");
        // Once, not once for each of the three.
        let most = recorded.ask(&["timeline"])["live_peak"][0].as_f64().expect("bytes");
        let peaks = recorded.tables.tasks.iter().filter_map(|task| task.peak.as_ref());
        let highest = peaks.map(|peak| peak.bytes).fold(0.0, f64::max);
        assert!(most < highest + 1.5 * 533_000.0, "{who}: {most}, {highest} in one process");
    }
}

#[test]
fn run_ends_with_the_program_and_names_what_it_leaves() {
    let program = Program::new(newest(), TEXT).exact();
    let mut run = program
        .command_recorded()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("heapray starts");
    let (pid, stdin) = daemon(&mut run);
    let mut lines = BufReader::new(run.stderr.take().expect("stderr is piped"));
    let mut told = String::new();
    // The daemon has the pipe too, so it does not end with heapray.
    while !told.contains("--until-last") && lines.read_line(&mut told).is_ok_and(|n| n > 0) {}
    let status = run.wait().expect("heapray ends").code();
    assert!(told.contains(&format!("not recorded any more: process {pid};")), "{told}");
    let asked = heapray(["top", &pid.to_string()]);
    assert_eq!(asked.status, Some(2), "{asked:?}");
    assert!(asked.stderr.contains("is not being recorded any more"), "{asked:?}");
    drop(stdin);
    let recorded = program.recorded(heapray_tests::Answer { status, stdout: String::new(), stderr: told });
    assert_eq!(recorded.answer.status, Some(3));
    let loads = live(&recorded, "def loads");
    assert!((loads - 2000.0 * 1033.0).abs() < 2_000.0, "{loads}");
}

#[test]
fn whoever_stays_is_told_to_end_or_killed_and_the_daemon_lives_on() {
    for (signal, status) in [("-INT", Some(3)), ("-KILL", None)] {
        let program = Program::new(newest(), TEXT).exact().options(&["--until-last"]);
        let mut run = program
            .command_recorded()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("heapray starts");
        let (pid, stdin) = daemon(&mut run);
        let mut lines = BufReader::new(run.stderr.take().expect("stderr is piped"));
        let mut told = String::new();
        lines.read_line(&mut told).expect("UTF-8");
        assert!(told.contains("recorded on"), "{told}");
        let killed = std::process::Command::new("kill").args([signal, &run.id().to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()), "heapray is there");
        assert_eq!(run.wait().expect("heapray ends").code(), status, "{signal}");
        let is_there = || fs::metadata(format!("/proc/{pid}")).is_ok();
        assert!(is_there(), "{signal}: the daemon lives on");
        let bytes = fs::read(program.file()).expect("it is there");
        let recording = read_recording("recording.hr", &bytes).expect("it can be read");
        // What the writer had not written yet is gone with it.
        let n = recording.tasks.len();
        assert!(n == 3 || signal == "-KILL" && n > 0, "{signal}: {n}");
        // It reads, holds more, and ends, which closes its end of the pipe.
        drop(stdin);
        lines.read_to_string(&mut told).expect("UTF-8");
        assert_eq!(
            told.contains(&format!("not recorded any more: process {pid}\n")),
            signal == "-INT",
            "{told}"
        );
    }
}

/// How long a busy machine may take to show that a process has ended.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn who_was_forked_by_a_process_that_is_gone_is_still_its_child() {
    let text = format!(
        "import ctypes\nkept = [bytes(1000) for _ in range(2000)]\nctypes.CDLL({:?}).orphan(3_000_000)\n",
        libraries().forked
    );
    for options in [&["--mode", "exact"][..], &["--sample-interval", "4096"]] {
        let program = Program::new(newest(), &text).options(options);
        let mut run = program.command_recorded().stdin(Stdio::piped()).spawn().expect("heapray starts");
        let began = Instant::now();
        let has_ended = || {
            let bytes = fs::read(program.file()).unwrap_or_default();
            read_recording("recording.hr", &bytes)
                .is_ok_and(|recording| recording.tasks.get(1).is_some_and(|task| task.end.is_some()))
        };
        while !has_ended() {
            assert!(began.elapsed() < PATIENCE, "the process between is seen to end");
        }
        run.stdin.take().expect("stdin is piped").write_all(b"\n").expect("the orphan reads");
        let answer = run.wait_with_output().expect("heapray ends");
        assert!(answer.status.success(), "{answer:?}");
        let bytes = fs::read(program.file()).expect("it is there");
        let recording = read_recording("recording.hr", &bytes).expect("it can be read");
        let orphan = recording.tasks.get(2).expect("it was recorded");
        assert_eq!(orphan.parent(), Some(1), "{options:?}");
        assert!(orphan.fact_text("python").is_some(), "{options:?}: it knows its Python");
        let inherited = orphan.inherited.iter().flat_map(|inherited| &inherited.rows);
        assert!(inherited.map(|row| row.bytes).sum::<f64>() > 2e6, "{options:?}");
        let own: f64 = orphan.slices.iter().flat_map(|slice| slice.allocs).map(|row| row.bytes).sum();
        assert!((own - 3e6).abs() < 1e4, "{options:?}: {own}");
    }
}
