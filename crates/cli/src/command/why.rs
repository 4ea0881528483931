//! `why`: what keeps an object, or all objects that an expression selects, alive.

use crate::flags::{DrawFlags, FormatFlags, SourceFlags, WalkFlags};
use crate::{load, output};
use clap::Args;
use heapray_query::{Subject, Walk};
use heapray_report::text;

/// Options of `heapray why`.
#[derive(Args, Debug)]
#[command(after_help = SUBJECT_HELP)]
pub(crate) struct WhyFlags {
    #[command(flatten)]
    source: SourceFlags,
    /// The object or objects.
    #[arg(value_name = "OBJECT")]
    subject: String,
    /// Trails to print.
    #[arg(long, default_value_t = 5, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    walk: WalkFlags,
    #[command(flatten)]
    draw: DrawFlags,
    #[command(flatten)]
    format: FormatFlags,
}

/// How an object is named on the command line.
pub(crate) const SUBJECT_HELP: &str = "\
OBJECT: an address as the other commands print it (0x7f12…), a path (data_pipeline.buffer[3].payload),
a type name (numpy.ndarray), or an expression as for `find` (`type=list and len>100`).";

/// Prints trails and the place to cut, and draws them.
pub(crate) fn run(flags: &WhyFlags) -> anyhow::Result<()> {
    let subject: Subject = flags.subject.parse()?;
    output::check_picture(flags.draw.output.as_deref(), &flags.source.target)?;
    let session = load::session(&flags.source)?;
    let walk = Walk::new(flags.limit, flags.walk.max_depth, flags.walk.too_many);
    let answer = session.why(&subject, walk)?;
    if let Some(path) = &flags.draw.output {
        output::draw(path, &answer.picture)?;
    }
    output::print(flags.format, &answer, text::why)
}
