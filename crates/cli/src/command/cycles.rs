//! `cycles`: reference cycles, waiting, stuck and held.

use crate::flags::{FormatFlags, SourceFlags};
use crate::{load, output};
use clap::Args;
use heapray_report::text;

/// Options of `heapray cycles`.
#[derive(Args, Debug)]
pub(crate) struct CyclesFlags {
    #[command(flatten)]
    source: SourceFlags,
    /// Cycles to print of each kind.
    #[arg(long, default_value_t = 10, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    format: FormatFlags,
}

/// Prints the cycles.
pub(crate) fn run(flags: &CyclesFlags) -> anyhow::Result<()> {
    let session = load::session(&flags.source)?;
    output::print(flags.format, &session.cycles(flags.limit), text::cycles)
}
