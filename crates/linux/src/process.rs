//! The rest of `/proc/PID`: threads, children, command line, executable, descriptors, namespaces.
//!
//! Lists come sorted. What vanishes while it is read is left out without complaint: processes do that.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The thread ids of process `pid`, ascending.
///
/// # Errors
/// Those of listing `/proc/PID/task` (`NotFound` where the process is gone).
pub fn threads(pid: i32) -> io::Result<Vec<i32>> {
    numbers(&format!("/proc/{pid}/task"))
}

/// The descriptors of process `pid` with what each stands for (`socket:[123]`, a path), ascending.
///
/// # Errors
/// Those of listing `/proc/PID/fd`: no such process, or no permission to trace it.
pub fn file_descriptors(pid: i32) -> io::Result<Vec<(i32, PathBuf)>> {
    let fds = numbers(&format!("/proc/{pid}/fd"))?;
    Ok(fds
        .into_iter()
        .filter_map(|fd| Some((fd, std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?)))
        .collect())
}

/// The children of process `pid`, whichever thread made them, ascending. Zombies are among them.
///
/// # Errors
/// Those of listing `/proc/PID/task`.
pub fn children(pid: i32) -> io::Result<Vec<i32>> {
    let mut out = Vec::new();
    for tid in threads(pid)? {
        match std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")) {
            Ok(text) => out.extend(text.split_ascii_whitespace().filter_map(|word| word.parse::<i32>().ok())),
            // Built without CONFIG_PROC_CHILDREN, or the thread is gone: ask every process for its parent instead.
            Err(_) if threads(pid).is_ok_and(|tids| tids.contains(&tid)) => return children_by_parent(pid),
            Err(_) => {}
        }
    }
    out.sort_unstable();
    out.dedup();
    Ok(out)
}

fn children_by_parent(pid: i32) -> io::Result<Vec<i32>> {
    let mut all = numbers("/proc")?;
    all.retain(|candidate| crate::stat(*candidate).is_ok_and(|stat| stat.parent == pid));
    Ok(all)
}

/// What names this boot of this machine: with a process's start time and pid it names the process for good.
///
/// # Errors
/// Those of reading `/proc/sys/kernel/random/boot_id`, see random(4).
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned())
}

/// The executable, as the process sees it in its own mount namespace.
///
/// # Errors
/// Those of reading the link: no such process, a kernel thread, or no permission to trace it.
pub fn executable(pid: i32) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe"))
}

/// The command line, one argument each; empty for kernel threads and zombies.
///
/// # Errors
/// Those of reading the file.
pub fn command_line(pid: i32) -> io::Result<Vec<OsString>> {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = std::fs::read(format!("/proc/{pid}/cmdline"))?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    Ok(bytes.split(|byte| *byte == 0).map(|arg| OsString::from_vec(arg.to_vec())).collect())
}

/// The name of one thread; empty where it is gone.
pub fn thread_name(pid: i32, tid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/task/{tid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned()
}

/// Whether process `pid` is in our own namespace of this kind (`pid`, `mnt`, `user`, …); `None` where we may not know.
pub fn is_same_namespace(pid: i32, kind: &str) -> Option<bool> {
    let theirs = std::fs::metadata(format!("/proc/{pid}/ns/{kind}")).ok()?;
    let ours = std::fs::metadata(format!("/proc/self/ns/{kind}")).ok()?;
    Some(theirs.ino() == ours.ino() && theirs.dev() == ours.dev())
}

/// The size of a page, in bytes.
pub fn page_bytes() -> u64 {
    asked_page_bytes()
}

/// `AT_PAGESZ` through libc, the one source that is right on 4, 16 and 64 KiB kernels.
#[expect(unsafe_code, reason = "one libc call without pointers")]
fn asked_page_bytes() -> u64 {
    // SAFETY: sysconf takes a number and answers a number; it touches no memory of ours.
    let answer = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(answer).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(4096)
}

fn numbers(folder: &str) -> io::Result<Vec<i32>> {
    let mut out: Vec<i32> = std::fs::read_dir(folder)?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    out.sort_unstable();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_described() {
        let pid = std::process::id().cast_signed();
        assert!(threads(pid).expect("own threads").contains(&pid));
        assert_eq!(executable(pid).expect("own exe"), std::env::current_exe().expect("own exe"));
        assert!(!command_line(pid).expect("own command line").is_empty());
        assert!(file_descriptors(pid).expect("own descriptors").len() >= 3);
        assert_eq!(is_same_namespace(pid, "pid"), Some(true));
        assert!(page_bytes() >= 4096);
    }

    #[test]
    fn a_child_is_listed_until_it_is_reaped() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat starts");
        let id = child.id().cast_signed();
        let pid = std::process::id().cast_signed();
        assert!(children(pid).expect("own children").contains(&id));
        assert!(children_by_parent(pid).expect("own children").contains(&id));
        drop(child.stdin.take());
        child.wait().expect("cat ends");
        assert!(!children(pid).expect("own children").contains(&id));
    }
}
