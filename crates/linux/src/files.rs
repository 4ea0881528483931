//! Where the files that a process has mapped can be opened.
//!
//! The path of a mapping is one in the process's own mount namespace and root, and the file behind it may have been
//! replaced since (an upgrade): the kernel then calls it deleted, and what stands at its path is not taken for it. Inodes
//! alone do not tell: on overlayfs, as in most containers, those in `maps` may be the lower layer's. A process in a
//! `chroot` of our own mount namespace is shown with paths as seen from our root, not its own (`d_path` of the reader).

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Mapping;

/// Flags to open a file that others may have put there: no waiting for the other end of a pipe, no links followed.
pub const OPEN_NO_WAIT: i32 = libc::O_NONBLOCK | libc::O_NOFOLLOW;

/// Where mapped files are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileRoot {
    /// In the mount namespaces of these processes, the first that is still there; they share their mappings.
    Processes(Vec<i32>),
    /// Below this folder, as for a core file from another machine; `/` for this one. It is not compared with anything.
    Folder(PathBuf),
}

impl FileRoot {
    /// Opens the file of `mapping`: by its path where that is still the same file, in the process's root, then in ours, else
    /// through `/proc/PID/map_files` (which needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE).
    ///
    /// # Errors
    /// Those of opening; `NotFound` where the file was replaced and the mapped one cannot be reached.
    pub fn open(&self, mapping: &Mapping) -> io::Result<File> {
        match self {
            Self::Folder(root) => File::open(below(root, &mapping.path)),
            Self::Processes(pids) => {
                let mut last = io::Error::from(io::ErrorKind::NotFound);
                for pid in pids {
                    match open_of(*pid, mapping) {
                        Ok(file) => return Ok(file),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }
}

fn open_of(pid: i32, mapping: &Mapping) -> io::Result<File> {
    let by_path = File::open(below(Path::new(&format!("/proc/{pid}/root")), &mapping.path));
    if let Ok(file) = by_path
        && (!mapping.deleted || file.metadata()?.ino() == mapping.inode)
    {
        return Ok(file);
    }
    if let Ok(file) = File::open(&mapping.path)
        && is_mapped(&file.metadata()?, mapping)
    {
        return Ok(file);
    }
    File::open(format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end))
}

/// Whether the mapping is certainly of this file.
fn is_mapped(file: &Metadata, mapping: &Mapping) -> bool {
    let device = format!("{:02x}:{:02x}", libc::major(file.dev()), libc::minor(file.dev()));
    file.ino() == mapping.inode && device == mapping.device
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_outside_the_root_of_a_process_is_found_from_ours() {
        let maps = crate::mappings(std::process::id().cast_signed()).expect("own maps");
        let mapping = maps.iter().find(|mapping| mapping.is_file()).expect("our own file is mapped");
        // No such process: neither its root nor its map_files can be had, as in a chroot without capabilities.
        let root = FileRoot::Processes(vec![i32::MAX]);
        assert_eq!(root.open(mapping).expect("there").metadata().expect("there").ino(), mapping.inode);
        let other = Mapping { device: "ff:fff".to_owned(), ..mapping.clone() };
        assert!(root.open(&other).is_err());
    }

    #[test]
    fn a_replaced_file_is_not_taken_for_the_mapped_one() {
        let pid = std::process::id().cast_signed();
        let maps = crate::mappings(pid).expect("own maps");
        let mapping = maps.iter().find(|mapping| mapping.is_file()).expect("our own file is mapped");
        let root = FileRoot::Processes(vec![i32::MAX, pid]);
        assert_eq!(root.open(mapping).expect("there").metadata().expect("there").ino(), mapping.inode);
        let replaced =
            Mapping { inode: mapping.inode + 1, deleted: true, start: 1, end: 2, ..mapping.clone() };
        assert!(root.open(&replaced).is_err());
    }
}
