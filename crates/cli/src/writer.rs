//! Who writes a recording: its file is locked from the first byte to the last, in whatever namespace the writer runs.

use std::fs::{File, TryLockError};
use std::path::Path;

/// Keeps a file that is to be written from others; whether nobody else has it. Where the file system knows no locks, nobody has.
pub(crate) fn lock(file: &File) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Whether more comes of a recording, as far as can be seen.
pub(crate) fn is_being_written(path: &Path) -> bool {
    let file = File::open(path);
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_does_not_write() {
        let path = std::env::temp_dir().join(format!("heapray-{}-writer.hr", std::process::id()));
        let file = File::create(&path).expect("the temporary directory is writable");
        assert!(lock(&file) && is_being_written(&path));
        assert!(!lock(&File::options().write(true).open(&path).expect("it is there")));
        drop(file);
        let _reader = File::open(&path).expect("it is there");
        assert!(!is_being_written(&path));
        std::fs::remove_file(&path).expect("it is there");
        assert!(!is_being_written(&path));
    }
}
