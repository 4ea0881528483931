//! Maintenance tasks: `cargo xtask layouts`.

mod layouts;
mod probe;

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    match std::env::args().nth(1).as_deref() {
        Some("layouts") => layouts::check(),
        _ => anyhow::bail!("usage: cargo xtask layouts"),
    }
}
