//! From a TARGET to a session: live or file is one path, bytes in the capture format.

use crate::failure::cannot_read;
use crate::flags::SourceFlags;
use crate::live::{self, SnapshotOptions};
use crate::progress::Progress;
use crate::target::Target;
use anyhow::Context;
use heapray_capture::{SnapshotFile, SnapshotReader};
use heapray_query::Session;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Bytes read from a file at once.
const PIECE_BYTES: usize = 1 << 20;

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
    let bytes = live::snapshot_to_bytes(pid, &options)?;
    Ok(heapray_capture::read(&format!("the snapshot of {pid}"), &bytes)?)
}

/// Reads and decodes a snapshot file, piece by piece: only its tables are kept.
pub(crate) fn read_file(path: &Path) -> anyhow::Result<SnapshotFile> {
    let problem = |error| cannot_read(path, error, "a process id, or a file that `heapray snapshot` wrote,");
    let mut file = File::open(path).map_err(problem)?;
    let mut reader = SnapshotReader::new(&path.display().to_string());
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(reader.finish()?),
            Ok(n) => reader.push(&piece[..n])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(problem(error)),
        }
    }
}
