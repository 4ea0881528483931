//! A profile of stacks in the formats of other tools, one file per format.

mod collapsed;
mod csv;
mod parquet;
mod pprof;
mod rows;
mod speedscope;

pub use collapsed::collapsed;
pub(crate) use collapsed::weights;
pub use csv::csv;
pub use parquet::{ParquetError, parquet};
pub use pprof::pprof;
pub use speedscope::speedscope;
