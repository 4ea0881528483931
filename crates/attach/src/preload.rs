//! The agent image as a file that the loader of any process we start can open: a private folder, removed at the end.
//!
//! The folder must be one that other users can read (a server that gives up root), whose files may be executed (`noexec`
//! shows as an error of the loader in the target's output), and whose path survives in `LD_PRELOAD` (no colon, no space).
//!
//! The file is locked while its heapray lives: what one that was killed has left is told by that, and taken away by the next.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Name of the file; the agent knows its own entry in `LD_PRELOAD` by it.
pub(crate) const FILE_NAME: &str = "heapray-agent.so";
/// What names of our folders begin with.
const FOLDER_NAME: &str = "heapray-";
/// How many names are tried in one folder before it is given up.
const MAX_TRIES: u32 = 100;
/// Entries of a folder that are looked at for leavings.
const MAX_ENTRIES: usize = 10_000;
/// Rights of a folder that is whole: others are to find the file in it.
const FOLDER_MODE: u32 = 0o755;

/// The file, in its folder; removed when dropped.
#[derive(Debug)]
pub(crate) struct PreloadFile {
    folder: PathBuf,
    path: PathBuf,
    /// Keeps the file locked.
    _open: Option<File>,
}

impl PreloadFile {
    /// Writes `image` to the first folder that will do. The error names the last that would not.
    pub(crate) fn write(image: &[u8]) -> Result<Self, (PathBuf, io::Error)> {
        let mut last = (PathBuf::from("/tmp"), io::Error::from(io::ErrorKind::NotFound));
        for base in bases() {
            if !is_fit(&base) {
                continue;
            }
            match Self::write_below(&base, image) {
                Ok(file) => return Ok(file),
                Err(error) => last = (base, error),
            }
        }
        Err(last)
    }

    fn write_below(base: &Path, image: &[u8]) -> io::Result<Self> {
        sweep(base);
        let folder = fresh_folder(base)?;
        // From here on dropping it takes the folder away again.
        let mut file = Self { path: folder.join(FILE_NAME), folder, _open: None };
        let mut out = File::options().write(true).create_new(true).open(&file.path)?;
        // A file system without locks keeps what a killed heapray leaves: see there.
        let _locked = out.try_lock();
        out.write_all(image)?;
        // Whatever our umask: other users' processes are to load it, nobody is to write it.
        fs::set_permissions(&file.path, Permissions::from_mode(0o555))?;
        fs::set_permissions(&file.folder, Permissions::from_mode(FOLDER_MODE))?;
        file._open = Some(out);
        Ok(file)
    }

    /// Where the file lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PreloadFile {
    fn drop(&mut self) {
        // Somebody may have cleaned up before us.
        let _gone = fs::remove_file(&self.path);
        let _gone = fs::remove_dir(&self.folder);
    }
}

fn bases() -> Vec<PathBuf> {
    let asked = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let mut out = vec![std::env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
    out.extend(asked("XDG_RUNTIME_DIR"));
    out.push(PathBuf::from("/dev/shm"));
    out
}

fn is_fit(base: &Path) -> bool {
    let splits = |byte: &u8| matches!(byte, b':' | b' ' | b'\t' | b'\n');
    let readable = base.as_os_str().as_bytes();
    base.is_absolute() && !readable.iter().any(splits) && heapray_linux::may_execute_in(base)
}

/// Takes away what heaprays that were killed have left in `base`. Programs that have the file mapped keep it, and take it for
/// gone when they start others.
fn sweep(base: &Path) {
    let entries = fs::read_dir(base).into_iter().flatten().take(MAX_ENTRIES).filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_name().as_bytes().starts_with(FOLDER_NAME.as_bytes())) {
        let folder = entry.path();
        // One that is being made is not open to others yet.
        let is_whole = fs::symlink_metadata(&folder)
            .is_ok_and(|data| data.is_dir() && data.permissions().mode() & 0o777 == FOLDER_MODE);
        let path = folder.join(FILE_NAME);
        let is_file = || fs::symlink_metadata(&path).is_ok_and(|data| data.is_file());
        if is_whole && is_file() && is_unlocked(&path) {
            let _others = fs::remove_file(&path);
            let _others = fs::remove_dir(&folder);
        }
    }
}

/// Whether nobody has locked a file; `false` where that cannot be told.
fn is_unlocked(path: &Path) -> bool {
    let file = File::options().read(true).custom_flags(heapray_linux::OPEN_NO_WAIT).open(path);
    file.is_ok_and(|file| file.try_lock().is_ok())
}

fn fresh_folder(base: &Path) -> io::Result<PathBuf> {
    let pid = std::process::id();
    for n in 0..MAX_TRIES {
        let folder = base.join(format!("{FOLDER_NAME}{pid}-{n}"));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_there_until_it_is_dropped() {
        let file = PreloadFile::write(b"image").expect("some folder will do");
        let (path, folder) = (file.path().to_owned(), file.folder.clone());
        assert_eq!(fs::read(&path).expect("there"), b"image");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o555);
        assert_eq!(fs::metadata(&folder).expect("there").permissions().mode() & 0o777, 0o755);
        let second = PreloadFile::write(b"other").expect("some folder will do");
        assert_ne!(second.path(), path);
        drop(file);
        assert!(!path.exists() && !folder.exists() && second.path().exists());
    }

    #[test]
    fn what_a_killed_one_left_is_taken_away() {
        let base = std::env::temp_dir().join(format!("{FOLDER_NAME}sweep-{}", std::process::id()));
        fs::create_dir(&base).expect("the temporary directory is writable");
        let left = |name: &str, mode: u32| {
            let folder = base.join(name);
            fs::create_dir(&folder).expect("it is new");
            fs::write(folder.join(FILE_NAME), b"image").expect("it is new");
            fs::set_permissions(&folder, Permissions::from_mode(mode)).expect("it is ours");
            folder
        };
        let (killed, begun, others) =
            (left("heapray-1-0", 0o755), left("heapray-2-0", 0o700), left("other-1-0", 0o755));
        fs::write(begun.join("more"), b"").expect("it is ours");
        let first = PreloadFile::write_below(&base, b"image").expect("it will do");
        let second = PreloadFile::write_below(&base, b"image").expect("it will do");
        let is_there = |path: &Path| path.join(FILE_NAME).exists();
        assert!(!killed.exists() && is_there(&begun) && is_there(&others));
        assert!(first.path().exists() && second.path().exists());
        drop((first, second));
        fs::remove_dir_all(&base).expect("it is ours");
    }

    #[test]
    fn a_path_that_the_loader_would_split_is_not_used() {
        assert!(!is_fit(Path::new("/tmp/a b")) && !is_fit(Path::new("/a:b")) && !is_fit(Path::new("tmp")));
    }
}
