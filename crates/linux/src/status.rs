//! `/proc/PID/status`: who owns a process, who traces it, how it is confined, how much memory it has.
//!
//! Fields that an older kernel does not print are at their neutral value.

use std::io;

/// Fields of `/proc/PID/status` (proc_pid_status(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Thread name.
    pub name: String,
    /// State letter, as in `stat`.
    pub state: char,
    /// Process that the thread belongs to.
    pub tgid: i32,
    /// Parent process.
    pub parent: i32,
    /// Tracing process, 0 where none (or one outside our pid namespace).
    pub tracer: i32,
    /// Real, effective, saved and file system user.
    pub uids: [u32; 4],
    /// Real, effective, saved and file system group.
    pub gids: [u32; 4],
    /// The thread's id in each nested pid namespace, ours first, its own last.
    pub namespace_ids: Vec<i32>,
    /// Number of threads.
    pub threads: u32,
    /// 0 none, 1 strict, 2 filters.
    pub seccomp: u8,
    /// How many seccomp filters.
    pub seccomp_filters: u32,
    /// Returns are checked against a shadow stack (x86-64 CET).
    pub shadow_stack: bool,
    /// Effective capabilities, a bit each.
    pub capabilities: u64,
    /// Address space, in bytes.
    pub size_bytes: u64,
    /// Resident memory, in bytes; 0 for a kernel thread or a zombie.
    pub resident_bytes: u64,
    /// Page tables, in bytes.
    pub page_table_bytes: u64,
    /// Signals pending for this thread.
    pub pending: u64,
    /// Signals pending for the process.
    pub shared_pending: u64,
    /// Signals blocked.
    pub blocked: u64,
    /// Signals ignored.
    pub ignored: u64,
    /// Signals with a handler.
    pub caught: u64,
    /// A kernel thread: it has no memory of its own.
    pub kernel_thread: bool,
}

/// The `status` of process `pid`.
///
/// # Errors
/// Those of reading the file (`NotFound` where the process is gone).
pub fn status(pid: i32) -> io::Result<Status> {
    Ok(parse_status(&std::fs::read(format!("/proc/{pid}/status"))?))
}

/// The `status` of one thread.
///
/// # Errors
/// As [`status`].
pub fn thread_status(pid: i32, tid: i32) -> io::Result<Status> {
    Ok(parse_status(&std::fs::read(format!("/proc/{pid}/task/{tid}/status"))?))
}

/// Parses the text of a `status` file.
pub fn parse_status(text: &[u8]) -> Status {
    let text = String::from_utf8_lossy(text);
    let mut status = Status { state: '?', kernel_thread: true, ..Status::default() };
    for line in text.lines() {
        if let Some((key, value)) = line.split_once(':') {
            set(&mut status, key, value.trim());
        }
    }
    status
}

fn set(status: &mut Status, key: &str, value: &str) {
    match key {
        "Name" => status.name = value.to_owned(),
        "State" => status.state = value.chars().next().unwrap_or('?'),
        "Tgid" => status.tgid = number(value),
        "PPid" => status.parent = number(value),
        "TracerPid" => status.tracer = number(value),
        "Uid" => status.uids = four(value),
        "Gid" => status.gids = four(value),
        "NSpid" => status.namespace_ids = value.split_ascii_whitespace().map(number).collect(),
        "Threads" => status.threads = number(value),
        "Seccomp" => status.seccomp = number(value),
        "Seccomp_filters" => status.seccomp_filters = number(value),
        "x86_Thread_features" => status.shadow_stack = value.split(' ').any(|word| word == "shstk"),
        "CapEff" => status.capabilities = mask(value),
        "VmSize" => {
            status.size_bytes = kibibytes(value);
            status.kernel_thread = false;
        }
        "VmRSS" => status.resident_bytes = kibibytes(value),
        "VmPTE" => status.page_table_bytes = kibibytes(value),
        "SigPnd" => status.pending = mask(value),
        "ShdPnd" => status.shared_pending = mask(value),
        "SigBlk" => status.blocked = mask(value),
        "SigIgn" => status.ignored = mask(value),
        "SigCgt" => status.caught = mask(value),
        _ => {}
    }
}

fn number<T: std::str::FromStr + Default>(value: &str) -> T {
    value.parse().unwrap_or_default()
}

fn four(value: &str) -> [u32; 4] {
    let mut out = [0; 4];
    for (slot, word) in out.iter_mut().zip(value.split_ascii_whitespace()) {
        *slot = number(word);
    }
    out
}

fn mask(value: &str) -> u64 {
    u64::from_str_radix(value, 16).unwrap_or(0)
}

fn kibibytes(value: &str) -> u64 {
    number::<u64>(value.split_ascii_whitespace().next().unwrap_or_default()).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_memory_is_no_kernel_thread() {
        let text =
            b"Name:\tpy\nState:\tS (sleeping)\nTgid:\t9\nTracerPid:\t3\nUid:\t1\t2\t3\t4\nNSpid:\t9\t1\n\
            VmSize:\t  100 kB\nVmRSS:\t 10 kB\nSeccomp:\t2\nSigCgt:\t0000000000000002\n";
        let status = parse_status(text);
        assert_eq!((status.state, status.tgid, status.tracer, status.seccomp), ('S', 9, 3, 2));
        assert_eq!((status.uids, status.namespace_ids.as_slice()), ([1, 2, 3, 4], &[9, 1][..]));
        assert_eq!((status.size_bytes, status.resident_bytes, status.caught), (102_400, 10_240, 2));
        assert!(!status.kernel_thread);
        assert!(parse_status(b"Name:\tkthreadd\nState:\tS\n").kernel_thread);
    }

    #[test]
    fn our_own_status_is_read() {
        let pid = std::process::id().cast_signed();
        let status = status(pid).expect("own status is readable");
        assert_eq!(status.tgid, pid);
        assert!(status.resident_bytes > 0 && status.page_table_bytes > 0 && !status.kernel_thread);
    }
}
