//! `chain`: the shortest way from a module to an object.

use super::why::SUBJECT_HELP;
use crate::flags::{DrawFlags, FormatFlags, SourceFlags};
use crate::{load, output};
use clap::Args;
use heapray_query::Subject;
use heapray_report::text;

/// Options of `heapray chain`.
#[derive(Args, Debug)]
#[command(after_help = SUBJECT_HELP)]
pub(crate) struct ChainFlags {
    #[command(flatten)]
    source: SourceFlags,
    /// The object.
    #[arg(value_name = "OBJECT")]
    subject: String,
    #[command(flatten)]
    draw: DrawFlags,
    #[command(flatten)]
    format: FormatFlags,
}

/// Prints the chain, and draws it.
pub(crate) fn run(flags: &ChainFlags) -> anyhow::Result<()> {
    let subject: Subject = flags.subject.parse()?;
    output::check_picture(flags.draw.output.as_deref(), &flags.source.target)?;
    let session = load::session(&flags.source)?;
    let answer = session.chain(&subject)?;
    if let Some(path) = &flags.draw.output {
        output::draw(path, &answer.picture)?;
    }
    output::print(flags.format, &answer, text::chain)
}
