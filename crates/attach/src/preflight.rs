//! What can be known before a target is touched: that it exists, may be traced, and has room for a copy.

use heapray_linux::Status;

use crate::AttachError;

/// Room that a copy needs beyond page tables: what the target writes meanwhile is copied page by page.
const SAFETY_BYTES: u64 = 32 << 20;
/// Helper and copy.
const NEW_TASKS: u64 = 2;
const CAP_SYS_PTRACE: u32 = 19;
/// SIGKILL in a set of signals.
const KILLED: u64 = 1 << 8;

/// What the checks found out.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) status: Status,
    pub(crate) start_ticks: u64,
}

impl Target {
    /// Whether the process is still there. One that was killed has no memory for a while before it is a zombie, and a while before
    /// that a signal that nothing holds back.
    pub(crate) fn lives(&self) -> bool {
        let pid = self.status.tgid;
        let is_same = heapray_linux::stat(pid).is_ok_and(|stat| stat.start_ticks == self.start_ticks);
        let is_whole = |now: Status| {
            let is_killed = (now.pending | now.shared_pending) & KILLED != 0;
            !matches!(now.state, 'Z' | 'X') && now.size_bytes != 0 && !is_killed
        };
        is_same && heapray_linux::status(pid).is_ok_and(is_whole)
    }
}

/// Checks that process `pid` can be stopped at all.
pub(crate) fn target(pid: i32) -> Result<Target, AttachError> {
    let target = present(pid)?;
    if target.status.tracer != 0 {
        return Err(already_traced(pid, target.status.tracer));
    }
    Ok(target)
}

/// Checks that process `pid` is one that has memory.
pub(crate) fn present(pid: i32) -> Result<Target, AttachError> {
    if pid == std::process::id().cast_signed() {
        return Err(AttachError::Itself { pid });
    }
    let missing = |_| AttachError::NoSuchProcess { pid };
    let status = heapray_linux::status(pid).map_err(missing)?;
    let stat = heapray_linux::stat(pid).map_err(missing)?;
    if status.tgid != pid {
        return Err(AttachError::NoSuchProcess { pid });
    }
    if matches!(status.state, 'Z' | 'X') && stat.threads <= 1 {
        return Err(AttachError::Zombie { pid });
    }
    if status.kernel_thread && !matches!(status.state, 'Z' | 'X') {
        return Err(AttachError::KernelThread { pid });
    }
    Ok(Target { status, start_ticks: stat.start_ticks })
}

/// The error for a target with a tracer.
pub(crate) fn already_traced(pid: i32, tracer: i32) -> AttachError {
    let tracer_name = heapray_linux::stat(tracer).map(|stat| stat.name).unwrap_or_default();
    AttachError::AlreadyTraced { pid, tracer, tracer_name }
}

/// Checks that limits leave room for a copy of the target.
pub(crate) fn room(pid: i32, status: &Status) -> Result<(), AttachError> {
    let group = heapray_linux::cgroup(pid);
    let need = status.page_table_bytes + need_bytes(status);
    if let Some(have) = group.headroom_bytes()
        && have < need
    {
        let (have, need) = (mebibytes(have), mebibytes(need));
        return Err(AttachError::NoRoom { pid, what: "the control group's memory limit", have, need });
    }
    if let Some(have) = group.task_headroom()
        && have < NEW_TASKS
    {
        let (have, need) = (format!("{have} tasks"), format!("{NEW_TASKS} tasks"));
        return Err(AttachError::NoRoom { pid, what: "the control group's pids.max", have, need });
    }
    Ok(())
}

/// Checks what an agent needs beyond a stop.
pub(crate) fn agent(pid: i32, status: &Status) -> Result<(), AttachError> {
    if status.shadow_stack {
        return Err(AttachError::ShadowStack { pid });
    }
    if let Err(error) = heapray_linux::mappings(pid) {
        return Err(match error.kind() {
            std::io::ErrorKind::PermissionDenied => denial(pid, status),
            _ => AttachError::NoSuchProcess { pid },
        });
    }
    Ok(())
}

/// Whether we live under as many seccomp filters as the target, which are then the same (a container's): calls that they forbid
/// fail with an error, or we would not be here.
pub(crate) fn shares_filters(status: &Status) -> bool {
    let own = heapray_linux::status(std::process::id().cast_signed()).unwrap_or_default();
    status.seccomp == 2 && own.seccomp == 2 && own.seccomp_filters == status.seccomp_filters
}

/// Bytes that the target may make the kernel copy while it is read: a guess, 2 % of its memory, at least 32 MiB.
pub(crate) fn need_bytes(status: &Status) -> u64 {
    SAFETY_BYTES.max(status.resident_bytes / 50)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Why ptrace was denied on `pid`, and what to try.
pub(crate) fn denial(pid: i32, status: &Status) -> AttachError {
    let now = heapray_linux::status(pid).map_or(0, |status| status.tracer);
    if now != 0 {
        return already_traced(pid, now);
    }
    AttachError::Denied { pid, cause: cause(pid, status) }
}

fn cause(pid: i32, status: &Status) -> String {
    let own = heapray_linux::status(std::process::id().cast_signed()).unwrap_or_default();
    let privileged = own.capabilities & (1 << CAP_SYS_PTRACE) != 0;
    if own.uids[1] == 0 && !privileged {
        return "heapray is root without CAP_SYS_PTRACE, as in a container with default settings; \
            add the capability (docker run --cap-add SYS_PTRACE, securityContext.capabilities.add: [SYS_PTRACE]) or run heapray on the host"
            .to_owned();
    }
    if !privileged && status.uids != [own.uids[1]; 4] {
        return format!(
            "it belongs to user {} and heapray runs as user {}; run heapray as that user, or as root (sudo)",
            status.uids[0], own.uids[1]
        );
    }
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    match scope.trim() {
        "3" => "yama ptrace_scope is 3: nobody may trace until the next boot with another setting".to_owned(),
        level @ ("1" | "2") if !privileged => format!(
            "yama ptrace_scope is {level}; run heapray as root (sudo), or set it to 0: sysctl kernel.yama.ptrace_scope=0"
        ),
        _ if !privileged && is_undumpable(pid) => {
            "the process made itself non-dumpable (it changed users, or called prctl(PR_SET_DUMPABLE, 0)); run heapray as root (sudo)".to_owned()
        }
        _ if heapray_linux::is_same_namespace(pid, "user") == Some(false) => {
            "it is in another user namespace, in which heapray has no CAP_SYS_PTRACE; run heapray on the host as root".to_owned()
        }
        _ => "a security module (SELinux, AppArmor, a seccomp filter on heapray) denies it, or the process is protected; \
            run heapray as root on the host, and look at the audit log"
            .to_owned(),
    }
}

/// The files of a non-dumpable process belong to root (proc_pid(5)).
fn is_undumpable(pid: i32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(format!("/proc/{pid}/environ")).map(|data| data.uid());
    let user = heapray_linux::status(pid).map(|status| status.uids[1]);
    matches!((owner, user), (Ok(owner), Ok(user)) if owner != user)
}
