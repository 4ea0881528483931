//! Which process a snapshot is of, so that two snapshots are compared only where they are of one.
//!
//! A pid alone names nothing: it is used again, and in a container the service has the same one after every restart.

use crate::Session;
use heapray_capture::HeapTables;

/// What names a process. What a file does not say (a core file, an older one) is `None` and contradicts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pid: Option<i64>,
    /// Start, in clock ticks since boot.
    start_ticks: Option<i64>,
    boot_id: Option<String>,
}

impl Identity {
    pub(crate) fn of(tables: &HeapTables) -> Self {
        Self {
            pid: tables.int("pid"),
            start_ticks: tables.int("start_ticks"),
            boot_id: tables.text("boot_id").map(str::to_owned),
        }
    }

    /// How one sees that two snapshots are of different processes; `None` where nothing says so.
    pub(crate) fn contradiction(&self, later: &Self) -> Option<String> {
        if differ(&self.boot_id, &later.boot_id) {
            return Some("they were taken on different machines, or before and after a reboot".to_owned());
        }
        if let (Some(before), Some(after)) = (self.pid, later.pid)
            && before != after
        {
            return Some(format!("one is of process {before}, the other of process {after}"));
        }
        let pid = self.pid.map_or_else(|| "the process".to_owned(), |pid| format!("process {pid}"));
        differ(&self.start_ticks, &later.start_ticks).then(|| format!("{pid} was restarted in between"))
    }
}

fn differ<T: PartialEq>(before: &Option<T>, after: &Option<T>) -> bool {
    matches!((before, after), (Some(before), Some(after)) if before != after)
}

impl Session {
    /// How one sees that the two are of different processes.
    pub(crate) fn contradiction(&self, later: &Session) -> Option<String> {
        self.identity.contradiction(&later.identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(pid: i64, start_ticks: i64, boot: &str) -> Identity {
        Identity { pid: Some(pid), start_ticks: Some(start_ticks), boot_id: Some(boot.to_owned()) }
    }

    #[test]
    fn what_is_not_known_contradicts_nothing() {
        let known = identity(7, 100, "a");
        assert_eq!(known.contradiction(&known), None);
        assert_eq!(known.contradiction(&Identity::default()), None);
        assert_eq!(Identity { pid: Some(7), ..Identity::default() }.contradiction(&known), None);
    }

    #[test]
    fn another_pid_another_start_and_another_boot_are_other_processes() {
        let known = identity(7, 100, "a");
        let says = |other: Identity| known.contradiction(&other).expect("another process");
        assert!(says(identity(8, 100, "a")).contains("process 8"));
        assert_eq!(says(identity(7, 101, "a")), "process 7 was restarted in between");
        assert!(says(identity(7, 100, "b")).contains("reboot"));
    }
}
