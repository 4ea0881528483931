//! A process and its descendants.

use std::collections::{BTreeSet, VecDeque};

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
