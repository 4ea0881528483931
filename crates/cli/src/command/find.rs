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
EXPR: conditions joined by `and`, `or`, `not` and parentheses; docs/find.md tells all of it.
  type=list  type=app.*  type!=dict       name of the type, whole or its last part, * and ?
  type~Session  isinstance=dict           a part of the name; the type or one it derives from
  elem=numpy.ndarray  referrer=dict       type of an element; type of what holds it
  module=data_pipeline  attribute=cache   where its trail goes; by what name it is held
  len>100  size>=1MB  retained>10MB       length; sys.getsizeof; bytes freed with it
  block>4096  refcount=1  name=flush      bytes of its blocks; reference count; its own name
  address=0x7f12…  generation=2           where it is; the collector's generation
  tracked  frozen  finalizer  immortal    flags: on the collector's lists, gc.freeze, __del__
  garbage  orphan  not tracked            no root reaches it; nothing refers to it";

/// Prints what matches.
pub(crate) fn run(flags: &FindFlags) -> anyhow::Result<()> {
    let query = Find::parse(&flags.expression).context("cannot read the expression")?;
    let session = load::session(&flags.source)?;
    output::print(flags.format, &session.find(&flags.expression, &query, flags.limit), text::find)
}

#[cfg(test)]
mod tests {
    use super::EXPRESSION_HELP;
    use heapray_query::Find;

    #[test]
    fn every_example_of_the_help_is_understood() {
        let examples = EXPRESSION_HELP.lines().skip(1).flat_map(|line| {
            let column: String = line.chars().take(42).collect();
            column.split("  ").map(|part| part.trim().replace('…', "")).collect::<Vec<_>>()
        });
        let examples: Vec<String> = examples.filter(|example| !example.is_empty()).collect();
        assert!(examples.len() > 20, "{examples:?}");
        for example in examples {
            assert!(Find::parse(&example).is_ok(), "{example}");
        }
    }
}
