//! `types`: objects by type.

use crate::flags::{FormatFlags, SourceFlags};
use crate::{load, output};
use clap::{Args, ValueEnum};
use heapray_query::TypeOrder;
use heapray_report::text;

/// Options of `heapray types`.
#[derive(Args, Debug)]
pub(crate) struct TypesFlags {
    #[command(flatten)]
    source: SourceFlags,
    /// What comes first.
    #[arg(long, value_enum, default_value_t = Sort::Bytes)]
    sort: Sort,
    /// Rows to print.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    format: FormatFlags,
}

/// What comes first.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    /// Bytes of the blocks.
    Bytes,
    /// Retained bytes.
    Retained,
    /// Number of objects.
    Count,
    /// As objgraph counts: tracked objects only.
    Objgraph,
}

impl Sort {
    fn order(self) -> TypeOrder {
        match self {
            Self::Bytes => TypeOrder::Bytes,
            Self::Retained => TypeOrder::Retained,
            Self::Count => TypeOrder::Count,
            Self::Objgraph => TypeOrder::Objgraph,
        }
    }
}

/// Prints the types.
pub(crate) fn run(flags: &TypesFlags) -> anyhow::Result<()> {
    let session = load::session(&flags.source)?;
    output::print(flags.format, &session.types(flags.sort.order(), flags.limit), text::types)
}
