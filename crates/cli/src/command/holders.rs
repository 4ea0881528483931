//! `holders`: what is large though nothing need leak.

use crate::flags::{FormatFlags, SourceFlags};
use crate::{load, output};
use clap::Args;
use heapray_report::text;

/// Options of `heapray holders`.
#[derive(Args, Debug)]
pub(crate) struct HoldersFlags {
    #[command(flatten)]
    source: SourceFlags,
    /// Rows to print.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    format: FormatFlags,
}

/// Prints the holders.
pub(crate) fn run(flags: &HoldersFlags) -> anyhow::Result<()> {
    let session = load::session(&flags.source)?;
    output::print(flags.format, &session.holders(flags.limit), text::holders)
}
