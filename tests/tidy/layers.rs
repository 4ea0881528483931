//! Which crate may know which: only downwards, never sideways. The table is ARCHITECTURE.md's.

use std::process::Command;

use serde_json::Value;

use crate::source::{assert_none, files, root};

/// Crate and layer; tests and tools stand above all, and nothing but tests may know them.
const LAYERS: &[(&str, u32)] = &[
    ("heapray-wire", 0),
    ("heapray-cpython", 0),
    ("heapray-linux", 0),
    ("heapray-agent", 1),
    ("heapray-attach", 1),
    ("heapray-snapshot", 1),
    ("heapray-capture", 1),
    ("heapray-symbols", 1),
    ("heapray-agent-so", 2),
    ("heapray-collect", 2),
    ("heapray-profile", 2),
    ("heapray-heap", 2),
    ("heapray-diagnose", 3),
    ("heapray-query", 4),
    ("heapray-report", 5),
    ("heapray-tui", 5),
    ("heapray-web", 5),
    ("heapray", 6),
    ("heapray-testkit", TOOLS),
    ("heapray-tests", TOOLS),
    ("xtask", TOOLS),
];

const TOOLS: u32 = 9;

/// What a crate may know at most, where that is less than its layer allows.
const ONLY: &[(&str, &[&str])] = &[
    ("heapray-report", &["heapray-query"]),
    ("heapray-tui", &["heapray-query"]),
    ("heapray-web", &["heapray-query"]),
    ("heapray-capture", &["heapray-wire"]),
    ("heapray-symbols", &["heapray-linux"]),
    ("heapray-snapshot", &["heapray-wire", "heapray-cpython"]),
    ("heapray-agent-so", &["heapray-agent"]),
];

#[test]
fn dependencies_point_down() {
    let complaints: Vec<String> = edges()
        .iter()
        .filter(|edge| !edge.is_dev)
        .filter_map(|edge| match (layer(&edge.from), layer(&edge.to)) {
            (Some(TOOLS), Some(_)) => None,
            (Some(from), Some(to)) if to < from => None,
            (Some(from), Some(to)) => {
                Some(format!("{} (layer {from}) knows {} (layer {to})", edge.from, edge.to))
            }
            _ => Some(format!("{} or {} is not in the table of layers", edge.from, edge.to)),
        })
        .collect();
    assert_none("a crate may depend on lower layers only", &complaints);
}

#[test]
fn windows_know_only_query_and_readers_only_their_ground() {
    let complaints: Vec<String> = edges()
        .iter()
        .filter(|edge| !edge.is_dev)
        .filter(|edge| ONLY.iter().any(|(from, to)| edge.from == *from && !to.contains(&edge.to.as_str())))
        .map(|edge| format!("{} knows {}", edge.from, edge.to))
        .collect();
    assert_none("these crates may know less than their layer allows", &complaints);
}

#[test]
fn no_host_crate_knows_the_agent() {
    let complaints: Vec<String> = edges()
        .iter()
        .filter(|edge| edge.to.starts_with("heapray-agent") && edge.from != "heapray-agent-so")
        .filter(|edge| layer(&edge.from) != Some(TOOLS))
        .map(|edge| format!("{} knows {}", edge.from, edge.to))
        .collect();
    assert_none("the agent is an artifact that attach carries, not a library", &complaints);
}

#[test]
fn layer_0_has_no_cargo_features() {
    let complaints: Vec<String> = files()
        .iter()
        .filter(|file| {
            ["wire", "cpython", "linux"].iter().any(|name| file.path == format!("crates/{name}/Cargo.toml"))
        })
        .filter(|file| file.text.lines().any(|line| line.trim() == "[features]"))
        .map(|file| file.path.clone())
        .collect();
    assert_none("features are not for layer 0", &complaints);
}

struct Edge {
    from: String,
    to: String,
    is_dev: bool,
}

fn layer(name: &str) -> Option<u32> {
    LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer)
}

/// Every dependency of one of our crates on another.
fn edges() -> Vec<Edge> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(out.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("metadata lists packages");
    let edges: Vec<Edge> = packages.iter().flat_map(edges_of).collect();
    assert!(!edges.is_empty(), "the workspace's crates depend on each other");
    edges
}

fn edges_of(package: &Value) -> Vec<Edge> {
    let dependencies = package["dependencies"].as_array().expect("a package lists its dependencies");
    dependencies
        .iter()
        .filter(|dependency| dependency["path"].is_string())
        .map(|dependency| Edge {
            from: text(&package["name"]),
            to: text(&dependency["name"]),
            is_dev: dependency["kind"] == "dev",
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("names are strings").to_owned()
}
