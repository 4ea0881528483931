//! Whether more comes of a recording: a process holds its file open for writing.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Name of a process that may be a collector.
const COLLECTOR: &str = "heapray";
/// The access mode among the flags of an open file (open(2)); 0 is reading only.
const ACCESS_MODE: u32 = 3;

/// Whether a process writes this file, as far as can be seen: one in another pid namespace is not, one of another user's that is
/// called as heapray counts.
pub(crate) fn is_being_written(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let Ok(wanted) = path.metadata() else { return false };
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let is_pid = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let mut processes = processes.map(|entry| entry.path());
    processes.any(|process| {
        process.file_name().and_then(|name| name.to_str()).is_some_and(is_pid)
            && writes(&process, &path, &wanted)
    })
}

fn writes(process: &Path, path: &Path, wanted: &Metadata) -> bool {
    let open = match fs::read_dir(process.join("fd")) {
        Ok(open) => open,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == COLLECTOR);
        }
        Err(_) => return false,
    };
    let mut open = open.filter_map(Result::ok);
    open.any(|entry| {
        // Only files of that name are looked at: others may lie where a look takes long.
        let is_named = fs::read_link(entry.path()).is_ok_and(|name| name.file_name() == path.file_name());
        is_named
            && fs::metadata(entry.path()).is_ok_and(|found| is_same(&found, wanted))
            && fs::read_to_string(process.join("fdinfo").join(entry.file_name()))
                .is_ok_and(|info| is_open_for_writing(&info))
    })
}

/// Whether two names lead to one file.
pub(crate) fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Reads the line `flags: 0100001` of `/proc/PID/fdinfo/FD` (proc(5)), in octal.
fn is_open_for_writing(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags
        .and_then(|text| u32::from_str_radix(text.trim(), 8).ok())
        .is_some_and(|flags| flags & ACCESS_MODE != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_does_not_write() {
        let path = std::env::temp_dir().join(format!("heapray-{}-writer.hr", std::process::id()));
        let file = fs::File::create(&path).expect("the temporary directory is writable");
        assert!(is_being_written(&path));
        drop(file);
        let _reader = fs::File::open(&path).expect("it is there");
        assert!(!is_being_written(&path));
        fs::remove_file(&path).expect("it is there");
        assert!(!is_being_written(&path));
    }
}
