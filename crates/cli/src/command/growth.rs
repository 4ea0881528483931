//! `growth`: what became more between two snapshots.

use crate::flags::{FormatFlags, LiveFlags, ProcessFlags, SourceFlags};
use crate::target::Target;
use crate::{load, output};
use clap::Args;
use heapray_query::growth;
use heapray_report::text;

/// Options of `heapray growth`.
#[derive(Args, Debug)]
pub(crate) struct GrowthFlags {
    /// The earlier snapshot.
    #[arg(value_name = "BEFORE")]
    before: Target,
    /// The later snapshot, or the process as it is now.
    #[arg(value_name = "AFTER")]
    after: Target,
    #[command(flatten)]
    live: LiveFlags,
    #[command(flatten)]
    process: ProcessFlags,
    /// Rows to print of each list.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    format: FormatFlags,
}

/// Prints the differences.
pub(crate) fn run(flags: &GrowthFlags) -> anyhow::Result<()> {
    let open = |target: &Target| {
        load::session(&SourceFlags { target: target.clone(), live: flags.live, process: flags.process })
    };
    let (before, after) = (open(&flags.before)?, open(&flags.after)?);
    output::print(flags.format, &growth(&before, &after, flags.limit), text::growth)
}
