//! An image from a core file.

use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use heapray_linux::{CoreFile, FileRoot};

use crate::AttachError;
use crate::image::{Image, ImageKind, StoppedThread, region};
use crate::memory::{DEFAULT_BUDGET_BYTES, ImageMemory};
use crate::source::Source;

/// Opens the core file at `path`. Mapped files that the core leaves out (code, constants) are read below `sysroot`, which
/// is `/` for a core of this machine; where they are not there, that memory is missing. A core file that was cut short
/// gives an image all the same, with its [`Image::losses`].
///
/// # Errors
/// [`AttachError::Core`]: it cannot be opened, is no core file of this architecture, or is cut off inside its headers.
pub fn core(path: &Path, sysroot: &Path) -> Result<Image, AttachError> {
    let refuse = |error: std::io::Error| AttachError::Core {
        path: path.display().to_string(),
        reason: error.to_string(),
    };
    let mut file = CoreFile::open(File::open(path).map_err(refuse)?).map_err(refuse)?;
    let files = FileRoot::Folder(sysroot.to_path_buf());
    let threads: Vec<StoppedThread> = file
        .threads
        .iter()
        .map(|thread| StoppedThread {
            tid: thread.tid,
            own_tid: thread.tid,
            name: if thread.tid == file.pid { file.name.clone() } else { String::new() },
            stack_pointer: thread.registers.stack_pointer(),
            instruction_pointer: thread.registers.instruction_pointer(),
            fs_base: thread.registers.fs_base().unwrap_or(0),
            registers: thread.registers.0.to_vec(),
        })
        .collect();
    let mappings = file.mappings.clone();
    let losses = std::mem::take(&mut file.losses);
    let pid = if file.pid != 0 { file.pid } else { threads.first().map_or(0, |thread| thread.tid) };
    Ok(Image {
        regions: mappings.iter().map(region).collect(),
        memory: ImageMemory::new(Source::core(file, files.clone()), &mappings, DEFAULT_BUDGET_BYTES),
        mappings,
        threads,
        kind: ImageKind::Core,
        pause: Duration::ZERO,
        fork_cost: Duration::ZERO,
        pid,
        own_pid: pid,
        same_pid_namespace: false,
        files,
        losses,
        guardian: None,
        born: Instant::now(),
        lost: OnceLock::new(),
    })
}
