//! Builds the stand-in for the agent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The image of `tests/image`, built with a `cfg`: `plain`, or a fault. Built once a process and flavour.
pub(crate) fn image(flavour: &'static str) -> Vec<u8> {
    static BUILT: Mutex<BTreeMap<&str, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(flavour).or_insert_with(|| build(flavour)).clone()
}

fn build(flavour: &str) -> Vec<u8> {
    let folder = std::env::temp_dir().join(format!("heapray-image-{}-{flavour}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("temporary folder");
    let file = folder.join("image.so");
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/image/image.rs");
    let output = Command::new("rustc")
        .args(["--edition", "2024", "--crate-type", "cdylib", "-O", "-Cpanic=abort", "-Clinker=rust-lld"])
        .args(["-Clinker-flavor=ld.lld", "-Clink-arg=-Bsymbolic", "-Clink-arg=-zdefs", "--cfg", flavour])
        .args(["-Aunexpected_cfgs"])
        .arg(source)
        .arg("-o")
        .arg(&file)
        .output()
        .expect("rustc is there, for cargo is");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::read(&file).expect("just built");
    std::fs::remove_dir_all(folder).expect("temporary folder");
    bytes
}
