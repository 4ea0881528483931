//! `diff`: two recordings, place by place.

use crate::allocations::{self, ByWord, FilterFlags, WhatWord};
use crate::flags::FormatFlags;
use crate::output;
use crate::target::Target;
use clap::Args;
use heapray_query::diff;
use heapray_report::text;

/// Options of `heapray diff`.
#[derive(Args, Debug)]
pub(crate) struct DiffFlags {
    /// The first recording.
    #[arg(value_name = "BEFORE")]
    before: Target,
    /// The second one.
    #[arg(value_name = "AFTER")]
    after: Target,
    #[command(flatten)]
    filter: FilterFlags,
    /// What is compared.
    #[arg(long, value_enum, default_value_t)]
    what: WhatWord,
    /// What makes allocations one row.
    #[arg(long, value_enum, default_value_t)]
    by: ByWord,
    /// Rows to print.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    format: FormatFlags,
}

/// Prints the differences.
pub(crate) fn run(flags: &DiffFlags) -> anyhow::Result<()> {
    let open = |target: &Target| allocations::open(&allocations::path_of(target)?, flags.filter.options(&[]));
    let (before, after) = (open(&flags.before)?, open(&flags.after)?);
    let answer = diff(&before, &after, flags.what.into(), (flags.by.into(), flags.limit));
    output::print(flags.format, &answer, text::diff)
}
