//! What cannot be done is said in one line with exit status 2, and the target is none the worse.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use heapray_testkit::{Python, Target, find_other_pythons, find_pythons};
use heapray_tests::{Answer, Dice, Scratch, heapray, heapray_command, one_line_error};

const WAITS: &str = "import sys\nheap = [[str(n)] for n in range(20000)]\nprint('ready')\nsys.stdin.readline()\nprint('alive')";

#[test]
fn no_such_process_is_said() {
    for command in ["snapshot", "types", "leaks", "cycles", "holders"] {
        one_line_error(&heapray([command, "4194304"]), &["4194304"]);
    }
}

#[test]
fn what_is_no_python_is_said_and_runs_on() {
    let mut echo = Command::new("cat");
    let mut echo = Running(echo.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat starts"));
    let pid = echo.0.id().to_string();
    let (mut to, mut from) = (echo.0.stdin.take().expect("piped"), echo.0.stdout.take().expect("piped"));
    let mut answers = || {
        to.write_all(b"x").expect("cat reads");
        from.read_exact(&mut [0]).expect("cat answers");
    };
    // It is whole: a program that has only just been started may not have its libraries yet.
    answers();
    one_line_error(&heapray(["types", &pid]), &[&pid, "Python"]);
    answers();
}

#[test]
fn the_python_below_a_shell_is_named() {
    let script = "import os, sys\nprint(os.getpid(), flush=True)\nsys.stdin.readline()\nprint('alive')";
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$0\" -c \"$1\"; :"]).arg(any_python().command().get_program()).arg(script);
    let mut shell = Running(shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh starts"));
    let mut lines = BufReader::new(shell.0.stdout.take().expect("piped")).lines();
    let mut line = || lines.next().expect("a line").expect("text");
    let (pid, below) = (shell.0.id().to_string(), line());
    let scratch = Scratch::new();
    let file = scratch.path().join("file.hr");
    one_line_error(&heapray(["types", &pid]), &["Python", &below]);
    one_line_error(&heapray(["attach", &pid, "-o", &file.to_string_lossy()]), &["Python", &below]);
    assert!(!file.exists());
    drop(shell.0.stdin.take());
    assert_eq!(line(), "alive");
}

#[test]
fn unsupported_pythons_are_named_with_what_is_supported() {
    for python in find_other_pythons() {
        let mut target = Target::start(&python, WAITS);
        assert_eq!(target.line(), "ready");
        let answer = heapray(["types", &target.pid().to_string()]);
        one_line_error(&answer, &["3.10", "3.15"]);
        assert_eq!(target.ask(""), "alive", "{}", python.version());
    }
}

#[test]
fn files_that_are_no_snapshots_are_said() {
    let scratch = Scratch::new();
    let cases: [(&str, &[u8]); 4] =
        [("empty", b""), ("text", b"Hello\n"), ("zeros", &[0; 4096]), ("ones", &[255; 4096])];
    for (name, bytes) in cases {
        let file = scratch.file(name);
        fs::write(&file, bytes).expect("the scratch folder takes files");
        one_line_error(&ask_file("types", &file), &[name]);
    }
    one_line_error(&ask_file("types", Path::new("/proc/self/exe")), &["/proc/self/exe"]);
    one_line_error(&ask_file("types", &scratch.file("missing")), &["missing"]);
    one_line_error(&ask_file("types", scratch.path()), &[]);
}

#[test]
fn damaged_snapshots_are_read_in_part_or_refused() {
    let scratch = Scratch::new();
    let file = scratch.file("whole.snapshot");
    let bytes = snapshot_bytes(&file);
    let mut dice = Dice::new(0x6461_6d61);
    let damaged = scratch.file("damaged.snapshot");
    for i in 0..60 {
        let mut copy = bytes.clone();
        if i % 3 == 0 {
            copy.truncate(dice.below(bytes.len() as u64) as usize);
        } else {
            (0..=i % 5).for_each(|_| copy[dice.below(bytes.len() as u64) as usize] ^= 1 << dice.below(8));
        }
        fs::write(&damaged, copy).expect("the scratch folder takes files");
        let answer = ask_file(["types", "holders", "cycles"][i % 3], &damaged);
        assert!(matches!(answer.status, Some(0 | 2)), "damage {i} is met calmly: {answer:?}");
        assert!(!answer.stderr.contains("internal error"), "damage {i} is expected: {answer:?}");
    }
}

#[test]
fn a_core_cut_short_is_met_calmly() {
    let scratch = Scratch::new();
    let file = scratch.file("core.1");
    let mut header = fs::read("/proc/self/exe").expect("a test can read itself")[..64].to_vec();
    header[16] = 4; // e_type ET_CORE, elf(5)
    for n_bytes in [0, 3, 16, 63, 64] {
        fs::write(&file, &header[..n_bytes]).expect("the scratch folder takes files");
        let out = scratch.file("x.snapshot");
        let words =
            ["snapshot".as_ref(), "--core".as_ref(), file.as_os_str(), "-o".as_ref(), out.as_os_str()];
        one_line_error(&heapray(words), &["core.1"]);
    }
}

#[test]
fn a_full_disk_is_said_and_leaves_no_file() {
    let mut target = waiting_target();
    let pid = target.pid().to_string();
    let full = fs::File::options().write(true).open("/dev/full").expect("/dev/full is there");
    let mut command = heapray_command(["snapshot", &pid, "-o", "-"]);
    command.stdout(full);
    one_line_error(&Answer::from(command), &["No space left"]);
    let scratch = Scratch::new();
    one_line_error(
        &limited_file_size(&["snapshot", &pid, "-o", "x.snapshot"], scratch.path()),
        &["x.snapshot"],
    );
    let left = fs::read_dir(scratch.path()).expect("the scratch folder is readable").count();
    assert_eq!(left, 0, "no part of a file is left");
    assert_eq!(target.ask(""), "alive");
}

#[test]
fn a_traced_process_is_said_with_its_tracer() {
    let mut target = waiting_target();
    let pid = target.pid().to_string();
    let seize = format!(
        "import ctypes, sys\nassert ctypes.CDLL(None).ptrace(0x4206, {pid}, 0, 0) == 0\nprint('ready')\nsys.stdin.readline()"
    );
    let mut tracer = Target::start(any_python(), &seize); // PTRACE_SEIZE, ptrace(2)
    assert_eq!(tracer.line(), "ready");
    one_line_error(&heapray(["types", &pid]), &[&pid, &tracer.pid().to_string()]);
    drop(tracer);
    assert_eq!(target.ask(""), "alive");
}

#[test]
fn a_target_killed_at_any_moment_is_said() {
    let mut dice = Dice::new(0x6b69_6c6c);
    for i in 0..12 {
        let target = waiting_target();
        let pid = target.pid().to_string();
        let asked = heapray_command(["types", &pid]).spawn().expect("heapray starts");
        std::thread::sleep(Duration::from_micros(dice.below(150_000)));
        drop(target);
        let output = asked.wait_with_output().expect("heapray ends");
        let answer = Answer {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        if answer.status != Some(0) {
            one_line_error(&answer, &[&pid]);
        }
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "run {i}: the target is gone");
    }
}

#[test]
fn flags_that_make_no_sense_are_said() {
    for words in [&["types"][..], &["why", "1"], &["leaks", "--interval", "soon", "1"], &["nonsense"]] {
        let answer = heapray(words);
        assert_eq!(answer.status, Some(2), "{words:?}: {answer:?}");
        assert!(!answer.stderr.is_empty() && answer.stdout.is_empty(), "{words:?}: {answer:?}");
    }
}

/// A child that is killed and reaped on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn any_python() -> &'static Python {
    find_pythons().iter().find(|python| python.root.is_none()).expect("a supported Python is installed")
}

fn waiting_target() -> Target {
    let mut target = Target::start(any_python(), WAITS);
    assert_eq!(target.line(), "ready");
    target
}

fn ask_file(command: &str, file: &Path) -> Answer {
    heapray([command.as_ref(), file.as_os_str()])
}

fn snapshot_bytes(file: &Path) -> Vec<u8> {
    let target = waiting_target();
    let pid = target.pid().to_string();
    let taken = heapray(["snapshot".as_ref(), pid.as_ref(), "-o".as_ref(), file.as_os_str()]);
    assert_eq!(taken.status, Some(0), "{taken:?}");
    fs::read(file).expect("the snapshot is readable")
}

/// Runs heapray in `folder` where no file may grow over 8 KiB (`ulimit -f 8`; without `SIGXFSZ` the write fails).
fn limited_file_size(words: &[&str], folder: &Path) -> Answer {
    let inner = heapray_command(words);
    let mut command = Command::new("bash");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(words);
    command.current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null());
    Answer::from(command)
}
