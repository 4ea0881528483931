//! Native memory: allocated blocks that belong to no Python object grow, and Python objects do not.
//!
//! Two sources of evidence: the census of blocks (malloc's and pymalloc's, less those of objects), and, where memory
//! comes from elsewhere, resident memory that no other figure explains. Which code allocates it, a snapshot cannot
//! tell. Blocks that hang on growing Python objects in ways nobody can follow are those objects' growth: `rank`.

use super::{Evidence, SHARE, confidence, fill};
use crate::steady::{Course, Series};
use crate::verdict::{Finding, Kind, Verdict};

/// Bytes a window below which blocks say nothing: allocators keep spare ones.
const BYTES_A_WINDOW: f64 = 16.0 * 1024.0;
/// Bytes a window below which unexplained resident memory says nothing.
const RESIDENT_A_WINDOW: f64 = 512.0 * 1024.0;

/// Looks for native growth.
pub(crate) fn look(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    let account = &evidence.account;
    let process = account.process_gain();
    if let Some(blocks) = account.series(|row| row.native_bytes) {
        match blocks.course(BYTES_A_WINDOW) {
            Course::Steady if blocks.gain() >= SHARE * process => {
                let text = "blocks that no Python object owns (malloc and PyMem)";
                return verdict.findings.push(finding(evidence, &blocks, text));
            }
            Course::LevelsOff => {
                verdict.dismissed.push("native blocks grow, and slower and slower".to_string());
                verdict.undecided = true;
            }
            _ => {}
        }
    }
    let Some(rest) = unexplained_resident(evidence) else { return };
    // Under a flat resident size the rest rises by itself where live memory falls.
    let is_resident = account
        .series(|row| row.rss_bytes)
        .is_some_and(|rss| rss.course(0.0) != Course::Flat && rss.gain() >= 0.5 * rest.gain());
    if is_resident && rest.course(RESIDENT_A_WINDOW) == Course::Steady && rest.gain() >= 0.5 * process {
        let mut found = finding(evidence, &rest, "resident memory outside the heaps of Python and malloc");
        found.confidence *= 0.7;
        verdict.findings.push(found);
    }
}

/// Resident memory less everything that another figure accounts for.
pub(crate) fn unexplained_resident(evidence: &Evidence<'_>) -> Option<Series> {
    let account = &evidence.account;
    let mut rest = account.series(|row| row.rss_bytes)?;
    let live = account.live();
    let waste = account.waste();
    for (k, level) in rest.level.iter_mut().enumerate() {
        *level -= live.level[k] + waste.as_ref().map_or(0.0, |waste| waste.level[k]);
    }
    Some(rest)
}

fn finding(evidence: &Evidence<'_>, bytes: &Series, what: &str) -> Finding {
    let count = evidence.history.series(|_| 0.0);
    let mut found = Finding {
        kind: Kind::Native,
        holder: format!("native memory: {what}"),
        root: "no Python object".to_string(),
        trail: Vec::new(),
        types: Vec::new(),
        bytes_per_hour: 0.0,
        interval: [0.0; 2],
        share: 0.0,
        confidence: confidence(bytes),
        allocated_at: Vec::new(),
        advice:
            "C code allocates this and does not free it: record allocations to see who, or look at what the \
                 service calls in C extensions"
                .to_string(),
        source: None,
        objects_per_hour: 0.0,
    };
    fill(&mut found, evidence, bytes, &count);
    found
}
