//! What is recorded, and how.

use std::ffi::OsString;

use heapray_attach::SharedPlan;
use heapray_wire::Fact;
use heapray_wire::ring::{
    EXACT_RING_BYTES, FLAG_ALL_EVENTS, FLAG_FOLLOW_EXEC, FLAG_NATIVE, LEVEL_MALLOC, LEVEL_OBJECTS,
    MODE_EXACT, MODE_SAMPLED, SAMPLED_RING_BYTES,
};

use crate::tenant::{int, text};

/// Which events are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A sample of them, by bytes.
    #[default]
    Sampled,
    /// Every one.
    Exact,
}

/// Whose allocations are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Those of the system's allocator.
    Malloc,
    /// Python's objects as well.
    #[default]
    Objects,
}

/// A recording that is to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Which events.
    pub mode: Mode,
    /// Whose allocations.
    pub level: Level,
    /// Native frames below the Python frames.
    pub native: bool,
    /// Every event is kept in the file.
    pub all_events: bool,
    /// Mean distance of samples, in bytes.
    pub sample_interval: u64,
    /// Nobody asked for that distance: it grows while samples come so fast that they take more than about 1 % of a process's time.
    pub spreads: bool,
    /// Whether it records from the start.
    pub recording: bool,
    /// Signal that toggles it, 0 for none.
    pub signal: u32,
    /// Programs that the process starts are recorded too.
    pub follow_exec: bool,
    /// What is recorded, for the file: a command line.
    pub command: Vec<OsString>,
    /// When it is switched on by itself.
    pub when_rss: Option<RssLimit>,
}

/// Resident memory at which a recording switches itself on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RssLimit {
    /// Of one process.
    Bytes(u64),
    /// Of one process, as a share of the limit of its control group, or of the machine's memory.
    Share(f64),
}

impl Plan {
    /// The memory file that it takes.
    pub fn shared(&self) -> SharedPlan {
        let flags = [
            (self.native, FLAG_NATIVE),
            (self.all_events, FLAG_ALL_EVENTS),
            (self.follow_exec, FLAG_FOLLOW_EXEC),
        ];
        let exact = self.mode == Mode::Exact;
        SharedPlan {
            ring_bytes: if exact { EXACT_RING_BYTES } else { SAMPLED_RING_BYTES },
            mode: if exact { MODE_EXACT } else { MODE_SAMPLED },
            level: if self.level == Level::Objects { LEVEL_OBJECTS } else { LEVEL_MALLOC },
            flags: flags.iter().filter(|(on, _)| *on).fold(0, |all, (_, flag)| all | flag),
            sample_interval: self.sample_interval,
            recording: self.recording,
            signal: self.signal,
            ..SharedPlan::default()
        }
    }

    /// The facts that open its file; `start_unix_ns` is now.
    pub(crate) fn facts(&self, start_unix_ns: u64) -> Vec<Fact> {
        let words: Vec<_> = self.command.iter().map(|word| word.to_string_lossy()).collect();
        vec![
            text("mode", if self.mode == Mode::Exact { "exact" } else { "sampled" }),
            text("level", if self.level == Level::Objects { "objects" } else { "malloc" }),
            int("native", self.native.into()),
            int("all_events", self.all_events.into()),
            int("sample_interval", if self.mode == Mode::Exact { 0 } else { self.sample_interval }),
            text("command", &words.join(" ")),
            int("start_unix_ns", start_unix_ns),
            text("heapray_version", env!("CARGO_PKG_VERSION")),
            text("machine", std::env::consts::ARCH),
        ]
    }
}
