//! `leaks` of a recording: what was born in a window and is alive at its end.

use crate::allocations::{self, ByWord, FilterFlags};
use crate::flags::FormatFlags;
use crate::output;
use clap::Args;
use heapray_report::text;
use std::path::Path;

/// Options of `heapray leaks` for a recording.
#[derive(Args, Debug)]
pub(crate) struct SurvivorsFlags {
    #[command(flatten)]
    pub(crate) filter: FilterFlags,
    /// Of a recording: what makes allocations one row.
    #[arg(long, value_enum, default_value_t)]
    by: ByWord,
    /// Of a recording: rows to print.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
}

/// What else was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Only this process.
    pub(crate) process: Option<u32>,
    /// Growth per hour below which nothing is called a leak.
    pub(crate) threshold: Option<u64>,
    /// How to print.
    pub(crate) format: FormatFlags,
}

/// Prints what survived; whether any of it is called a leak.
pub(crate) fn run(flags: &SurvivorsFlags, path: &Path, asked: Asked) -> anyhow::Result<bool> {
    let allocations = allocations::open(path, asked.process, &flags.filter)?;
    let answer = allocations.survivors(flags.by.into(), flags.limit, asked.threshold);
    output::print(asked.format, &answer, text::survivors)?;
    Ok(answer.n_leaks > 0)
}
