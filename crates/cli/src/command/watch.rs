//! `watch`: at each tick what `tracemalloc`'s `compare_to` would print. A recording that has ended is told as it would
//! have been watched.

use crate::allocations::{self, RecordingFlags};
use crate::duration::parse_duration;
use crate::failure::to_stderr;
use crate::flags::FormatFlags;
use crate::output;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use heapray_query::{Allocations, Time, Watch, WatchBy};
use heapray_report::{sanitize, text};
use std::path::Path;
use std::time::{Duration, Instant};

/// Shortest time between ticks.
const EVERY_MIN: Duration = Duration::from_millis(100);

/// Options of `heapray watch`.
#[derive(Args, Debug)]
pub(crate) struct WatchFlags {
    #[command(flatten)]
    recording: RecordingFlags,
    /// Time from tick to tick.
    #[arg(long, default_value = "30s", value_parser = parse_duration, value_name = "TIME")]
    every: Duration,
    /// What makes allocations one row.
    #[arg(long, value_enum, default_value_t)]
    group_by: WatchWord,
    /// Rows to print.
    #[arg(long, default_value_t = 10, value_name = "N")]
    limit: usize,
    /// Ticks to print; by default until the recording ends.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    format: FormatFlags,
}

/// What makes allocations one row, in the words of `tracemalloc`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum WatchWord {
    /// The line.
    #[default]
    Line,
    /// The file.
    File,
    /// The whole stack.
    Traceback,
}

impl From<WatchWord> for WatchBy {
    fn from(word: WatchWord) -> Self {
        match word {
            WatchWord::Line => Self::Line,
            WatchWord::File => Self::File,
            WatchWord::Traceback => Self::Traceback,
        }
    }
}

/// Prints ticks until the recording ends.
pub(crate) fn run(flags: &WatchFlags) -> anyhow::Result<()> {
    if flags.every < EVERY_MIN {
        bail!("cannot look that often: --every is at least 100ms");
    }
    let path = allocations::path_of(&flags.recording.target)?;
    let mut watch = Watch::new(flags.group_by.into(), flags.limit);
    let n_ticks = flags.count.unwrap_or(u64::MAX);
    let start = Instant::now();
    let mut now = open(flags, &path)?;
    if !now.is_being_written() {
        tell_if_cut_off(&path, &now);
        return replay(flags, &path, now, &mut watch);
    }
    for tick in 0..n_ticks {
        if tick > 0 {
            let next = start + flags.every * u32::try_from(tick).unwrap_or(u32::MAX);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            now = open(flags, &path)?;
        }
        print(flags, &mut watch, &now)?;
        if !now.is_being_written() {
            tell_if_cut_off(&path, &now);
            break;
        }
    }
    Ok(())
}

/// Says that nothing more will come of a recording that has no end.
fn tell_if_cut_off(path: &Path, now: &Allocations) {
    if !now.is_complete() {
        let path = sanitize(&path.display().to_string());
        to_stderr(&format!(
            "heapray: {path} has no end and nobody writes it any more: its last tick is the last there is\n"
        ));
    }
}

/// Ticks of a recording of which no more will come, at the times at which it would have been looked at, and one at the end of the
/// window.
fn replay(flags: &WatchFlags, path: &Path, whole: Allocations, watch: &mut Watch) -> anyhow::Result<()> {
    let (from, to) = whole.window_seconds();
    let every = flags.every.as_secs_f64();
    // The first tick behind the begin of the window, and the first that is not before its end.
    let (first, last) = ((from / every).floor() as u64 + 1, (to / every).ceil() as u64);
    let n_ticks = flags.count.unwrap_or(u64::MAX);
    let mut looked_at = whole;
    for tick in (first..=last.max(first)).take(usize::try_from(n_ticks).unwrap_or(usize::MAX)) {
        let at = flags.every.as_nanos().saturating_mul(tick.into());
        let filter = &flags.recording.filter;
        let (from, to) = match tick < last {
            true => (None, Some(Time::Ns(u64::try_from(at).unwrap_or(u64::MAX)))),
            false => (filter.from, filter.to),
        };
        looked_at = looked_at
            .between(from, to)
            .with_context(|| format!("cannot look at {} until tick {tick}", path.display()))?;
        print(flags, watch, &looked_at)?;
    }
    Ok(())
}

fn open(flags: &WatchFlags, path: &Path) -> anyhow::Result<Allocations> {
    allocations::open(path, flags.recording.options())
}

fn print(flags: &WatchFlags, watch: &mut Watch, now: &Allocations) -> anyhow::Result<()> {
    output::print_line(flags.format, &watch.tick(now), text::watch)
}
