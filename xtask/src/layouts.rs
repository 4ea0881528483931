//! Checks every number of the layout table against the headers of the interpreters found here.

use std::collections::BTreeMap;
use std::process::ExitCode;

use heapray_cpython::layouts::{self, Layout};
use heapray_testkit::{Python, find_pythons};

use crate::probe::{self, Said};

/// Prints a line for each interpreter and each number that differs; fails where any does, or where there is nothing
/// to compare with.
#[expect(clippy::print_stdout, reason = "it is the task's answer")]
pub(crate) fn check() -> anyhow::Result<ExitCode> {
    let (mut n_checked, mut n_wrong) = (0, 0);
    for python in find_pythons() {
        if !python.include.join("Python.h").exists() {
            println!("{} {}: no headers, not checked", python.version(), python.exe.display());
            continue;
        }
        let said = probe::run(python)?;
        let wrong = differences(python, &said);
        let n_fields = said.runtime.len() + said.objects.len() + said.roots.len() + said.debug.len();
        let (version, exe, n_private) = (python.version(), python.exe.display(), said.private.len());
        println!(
            "{version} {exe}: {n_fields} numbers, {n_private} more in no header, {} differ",
            wrong.len()
        );
        for line in &wrong {
            println!("    {line}");
        }
        n_checked += 1;
        n_wrong += wrong.len();
    }
    if n_checked == 0 {
        anyhow::bail!("no interpreter with headers was found");
    }
    Ok(ExitCode::from(u8::from(n_wrong > 0)))
}

/// What differs from the row that fits best: rows of one series differ where a patch release changed something.
fn differences(python: &Python, said: &Said) -> Vec<String> {
    layouts::for_version(said.version_hex)
        .map(|layout| compare(layout, said))
        .min_by_key(Vec::len)
        .unwrap_or_else(|| vec![format!("no row for {}", python.version())])
}

fn compare(layout: &Layout, said: &Said) -> Vec<String> {
    let mut wrong = Vec::new();
    fields(&layout.runtime.offsets(), &said.runtime, &mut wrong);
    let is_public = |(name, _): &(&str, _)| !said.private.iter().any(|private| private == name);
    let objects: Vec<_> = layout.objects.offsets().into_iter().filter(is_public).collect();
    fields(&objects, &said.objects, &mut wrong);
    let debug: Vec<_> =
        layout.runtime.debug_offsets.iter().map(|offset| (offset.name, Some(offset.at))).collect();
    fields(&debug, &said.debug, &mut wrong);
    let mut ours = probe::flatten("interp", layout.runtime.interp_roots);
    ours.extend(probe::flatten("runtime", layout.runtime.runtime_roots));
    ours.extend(probe::flatten("thread", layout.runtime.thread_roots));
    wrong.extend(
        ours.iter().filter(|root| !said.roots.contains(root)).map(|root| format!("only ours: {root:?}")),
    );
    wrong.extend(
        said.roots.iter().filter(|root| !ours.contains(root)).map(|root| format!("only theirs: {root:?}")),
    );
    wrong
}

/// Compares by name; a field that one side lacks differs too.
fn fields(ours: &[(&str, Option<u32>)], theirs: &BTreeMap<String, u32>, wrong: &mut Vec<String>) {
    for (name, value) in ours {
        let said = theirs.get(*name).copied();
        if said != *value {
            wrong.push(format!("{name}: row says {value:?}, headers say {said:?}"));
        }
    }
    let unknown = theirs.keys().filter(|name| !ours.iter().any(|(ours, _)| ours == name));
    wrong.extend(unknown.map(|name| format!("{name}: in the probe only")));
}
