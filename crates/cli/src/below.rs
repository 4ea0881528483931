//! A process that is no Python but has started one: users name the pid of the shell, of `timeout`, of a container's first process.

use anyhow::anyhow;

/// An error about process `pid`, and which Pythons there are below it to be asked about instead.
pub(crate) fn with_pythons_below(error: anyhow::Error, pid: i32) -> anyhow::Error {
    let below = heapray_attach::pythons_below(pid);
    let Some(first) = below.first() else { return error };
    let more = match below.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    anyhow!("{error:#}; below it there is a Python, process {first}{more}: give that pid")
}
