//! `info`: what a snapshot holds and how good it is.

use crate::flags::{FormatFlags, SourceFlags};
use crate::{load, output};
use clap::Args;
use heapray_report::text;

/// Options of `heapray info`.
#[derive(Args, Debug)]
pub(crate) struct InfoFlags {
    #[command(flatten)]
    source: SourceFlags,
    #[command(flatten)]
    format: FormatFlags,
}

/// Prints what is known.
pub(crate) fn run(flags: &InfoFlags) -> anyhow::Result<()> {
    let file = load::file(&flags.source)?;
    output::print(flags.format, &heapray_query::info(&file, flags.source.process.process), text::info)
}
