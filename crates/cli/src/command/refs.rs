//! `refs`: what an object refers to.

use super::why::SUBJECT_HELP;
use crate::flags::{DrawFlags, FormatFlags, SourceFlags, WalkFlags};
use crate::{load, output};
use clap::Args;
use heapray_query::{Subject, Walk};
use heapray_report::text;

/// Options of `heapray refs`.
#[derive(Args, Debug)]
#[command(after_help = SUBJECT_HELP)]
pub(crate) struct RefsFlags {
    #[command(flatten)]
    source: SourceFlags,
    /// The object.
    #[arg(value_name = "OBJECT")]
    subject: String,
    /// References to print.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    walk: WalkFlags,
    #[command(flatten)]
    draw: DrawFlags,
    #[command(flatten)]
    format: FormatFlags,
}

/// Prints references, and draws them.
pub(crate) fn run(flags: &RefsFlags) -> anyhow::Result<()> {
    let subject: Subject = flags.subject.parse()?;
    output::check_picture(flags.draw.output.as_deref(), &flags.source.target)?;
    let session = load::session(&flags.source)?;
    let walk = Walk::new(flags.limit, flags.walk.max_depth, flags.walk.too_many);
    let answer = session.refs(&subject, walk)?;
    if let Some(path) = &flags.draw.output {
        output::draw(path, &answer.picture)?;
    }
    output::print(flags.format, &answer, text::refs)
}
