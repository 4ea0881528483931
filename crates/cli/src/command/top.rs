//! `top` and `peak`: where live memory was allocated.

use crate::allocations::{self, ByWord, ChargeFlags, RecordingFlags};
use crate::flags::FormatFlags;
use crate::output;
use clap::{Args, ValueEnum};
use heapray_query::{Top, TopOrder};
use heapray_report::text;

/// Options of `heapray top`.
#[derive(Args, Debug)]
pub(crate) struct TopFlags {
    #[command(flatten)]
    recording: RecordingFlags,
    /// What makes allocations one row.
    #[arg(long, value_enum, default_value_t)]
    by: ByWord,
    /// What comes first.
    #[arg(long, value_enum, default_value_t)]
    sort: SortWord,
    #[command(flatten)]
    charge: ChargeFlags,
    /// Rows to print.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    format: FormatFlags,
}

/// Options of `heapray peak`.
#[derive(Args, Debug)]
pub(crate) struct PeakFlags {
    #[command(flatten)]
    recording: RecordingFlags,
    /// What makes allocations one row.
    #[arg(long, value_enum, default_value_t)]
    by: ByWord,
    #[command(flatten)]
    charge: ChargeFlags,
    /// Rows to print.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    format: FormatFlags,
}

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum SortWord {
    /// Most live bytes.
    #[default]
    Size,
    /// Most live blocks.
    Count,
    /// Most bytes allocated per second.
    Rate,
    /// Most growth.
    Growth,
}

impl From<SortWord> for TopOrder {
    fn from(word: SortWord) -> Self {
        match word {
            SortWord::Size => Self::Size,
            SortWord::Count => Self::Count,
            SortWord::Rate => Self::Rate,
            SortWord::Growth => Self::Growth,
        }
    }
}

/// Prints the places.
pub(crate) fn run(flags: &TopFlags) -> anyhow::Result<()> {
    let allocations = allocations::allocations(&flags.recording)?;
    let how = Top {
        by: flags.by.into(),
        charge: flags.charge.charge(),
        order: flags.sort.into(),
        limit: flags.limit,
    };
    output::print(flags.format, &allocations.top(how), text::top)
}

/// Prints what was alive at the high-water mark.
pub(crate) fn peak(flags: &PeakFlags) -> anyhow::Result<()> {
    let allocations = allocations::allocations(&flags.recording)?;
    let how =
        Top { by: flags.by.into(), charge: flags.charge.charge(), order: TopOrder::Size, limit: flags.limit };
    output::print(flags.format, &allocations.peak(how), text::top)
}
