//! Takes snapshots of running processes and core files: the only place of the binary that touches a process.
//!
//! The rest of the binary sees bytes in the capture format, whether they come from here or from a file.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A running process.
    Pid(u32),
    /// A core file.
    Core(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "process {pid}"),
            Self::Core(path) => write!(f, "core file {}", path.display()),
        }
    }
}

/// How to read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SnapshotOptions {
    /// Take the whole tree below the process too.
    pub(crate) children: bool,
    /// Stop the target for the time of the read instead of copying it.
    pub(crate) in_place: bool,
    /// Store values of user data.
    pub(crate) values: bool,
}

/// What taking a snapshot did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    /// Per process: its pid and how long it was stopped, milliseconds.
    pub(crate) pauses_ms: Vec<(u32, f64)>,
    /// Objects read, all processes together.
    pub(crate) n_objects: u64,
    /// Bytes written.
    pub(crate) n_bytes: u64,
}

/// Takes a snapshot and writes it to `out` in the capture format while reading.
pub(crate) fn snapshot_to(
    source: &Source,
    options: &SnapshotOptions,
    out: &mut dyn Write,
) -> anyhow::Result<Taken> {
    let _ = (options, out);
    anyhow::bail!("cannot take a snapshot of {source}: this build reads files only")
}

/// Takes a snapshot of a process into memory.
pub(crate) fn snapshot_to_bytes(pid: u32, options: &SnapshotOptions) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    snapshot_to(&Source::Pid(pid), options, &mut bytes)?;
    Ok(bytes)
}
