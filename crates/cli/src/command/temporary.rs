//! `temporary`: freed soon after, by place.

use crate::allocations::{self, ByWord, RecordingFlags};
use crate::flags::FormatFlags;
use crate::output;
use clap::Args;
use heapray_report::text;

/// Options of `heapray temporary`.
#[derive(Args, Debug)]
pub(crate) struct TemporaryFlags {
    #[command(flatten)]
    recording: RecordingFlags,
    /// What makes allocations one row.
    #[arg(long, value_enum, default_value_t)]
    by: ByWord,
    /// Rows to print.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    format: FormatFlags,
}

/// Prints the places.
pub(crate) fn run(flags: &TemporaryFlags) -> anyhow::Result<()> {
    let allocations = allocations::allocations(&flags.recording)?;
    output::print(flags.format, &allocations.temporary(flags.by.into(), flags.limit), text::temporary)
}
