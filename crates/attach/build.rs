//! Builds the agent image, a shared object without dependencies that `attach` carries in itself.
//!
//! The image is a separate build (other panics, no standard library, fat LTO), so a nested cargo makes it, in a folder of
//! its own that all profiles share. Nothing of the outer build's flags reaches it. For another architecture than
//! the one that builds, the image is empty, and says so when it is used: checking must not need anybody's linker.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the image's sources are, from this crate.
const SOURCES: [&str; 4] = ["../wire", "../cpython", "../agent", "../agent-so"];
/// Package and file of the image.
const PACKAGE: &str = "heapray-agent-so";
const FILE: &str = "libheapray_agent_so.so";
/// The linker that comes with the toolchain: no C compiler, no start-up files, no default libraries.
const FLAGS: [&str; 7] = [
    "-Clinker=rust-lld",
    "-Clinker-flavor=ld.lld",
    "-Clink-self-contained=no",
    "-Clink-arg=-Bsymbolic",
    "-Clink-arg=-zdefs",
    "-Clink-arg=-znow",
    "-Clink-arg=--hash-style=both",
];

fn main() {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", here.join(source).join("src").display());
        println!("cargo::rerun-if-changed={}", here.join(source).join("Cargo.toml").display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", here.join("../../Cargo.toml").display());
    let out = PathBuf::from(variable("OUT_DIR"));
    let image = out.join("agent.so");
    if variable("TARGET").split('-').next() == variable("HOST").split('-').next() {
        let built = build(&here, &out);
        std::fs::copy(&built, &image).unwrap_or_else(|error| panic!("copying {}: {error}", built.display()));
    } else {
        std::fs::write(&image, []).expect("OUT_DIR is writable");
    }
}

/// Runs the nested build; the answer is the image's file.
fn build(here: &Path, out: &Path) -> PathBuf {
    let (target, folder) = (variable("TARGET"), shared_folder(out));
    let mut cargo = Command::new(variable("CARGO"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_flag =
            text.starts_with("CARGO_") || text.starts_with("RUSTC") || text.starts_with("RUSTFLAGS");
        // Where downloads lie, and the tokens of the outer build's job server, are the nested build's too.
        if is_flag && text != "CARGO_HOME" && text != "CARGO_MAKEFLAGS" {
            cargo.env_remove(&name);
        }
    }
    // All that the image needs is a dependency of this crate as well, so it is on the disk already.
    cargo
        .current_dir(here)
        .args([
            "build",
            "--quiet",
            "--frozen",
            "--package",
            PACKAGE,
            "--profile",
            "agent",
            "--target",
            &target,
        ])
        .arg("--target-dir")
        .arg(&folder)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
    let output = cargo.output().unwrap_or_else(|error| panic!("cargo for the agent image: {error}"));
    assert!(
        output.status.success(),
        "building the agent image ({PACKAGE}) failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    folder.join(target).join("agent").join(FILE)
}

/// A folder beside the outer build's profiles (`target/debug/build/PACKAGE-HASH/out`), so that they share one image.
fn shared_folder(out: &Path) -> PathBuf {
    let is_usual = out.ancestors().nth(2).is_some_and(|build| build.ends_with("build"));
    match out.ancestors().nth(4).filter(|_| is_usual) {
        Some(folder) => folder.join("agent-image"),
        None => out.join("agent-image"),
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
