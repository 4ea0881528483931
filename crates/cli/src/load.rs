//! From a TARGET to a session: live or file is one path, bytes in the capture format.

use crate::flags::SourceFlags;
use crate::live::{self, SnapshotOptions};
use crate::progress::Progress;
use crate::target::Target;
use anyhow::Context;
use heapray_capture::SnapshotFile;
use heapray_query::Session;
use std::path::Path;

/// Opens what a command asks about.
pub(crate) fn session(source: &SourceFlags) -> anyhow::Result<Session> {
    let file = file(source)?;
    let mut progress = Progress::new();
    progress.say("building the graph …");
    Session::new(file, source.process.process).with_context(|| format!("cannot read {}", source.target))
}

/// Reads what a command asks about, all processes of it.
pub(crate) fn file(source: &SourceFlags) -> anyhow::Result<SnapshotFile> {
    let mut progress = Progress::new();
    match &source.target {
        Target::Pid(pid) => {
            progress.say(&format!("reading process {pid} …"));
            live_file(*pid, source.live.in_place)
        }
        Target::File(path) => {
            progress.say(&format!("reading {} …", path.display()));
            read_file(path)
        }
    }
}

/// Takes a snapshot and decodes it.
pub(crate) fn live_file(pid: u32, in_place: bool) -> anyhow::Result<SnapshotFile> {
    let options = SnapshotOptions { in_place, ..SnapshotOptions::default() };
    decode(&live::snapshot_to_bytes(pid, &options)?)
}

/// Reads and decodes a snapshot file.
pub(crate) fn read_file(path: &Path) -> anyhow::Result<SnapshotFile> {
    let bytes =
        std::fs::read(path).with_context(|| format!("cannot read the snapshot {}", path.display()))?;
    decode(&bytes).with_context(|| format!("cannot read the snapshot {}", path.display()))
}

fn decode(bytes: &[u8]) -> anyhow::Result<SnapshotFile> {
    let _ = bytes;
    anyhow::bail!("the reader of the capture format is not built yet")
}
