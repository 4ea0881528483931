//! `types`: objects by type.

use crate::flags::{FormatFlags, SourceFlags};
use crate::{load, output};
use clap::Args;
use heapray_report::text;

/// Options of `heapray types`.
#[derive(Args, Debug)]
pub(crate) struct TypesFlags {
    #[command(flatten)]
    source: SourceFlags,
    /// Rows to print.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    format: FormatFlags,
}

/// Prints the types.
pub(crate) fn run(flags: &TypesFlags) -> anyhow::Result<()> {
    let session = load::session(&flags.source)?;
    output::print(flags.format, &session.types(flags.limit), text::types)
}
