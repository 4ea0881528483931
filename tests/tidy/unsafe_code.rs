//! Where `unsafe` stands: only in the crates that cannot do without, each file with a line in docs/unsafe.md.

use crate::source::{assert_none, files, flatten, rust_files};

const CRATES: &[&str] = &["crates/linux/", "crates/attach/", "crates/agent/", "crates/agent-so/"];

#[test]
fn unsafe_code_is_inventoried() {
    let inventory = files().iter().find(|file| file.path == "docs/unsafe.md").map_or("", |file| &file.text);
    let with_unsafe: Vec<&str> = rust_files()
        .filter(|file| flatten(file.tokens(), true).iter().any(|token| token.text == "unsafe"))
        .map(|file| file.path.as_str())
        .collect();
    let outside = with_unsafe.iter().filter(|path| !CRATES.iter().any(|allowed| path.starts_with(allowed)));
    let mut complaints: Vec<String> =
        outside.map(|path| format!("{path}: unsafe is not for this crate")).collect();
    let unlisted = with_unsafe.iter().filter(|path| !inventory.contains(&format!("`{path}`")));
    complaints.extend(unlisted.map(|path| format!("{path}: has no line in docs/unsafe.md")));
    let stale = listed(inventory).filter(|path| !with_unsafe.contains(path));
    complaints.extend(stale.map(|path| format!("{path}: listed in docs/unsafe.md, holds no unsafe")));
    assert_none("unsafe code is where docs/unsafe.md says", &complaints);
}

/// The Rust files that the inventory names in backticks.
fn listed(inventory: &str) -> impl Iterator<Item = &str> {
    inventory
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.starts_with("crates/") && word.ends_with(".rs"))
}
