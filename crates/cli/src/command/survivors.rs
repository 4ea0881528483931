//! `leaks` of a recording: what was born in a window and is alive at its end.

use crate::allocations::{self, ByWord, FilterFlags};
use crate::flags::FormatFlags;
use crate::output;
use clap::Args;
use heapray_query::AllocationOptions;
use heapray_report::text;
use std::path::Path;

/// Options of `heapray leaks` for a recording.
#[derive(Args, Debug)]
pub(crate) struct SurvivorsFlags {
    #[command(flatten)]
    pub(crate) filter: FilterFlags,
    /// Of a recording: what makes allocations one row [default: line].
    #[arg(long, value_enum)]
    by: Option<ByWord>,
    /// Of a recording: rows to print [default: 20].
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Rows that are printed unless told.
const ROWS: usize = 20;

impl SurvivorsFlags {
    /// Whether anything was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.filter.is_empty() && self.by.is_none() && self.limit.is_none()
    }
}

/// What else was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// Only these processes.
    pub(crate) processes: &'a [u32],
    /// The process by which the recording was asked for.
    pub(crate) by_process: Option<u32>,
    /// Growth per hour below which nothing is called a leak.
    pub(crate) threshold: Option<u64>,
    /// How to print.
    pub(crate) format: FormatFlags,
}

/// Prints what survived; whether any of it is called a leak.
pub(crate) fn run(flags: &SurvivorsFlags, path: &Path, asked: Asked<'_>) -> anyhow::Result<bool> {
    let options = flags.filter.options(asked.processes);
    let asked_process = asked.by_process.filter(|_| asked.processes.is_empty());
    let allocations = allocations::open(path, AllocationOptions { asked_process, ..options })?;
    let (by, limit) = (flags.by.unwrap_or_default(), flags.limit.unwrap_or(ROWS));
    let answer = allocations.survivors(by.into(), limit, asked.threshold);
    output::print(asked.format, &answer, text::survivors)?;
    Ok(answer.n_leaks > 0)
}
