//! Runs the binary that this build made, as a user would.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a run of heapray said.
#[derive(Debug)]
pub struct Answer {
    /// Exit status; `None` where a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Answer {
    /// Standard output as JSON; panics with both outputs where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

/// The binary: `$HEAPRAY_BIN`, or the one that was built beside this test.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = env::var_os("HEAPRAY_BIN") {
        return path.into();
    }
    let test = env::current_exe().expect("a test knows its own path");
    let profile = test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps");
    let binary = profile.join("heapray");
    assert!(binary.exists(), "{} is missing: cargo build --package heapray", binary.display());
    binary
}

/// A command that runs heapray without colour, its input closed and both outputs piped.
pub fn heapray_command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(binary());
    command.args(args).env("NO_COLOR", "1").env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs heapray to its end.
pub fn heapray<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Answer {
    answer(heapray_command(args))
}

/// Asserts that a run ended with status 2 and one line that says what is wrong, naming all of `words`.
pub fn one_line_error(answer: &Answer, words: &[&str]) {
    assert_eq!(answer.status, Some(2), "an error ends with status 2: {answer:?}");
    let lines: Vec<&str> = answer.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "an error is one line: {answer:?}");
    assert!(lines[0].starts_with("heapray: "), "an error says who speaks: {answer:?}");
    assert!(!lines[0].contains("internal error"), "an error is expected, not a bug: {answer:?}");
    for word in words {
        assert!(lines[0].contains(word), "the error names {word:?}: {answer:?}");
    }
}

fn answer(mut command: Command) -> Answer {
    let output = command.output().expect("heapray starts");
    Answer {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("heapray prints UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("heapray prints UTF-8"),
    }
}

impl From<Command> for Answer {
    /// Runs a command made by [`heapray_command`] and changed since.
    fn from(command: Command) -> Answer {
        answer(command)
    }
}
