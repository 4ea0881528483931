//! `/proc/PID/smaps_rollup`: how much memory a process really uses, and how much it shares.
//!
//! The kernel walks the whole page table for it (some 10 ms a GB): ask once per snapshot, not in a loop.

use std::io;

/// Sums over all mappings, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    /// Resident memory.
    pub resident_bytes: u64,
    /// Resident memory, each page divided by the number of processes that map it.
    pub proportional_bytes: u64,
    /// Resident anonymous memory.
    pub anonymous_bytes: u64,
    /// Anonymous memory in swap.
    pub swap_bytes: u64,
    /// Resident memory that was written and that no other process maps. (Whether clean pages, of files, are private depends
    /// on who else runs the same program.)
    pub private_dirty_bytes: u64,
}

/// The rollup of process `pid`.
///
/// # Errors
/// Those of reading the file: no such process, or no permission to trace it.
pub fn smaps_rollup(pid: i32) -> io::Result<Rollup> {
    Ok(parse(&std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?))
}

fn parse(text: &str) -> Rollup {
    let mut rollup = Rollup::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(key), Some(Ok(value))) = (words.next(), words.next().map(str::parse::<u64>)) else {
            continue;
        };
        let bytes = value.saturating_mul(1024);
        match key {
            "Rss:" => rollup.resident_bytes = bytes,
            "Pss:" => rollup.proportional_bytes = bytes,
            "Anonymous:" => rollup.anonymous_bytes = bytes,
            "Swap:" => rollup.swap_bytes = bytes,
            "Private_Dirty:" => rollup.private_dirty_bytes = bytes,
            _ => {}
        }
    }
    rollup
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollup_is_told_in_bytes() {
        let rollup = parse(
            "0-f ---p 0 00:00 0 [rollup]\nRss: 10 kB\nPss: 5 kB\nPrivate_Clean: 1 kB\nPrivate_Dirty: 2 kB\n",
        );
        assert_eq!(
            (rollup.resident_bytes, rollup.proportional_bytes, rollup.private_dirty_bytes),
            (10240, 5120, 2048)
        );
    }
}
