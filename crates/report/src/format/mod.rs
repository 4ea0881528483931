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

use heapray_query::answer::StackProfile;

/// What was recorded, what that cost and what is missing, for formats that have a place for it.
fn remarks(profile: &StackProfile) -> Vec<String> {
    let doubt = &profile.recording.doubt;
    let mut lines = vec![format!("heapray: {}", profile.what)];
    lines.extend(crate::text::recorded::lines(&profile.recording));
    lines.push(format!("lost: {} events, {} frees", doubt.lost_events, doubt.lost_frees));
    lines
}
