//! The rules, one per file: each looks at the evidence for one kind of growth and answers what it found.
//!
//! A rule names its finding and says how sure it is; it does not rank against others, see `rank`.

pub(crate) mod cycle;
pub(crate) mod fragmentation;
pub(crate) mod lost_reference;
pub(crate) mod native;
pub(crate) mod reference;

use crate::figures::Account;
use crate::growth::Growth;
use crate::history::History;
use crate::steady::{Course, Series};
use crate::verdict::{Finding, Verdict};

/// All that rules may look at.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    pub(crate) history: History<'a>,
    pub(crate) growth: Growth,
    pub(crate) account: Account,
}

/// A rule adds its findings to the verdict, and says there what it looked at and dismissed.
pub(crate) type Rule = fn(&Evidence<'_>, &mut Verdict);

/// All rules; order does not matter.
pub(crate) const RULES: [Rule; 5] =
    [reference::look, cycle::look, lost_reference::look, native::look, fragmentation::look];

/// Objects gained below which a count says nothing.
pub(crate) const OBJECTS: f64 = 20.0;
/// Objects gained in one window below which a count says nothing.
pub(crate) const OBJECTS_A_WINDOW: f64 = 3.0;
/// Bytes gained below which nothing is reported.
pub(crate) const BYTES: f64 = 4096.0;
/// Bytes gained in one window below which bytes alone say nothing.
pub(crate) const BYTES_A_WINDOW: f64 = 16384.0;
/// Part of the process's growth below which nothing is reported.
pub(crate) const SHARE: f64 = 0.03;

/// What growth in objects and bytes does together: the count speaks where there is one, as bytes of containers
/// come in steps; bytes alone speak where they are many.
pub(crate) fn course(count: &Series, bytes: &Series) -> Course {
    let by_count = count.course(OBJECTS_A_WINDOW);
    let counted = count.gain() >= OBJECTS && bytes.gain() >= BYTES;
    if counted && by_count == Course::Steady {
        return Course::Steady;
    }
    let by_bytes = bytes.course(BYTES_A_WINDOW);
    if by_bytes == Course::Steady && !(counted && by_count == Course::LevelsOff) {
        return Course::Steady;
    }
    if (counted && by_count == Course::LevelsOff) || by_bytes == Course::LevelsOff {
        return Course::LevelsOff;
    }
    Course::Flat
}

/// How sure a steady series makes: more with more windows and with rates that agree; at most 0.97.
pub(crate) fn confidence(series: &Series) -> f64 {
    let windows = series.rates().len() as f64;
    let [low, high] = series.interval_per_hour();
    let rate = series.per_hour().max(1e-9);
    let spread = ((high - low) / 2.0 / rate).clamp(0.0, 2.0);
    let by_windows = 1.0 - 0.5 / windows.max(1.0);
    (by_windows * (1.1 - 0.25 * spread)).clamp(0.2, 0.97)
}

/// Fills the figures of a finding from its bytes and objects over time.
pub(crate) fn fill(finding: &mut Finding, evidence: &Evidence<'_>, bytes: &Series, count: &Series) {
    let process = evidence.account.process_gain().max(1.0);
    finding.bytes_per_hour = bytes.per_hour();
    finding.interval = bytes.interval_per_hour();
    finding.objects_per_hour = count.per_hour();
    finding.share = (bytes.gain() / process).clamp(0.0, 1.0);
}
