//! `info`: what a snapshot or a recording holds and how good it is.

use crate::allocations::FilterFlags;
use crate::flags::{FormatFlags, SourceFlags};
use crate::target::Target;
use crate::{allocations, load, output};
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
    if let Target::File(path) = &flags.source.target
        && allocations::is_recording(path)
    {
        let options = FilterFlags::default().options(flags.source.process.process.as_slice());
        let (recording, options) = allocations::read(path, options)?;
        let answer = heapray_query::recording_info(recording, options)?;
        return output::print(flags.format, &answer, text::recording_info);
    }
    let file = load::file(&flags.source)?;
    output::print(flags.format, &heapray_query::info(&file, flags.source.process.process), text::info)
}
