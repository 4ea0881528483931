//! Words that do not belong in committed text: what is unfinished, and what is true on one machine only.

use crate::source::{File, assert_none, files};

/// Put together here so that this file does not hold them.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("db", "g!("),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("TO", "DO:"),
];

const OF_ONE_MACHINE: &[&str] = &[
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/main"),
    concat!("/wo", "rk/shared"),
    concat!("/sha", "red/design"),
    concat!("../sha", "red/"),
    concat!("/op", "t/newer"),
    concat!("/op", "t/wheels"),
    concat!("/tmp/tar", "get-"),
    concat!("files.python", "hosted.org"),
    concat!("py", "pi.org/simple"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("deb.deb", "ian.org"),
    concat!("PIP_FIND", "_LINKS"),
];

#[test]
fn nothing_is_left_unfinished() {
    assert_none("a word for work that is not done", &lines_with(UNFINISHED, |file| file.has_extension("rs")));
}

#[test]
fn no_text_is_true_on_one_machine_only() {
    assert_none(
        "a path or host of one machine",
        &lines_with(OF_ONE_MACHINE, |file| file.path != "Cargo.lock"),
    );
}

fn lines_with(words: &[&str], wanted: impl Fn(&File) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files().iter().filter(|file| wanted(file)) {
        for (at, line) in file.text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(*word)) {
                found.push(format!("{}:{}: {word}", file.path, at + 1));
            }
        }
    }
    found
}
