//! Nothing outside `cpython`'s layout table compares Python versions; tests may, code may not.

use crate::source::{Token, assert_none, flatten, rust_files};

const TABLE: &str = "crates/cpython/src/layouts";
const NAMES: &[&str] = &["hexversion", "version_hex", "py_version", "python_version", "minor", "py_minor"];

#[test]
fn only_the_layout_table_compares_versions() {
    let code = rust_files().filter(|file| file.path.starts_with("crates/") && file.path.contains("/src/"));
    let mut complaints = Vec::new();
    for file in code.filter(|file| !file.path.starts_with(TABLE) && !file.path.contains("/tests")) {
        for line in comparisons(&flatten(file.tokens(), false)) {
            complaints.push(format!("{}:{line}", file.path));
        }
    }
    assert_none("a Python version is compared outside the layout table", &complaints);
}

#[test]
fn comparisons_are_seen_in_their_usual_forms() {
    let lines = |text: &str| comparisons(&flatten(text.parse().expect("Rust"), false));
    for seen in [
        "if python.minor() >= 12 {}",
        "match layout.hexversion { _ => {} }",
        "let new = 0x030c_0000 < v;",
        "(a..b).contains(&self.version_hex)",
        "if 11 == minor {}",
    ] {
        assert_eq!(lines(seen), [1], "{seen}");
    }
    for unseen in [
        "let minor = field(8);",
        "version == FORMAT",
        "version_hex >> 24",
        "fn f(version_hex: u32) -> Option<u32>",
    ] {
        assert!(lines(unseen).is_empty(), "{unseen}");
    }
}

/// The lines on which a version is compared.
fn comparisons(tokens: &[Token]) -> Vec<usize> {
    let mut lines: Vec<usize> = (0..tokens.len())
        .filter(|&at| is_version_literal(&tokens[at].text) || is_compared_name(tokens, at))
        .map(|at| tokens[at].line)
        .collect();
    lines.dedup();
    lines
}

/// `0x030c0000`: a `PY_VERSION_HEX` of Python 3.10 or newer.
fn is_version_literal(text: &str) -> bool {
    let digits = text.replace('_', "").to_lowercase();
    let Some(hex) = digits.strip_prefix("0x") else { return false };
    hex.len() == 8 && matches!(&hex[..4], "030a" | "030b" | "030c" | "030d" | "030e" | "030f" | "0310")
}

fn is_compared_name(tokens: &[Token], at: usize) -> bool {
    NAMES.contains(&tokens[at].text.as_str())
        && (compared_after(&tokens[at + 1..]) || compared_before(&tokens[..at]))
}

fn compared_after(rest: &[Token]) -> bool {
    let mut words = rest.iter().map(|token| token.text.as_str()).skip_while(|text| ["(", ")"].contains(text));
    match (words.next(), words.next()) {
        (Some("<"), next) => next != Some("<"), // a shift only takes the version apart
        (Some(">"), next) => next != Some(">"),
        (Some("=" | "!"), next) => next == Some("="),
        _ => false,
    }
}

/// Looks back over `self.layout.` and `(&` to what is done with the name.
fn compared_before(before: &[Token]) -> bool {
    let is_path = |text: &str| text == "." || text == "&" || text == "(" || text == "self";
    let mut words = before.iter().rev().map(|token| token.text.as_str()).peekable();
    while words.next_if(|text| is_path(text)).is_some() {
        if words.peek().is_some_and(|text| !["contains", "match"].contains(text) && is_name(text)) {
            words.next();
        }
    }
    match words.next() {
        Some("match" | "contains" | "<") => true,
        Some("=") => matches!(words.next(), Some("=" | "!" | "<" | ">")),
        _ => false,
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}
