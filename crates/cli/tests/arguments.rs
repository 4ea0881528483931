//! What the binary says and how it ends where it is asked wrongly. No process is touched.

use std::process::{Command, Output};

fn heapray(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_heapray")).args(args).output().expect("the binary runs")
}

/// Runs, expects an error with this in its message, and nothing on stdout.
fn check(args: &[&str], expected: &str) {
    let output = heapray(args);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert!(message.starts_with("heapray: ") || message.contains("Usage:"), "{args:?}: {message}");
    assert!(message.contains(expected), "{args:?}: {message}");
    assert!(output.stdout.is_empty(), "{args:?}");
    assert!(!message.contains("panicked"), "{args:?}: {message}");
}

#[test]
fn wrong_arguments_are_errors_with_status_two() {
    check(&[], "Usage:");
    check(&["nonsense"], "unrecognized subcommand");
    check(&["types"], "TARGET");
    check(&["types", "0"], "is no process id");
    check(&["types", "99999999999999999999"], "./99999999999999999999");
    check(&["types", "x", "--limit", "many"], "invalid value");
    check(&["leaks", "x", "--interval", "3 parsecs"], "unknown unit");
    check(&["leaks", "1", "--snapshots", "1"], "2..=100");
    check(&["leaks", "one.snapshot"], "at least two");
    check(&["leaks", "1", "2"], "one process id, or snapshot files only");
    check(&["find", "x", "len>"], "cannot read the expression");
    check(&["why", "x", "type=("], "cannot read the expression");
    check(&["why", "x", "y", "--output", "picture.jpeg"], "end it in .svg, .png or .dot");
    check(&["snapshot"], "required");
    check(&["snapshot", "1", "--core", "core"], "cannot be used with");
}

#[test]
fn missing_and_foreign_files_are_named() {
    check(&["types", "/nonexistent/x.snapshot"], "cannot read /nonexistent/x.snapshot: No such file");
    check(&["info", env!("CARGO_MANIFEST_PATH")], "Cargo.toml");
    check(&["info", env!("CARGO_MANIFEST_DIR")], "directory");
}

#[test]
fn names_of_files_cannot_reach_the_terminal() {
    let output = heapray(&["types", "\x1b[31mx"]);
    assert!(!output.stderr.contains(&0x1b), "{:?}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn help_and_version_go_to_stdout() {
    for args in [&["--help"][..], &["--version"], &["find", "--help"], &["leaks", "--help"]] {
        let output = heapray(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}");
    }
}
