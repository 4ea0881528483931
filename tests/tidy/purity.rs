//! The middle does no I/O and reads no clock: what it answers depends on the capture alone.

use crate::source::{Token, assert_none, flatten, rust_files};

const PURE: &[&str] = &["wire", "cpython", "snapshot", "capture", "heap", "profile", "diagnose", "query"];
const MODULES: &[&str] = &["fs", "net", "env", "process", "thread"];
const CLOCKS: &[&str] = &["Instant", "SystemTime"];

#[test]
fn pure_crates_do_no_io_and_read_no_clock() {
    let is_pure = |path: &str| PURE.iter().any(|name| path.starts_with(&format!("crates/{name}/src/")));
    let mut complaints = Vec::new();
    for file in rust_files().filter(|file| is_pure(&file.path) && !file.path.contains("/tests")) {
        let tokens = flatten(file.tokens(), false);
        let impure = (0..tokens.len()).filter(|&at| is_impure(&tokens[at..]));
        complaints.extend(impure.map(|at| format!("{}:{}: {}", file.path, tokens[at].line, tokens[at].text)));
    }
    assert_none("a pure crate reaches for the world", &complaints);
}

#[test]
fn io_and_clocks_are_seen_in_their_usual_forms() {
    let count = |text: &str| {
        let tokens = flatten(text.parse().expect("Rust"), false);
        (0..tokens.len()).filter(|&at| is_impure(&tokens[at..])).count()
    };
    for seen in ["use std::fs::File;", "let now = Instant::now();", "std::env::var(\"X\")"] {
        assert_eq!(count(seen), 1, "{seen}");
    }
    assert_eq!(count("use std::io::Write; let process = env.fs;"), 0);
}

/// Whether `rest` starts with a clock or with `std::` and a module of the world.
fn is_impure(rest: &[Token]) -> bool {
    let word = |at: usize| rest.get(at).map_or("", |token| token.text.as_str());
    let from_std = word(0) == "std" && word(1) == ":" && word(2) == ":" && MODULES.contains(&word(3));
    from_std || CLOCKS.contains(&word(0))
}
