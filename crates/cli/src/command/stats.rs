//! `stats`: totals, allocators, sizes, processes.

use crate::allocations::{self, RecordingFlags};
use crate::flags::FormatFlags;
use crate::output;
use clap::Args;
use heapray_report::text;

/// Options of `heapray stats`.
#[derive(Args, Debug)]
pub(crate) struct StatsFlags {
    #[command(flatten)]
    recording: RecordingFlags,
    #[command(flatten)]
    format: FormatFlags,
}

/// Prints the figures.
pub(crate) fn run(flags: &StatsFlags) -> anyhow::Result<()> {
    let allocations = allocations::allocations(&flags.recording)?;
    output::print(flags.format, &allocations.stats(), text::stats)
}
