//! A Python program that runs as a child, says things on its output, and waits on its input to be examined.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::{ProcMemory, Python};

/// A running target; killed and reaped on drop.
///
/// The script gets no arguments; it prints what the test wants to know and then blocks in `sys.stdin.readline()`
/// (or `input()`), so that the memory stays as it was when it spoke.
pub struct Target {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Target {
    /// Starts `script` on `python` with unbuffered output; panics when it cannot be started.
    pub fn start(python: &Python, script: &str) -> Target {
        Target::start_with(python, &[], script)
    }

    /// As [`Target::start`], with interpreter options before the script (`-X importtime`, `-S`).
    pub fn start_with(python: &Python, options: &[&str], script: &str) -> Target {
        let mut child = python
            .command()
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .args(options)
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", python.exe.display()));
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Target { child, stdin, stdout }
    }

    /// The target's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of output without its newline; panics at the end of output.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let n = self.stdout.read_line(&mut line).expect("target's output is readable UTF-8");
        assert!(n > 0, "target {} ended instead of answering", self.pid());
        line.truncate(line.trim_end_matches(['\n', '\r']).len());
        line
    }

    /// The next line of output as whitespace-separated numbers, decimal or `0x` hexadecimal.
    pub fn numbers(&mut self) -> Vec<u64> {
        let line = self.line();
        line.split_whitespace()
            .map(|word| match word.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16),
                None => word.parse(),
            })
            .map(|number| number.unwrap_or_else(|error| panic!("{error} in {line:?}")))
            .collect()
    }

    /// Writes `line` and a newline to the target's input.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("input is open until drop");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("target reads its input");
    }

    /// [`Target::say`], then the next line of output.
    pub fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.line()
    }

    /// Waits until the target ends; how it ended.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("a child can be waited for")
    }

    /// The target's memory once it rests: its main thread reads its input, all others sleep. Chunks are read when
    /// first needed, so keep the target waiting meanwhile. Panics where it does not come to rest in a minute.
    pub fn memory(&self) -> ProcMemory {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.rests() {
            assert!(Instant::now() < deadline, "target {} does not wait for input", self.pid());
            std::thread::yield_now();
        }
        ProcMemory::open(self.pid())
    }

    /// Whether the main thread waits in `read(0, …)` and every other thread sleeps.
    fn rests(&self) -> bool {
        let pid = self.pid();
        let main = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
        // `read` is 0 on x86-64 and 63 on aarch64; its first argument is the descriptor.
        if !main.starts_with("0 0x0 ") && !main.starts_with("63 0x0 ") {
            return false;
        }
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
        threads.flatten().all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
        })
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Both fail only where the child has ended already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
