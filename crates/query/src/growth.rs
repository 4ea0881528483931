//! What became more between two snapshots.

use crate::Session;
use crate::answer::GrowthAnswer;

/// Compares two snapshots of one process.
pub fn growth(before: &Session, after: &Session, _limit: usize) -> GrowthAnswer {
    GrowthAnswer {
        before: before.process.clone(),
        after: after.process.clone(),
        seconds: before.process.taken_at.zip(after.process.taken_at).map(|(first, last)| last - first),
        coverage: after.coverage.clone(),
        ..GrowthAnswer::default()
    }
}
