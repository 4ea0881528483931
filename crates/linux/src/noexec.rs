//! Whether files of a folder may be executed.
//!
//! Unsafe: `statvfs` writes to a local.
#![expect(unsafe_code, reason = "one system call with pointers")]

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Whether the file system of `folder` lets files be executed or mapped executable (it is not mounted `noexec`). `false` where
/// there is no such folder.
pub fn may_execute_in(folder: &Path) -> bool {
    let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else { return false };
    let mut about = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `path` is NUL-terminated and outlives the call, which writes at most one `statvfs`.
    if unsafe { libc::statvfs(path.as_ptr(), about.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: made of integers, zeroed and then written.
    let about = unsafe { about.assume_init() };
    about.f_flag & libc::ST_NOEXEC == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_executes_nothing_and_the_root_does() {
        assert!(may_execute_in(Path::new("/")));
        assert!(!may_execute_in(Path::new("/no/such/folder")) && !may_execute_in(Path::new("/\0")));
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let is_noexec = |line: &str| line.contains(" /proc proc ") && line.contains("noexec");
        assert_eq!(mounts.lines().any(is_noexec), !may_execute_in(Path::new("/proc")));
    }
}
