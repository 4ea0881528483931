//! A process and its descendants.

use std::collections::{BTreeSet, VecDeque};

/// The processes below `pid` that have a CPython in them, nearest first: what `pid` (a shell, `timeout`, a container's first
/// process) has started. Costs one small file a thread, and the symbols of the files that may be it.
pub fn pythons_below(pid: i32) -> Vec<i32> {
    tree(pid).into_iter().filter(|below| *below != pid && crate::python::is_likely(*below)).collect()
}

/// `pid` and all processes below it: parents before children, siblings by pid. Empty where there is no such process.
/// Zombies are left out. Costs one small file a thread.
pub fn tree(pid: i32) -> Vec<i32> {
    let mut out = Vec::new();
    let mut seen = BTreeSet::new();
    let mut queue = VecDeque::from([pid]);
    while let Some(next) = queue.pop_front() {
        let alive =
            heapray_linux::stat(next).is_ok_and(|stat| !matches!(stat.state, 'Z' | 'X') || stat.threads > 1);
        if !alive || !seen.insert(next) {
            continue;
        }
        out.push(next);
        queue.extend(heapray_linux::children(next).unwrap_or_default());
    }
    out
}
