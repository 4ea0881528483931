//! Readers of objects of extension packages (NumPy, pandas, lxml, greenlet) against the interpreter itself.
//!
//! Makes a virtual environment below the target directory, once, with pip.

#[path = "objects/heap.rs"]
mod heap;
#[path = "objects/oracle.rs"]
mod oracle;

use std::path::Path;
use std::process::Command;

use heapray_testkit::{Python, find_pythons};
use oracle::{Problems, check_referents, check_sizes, explained, zoo};

const PACKAGES: &[&str] = &["numpy", "pandas", "lxml", "greenlet"];
const ZOO: &str = include_str!("objects/extensions.py");

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(status.success(), "{command:?} failed: {status}");
}

/// The newest interpreter of this root, in an environment with the packages.
fn python() -> Python {
    let plain = find_pythons().iter().rev().find(|python| python.root.is_none() && has_venv(python));
    let plain = plain.expect("an interpreter that can make virtual environments");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("extensions-{}", plain.version()));
    let done = dir.join("done");
    if !done.exists() {
        run(plain.command().args(["-m", "venv", "--clear"]).arg(&dir));
        run(Command::new(dir.join("bin/python")).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES));
        std::fs::write(&done, "").expect("the target directory is ours");
    }
    Python { exe: dir.join("bin/python"), ..plain.clone() }
}

fn has_venv(python: &Python) -> bool {
    let status = python.command().args(["-c", "import venv, ensurepip"]).status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn extension_objects_are_read() {
    let python = python();
    let zoo = zoo(&python, ZOO);
    let mut problems = Problems::default();
    check_referents(&python, &zoo, &mut problems);
    // Caches of abstract classes lose weak references while the script asks for classes.
    problems.assert_at_most(60, "referents that were not reported");
    let mut problems = Problems::default();
    check_sizes(&python, &zoo, &mut problems);
    problems.assert_at_most(8, "sizes that differ");
    let found = explained(&zoo);
    // Cython's modules hold their constants in C memory, which only a scan of all memory finds.
    assert!(found.all > 0.94, "{} of all objects explained", found.all);
    assert!(found.over <= 50, "{} objects with more references than their count", found.over);
    assert!(found.torn <= 10, "{} objects are torn", found.torn);
    assert!(found.made > 0.85, "{} of made objects explained", found.made);
}
