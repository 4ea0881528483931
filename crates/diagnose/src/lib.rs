//! Repeated snapshots of one process in, a verdict out: what keeps growing, and what holds it.
//!
//! [`leaks`] compares two or more snapshots and asks every rule (`rules/`, one kind of growth each). Pure: no I/O,
//! no clock. It has no allocation sites; it judges by the object graph, the census of blocks and resident memory.
//! Invariant: the same snapshots give the same verdict, byte for byte.

mod figures;
mod growth;
mod history;
mod holder;
mod lineage;
mod places;
mod rank;
mod rules;
mod steady;
mod trail;
mod tree;
mod turnover;
mod types;
mod verdict;

pub use history::Observation;
pub use verdict::{Figures, Finding, Kind, TypeGrowth, Verdict};

use figures::Account;
use growth::Growth;
use history::History;
use rules::Evidence;

/// Snapshots that tell a leak from a warm-up in most services.
pub const DEFAULT_SNAPSHOTS: usize = 3;
/// Seconds between them: with two extra snapshots the verdict still comes in about a minute.
pub const DEFAULT_INTERVAL_SECONDS: f64 = 15.0;
/// Snapshots to add at most while [`Verdict::undecided`] says that one more would tell: what is emptied and filled
/// again needs five.
pub const EXTRA_SNAPSHOTS: usize = 2;

/// Compares snapshots of one process, in order of time. Fewer than two give a verdict without findings.
///
/// # Cost
/// O(nodes + edges) for each snapshot; about 30 bytes a node of each besides the tables, and 60 of the last.
pub fn leaks(observations: &[Observation<'_>]) -> Verdict {
    let Some(history) = History::new(observations) else { return Verdict::default() };
    let growth = Growth::measure(&history);
    let account = Account::new(&history);
    let evidence = Evidence { history, growth, account };
    let mut verdict = Verdict { figures: evidence.account.figures.clone(), ..Verdict::default() };
    for rule in rules::RULES {
        rule(&evidence, &mut verdict);
    }
    rank::rank(&mut verdict.findings);
    account_for(&evidence, &mut verdict);
    verdict
}

/// Sets what the process grew by, and what no finding explains of it.
fn account_for(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    let seconds = evidence.history.last().seconds.max(1e-3);
    verdict.process_bytes_per_hour = evidence.account.process_gain() / seconds * 3600.0;
    let explained: f64 = verdict.findings.iter().map(|found| found.bytes_per_hour).sum();
    verdict.unexplained_bytes_per_hour = (verdict.process_bytes_per_hour - explained).max(0.0);
    verdict.undecided &= verdict.findings.is_empty();
}
