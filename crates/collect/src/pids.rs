//! Pids across namespaces, and the machine's memory.

/// The process that calls itself `pid`, as we call it. `relative` is one that is known to be of the same recording: where it
/// lives in another pid namespace, the one that is asked for is looked for there.
pub(crate) fn ours(pid: u32, relative: Option<i32>) -> i32 {
    let pid = i32::try_from(pid).unwrap_or(0);
    let is_nested = |pid: i32| heapray_linux::status(pid).is_ok_and(|status| status.namespace_ids.len() > 1);
    if relative.is_none_or(|relative| !is_nested(relative)) {
        return pid;
    }
    let calls_itself = |candidate: &i32| {
        let status = heapray_linux::status(*candidate);
        status.is_ok_and(|status| status.namespace_ids.len() > 1 && status.namespace_ids.last() == Some(&pid))
    };
    all().into_iter().find(calls_itself).unwrap_or(pid)
}

fn all() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}
