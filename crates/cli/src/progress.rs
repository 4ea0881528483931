//! One changing line on stderr, only where stderr is a terminal.

use crate::failure::to_stderr;
use std::io::IsTerminal;

/// Shows what is being done; erased when dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
    enabled: bool,
}

impl Progress {
    /// Silent unless stderr is a terminal.
    pub(crate) fn new() -> Self {
        Self { shown: false, enabled: std::io::stderr().is_terminal() }
    }

    /// Replaces the line.
    pub(crate) fn say(&mut self, what: &str) {
        if self.enabled {
            to_stderr(&format!("\r\x1b[2K{}", heapray_report::sanitize(what)));
            self.shown = true;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            to_stderr("\r\x1b[2K");
        }
    }
}
