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
  type=list  type~Session  type!=dict     name of the type, exact or in part; elem=…, referrer=… likewise
  module=data_pipeline                    module of the type
  len>100  size>=1MB  retained>10MB       length; getsizeof; bytes freed with it (also: block, refcount)
  attr=payload                            has a reference of that name
  address=0x7f12…  generation=2           where it is; the collector's generation
  tracked  frozen  orphan  garbage        flags (negate with `not`)";

/// Prints what matches.
pub(crate) fn run(flags: &FindFlags) -> anyhow::Result<()> {
    let query = Find::parse(&flags.expression).context("cannot read the expression")?;
    let session = load::session(&flags.source)?;
    output::print(flags.format, &session.find(&flags.expression, &query, flags.limit), text::find)
}
