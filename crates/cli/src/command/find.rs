//! `find`: objects that an expression selects.

use crate::flags::{FormatFlags, SourceFlags};
use crate::{load, output};
use anyhow::Context;
use clap::Args;
use heapray_query::Find;
use heapray_report::text;

/// Options of `heapray find`.
#[derive(Args, Debug)]
#[command(after_help = EXPRESSION_HELP)]
pub(crate) struct FindFlags {
    #[command(flatten)]
    source: SourceFlags,
    /// What to look for, see below.
    #[arg(value_name = "EXPR")]
    expression: String,
    /// Rows to print.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    format: FormatFlags,
}

/// What an expression may say.
pub(crate) const EXPRESSION_HELP: &str = "\
EXPR: conditions joined by `and`, `or`, `not` and parentheses.
  type=list  type~*.Session  type!=dict   type, whole or last part, `~` with * and ?
  elem=numpy.ndarray  referrer=dict       type of an element; type of what holds it
  module=data_pipeline  attribute=cache   where its trail goes; by what name it is held
  len>100  size>=1MB  retained>10MB       length; sys.getsizeof; bytes freed with it
  bytes>4096  refcount=1  name=flush      blocks; reference count; its own name
  address=0x7f12…  generation=2           where it is; the collector's generation
  tracked=no                              whether the collector tracks it";

/// Prints what matches.
pub(crate) fn run(flags: &FindFlags) -> anyhow::Result<()> {
    let query = Find::parse(&flags.expression).context("cannot read the expression")?;
    let session = load::session(&flags.source)?;
    output::print(flags.format, &session.find(&flags.expression, &query, flags.limit), text::find)
}
