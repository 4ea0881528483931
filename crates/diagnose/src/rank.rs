//! Puts findings in order: the one to look at first comes first.
//!
//! Bytes decide, with one exception: native blocks that grow together with Python objects most likely hang on those
//! objects, so the objects come first when they are a good part of the growth.

use crate::verdict::{Finding, Kind};

/// Python objects that grow by this part of the native growth are taken for its owners.
const OWNS: f64 = 0.1;

/// Sorts findings, the weightiest first.
pub(crate) fn rank(findings: &mut [Finding]) {
    let of_objects = |found: &&Finding| !matches!(found.kind, Kind::Native | Kind::Fragmentation);
    let objects: f64 = findings.iter().filter(of_objects).map(|found| found.bytes_per_hour).sum();
    let native: f64 =
        findings.iter().filter(|found| found.kind == Kind::Native).map(|found| found.bytes_per_hour).sum();
    let owned = objects > 0.0 && objects >= OWNS * native;
    let weight = |found: &Finding| match found.kind {
        Kind::Native if owned => found.bytes_per_hour.min(0.0),
        _ => found.bytes_per_hour,
    };
    for found in findings.iter_mut().filter(|found| owned && found.kind == Kind::Native) {
        found.confidence *= 0.5;
        found.advice.push_str("; it grows together with the Python objects named first, which may own it");
    }
    findings.sort_by(|a, b| {
        weight(b).total_cmp(&weight(a)).then(a.kind.cmp(&b.kind)).then(a.holder.cmp(&b.holder))
    });
}
