//! Fragmentation: resident memory grows, and what grew is free: holes inside arenas and heaps, or pages that
//! allocators spend on blocks which were cut short.
//!
//! Live objects that pin the holes may grow too; they are a reference finding of their own, with their own bytes.

use super::{Evidence, confidence, fill};
use crate::places::places;
use crate::steady::{Course, Series};
use crate::trail::way;
use crate::verdict::{Finding, Kind, Verdict};

/// Part of the resident growth that must be free memory.
const PART: f64 = 0.5;
/// Part of the resident growth of the last window, where a batch under way may add to the latter.
const PART_OF_LAST: f64 = 0.3;
/// Bytes a window below which free memory says nothing: arenas come a megabyte at a time.
const BYTES_A_WINDOW: f64 = 256.0 * 1024.0;
/// Bytes in all below which it says nothing.
const BYTES: f64 = 4.0 * 1024.0 * 1024.0;
/// Bytes in the last window that make a growth that slows down a finding all the same.
const LAST_WINDOW: f64 = 2.0 * 1024.0 * 1024.0;

/// Looks for fragmentation.
pub(crate) fn look(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    let account = &evidence.account;
    let (Some(resident), Some(waste)) = (account.series(|row| row.rss_bytes), account.waste()) else {
        return;
    };
    if waste.gain() < BYTES || waste.gain() < PART * resident.gain() || resident.gain() < BYTES {
        return;
    }
    let course = match (waste.course(BYTES_A_WINDOW), resident.course(BYTES_A_WINDOW)) {
        (Course::Steady, course) | (course, Course::Steady) => course,
        (Course::LevelsOff, _) | (_, Course::LevelsOff) => Course::LevelsOff,
        _ => Course::Flat,
    };
    match course {
        Course::Flat => {}
        Course::LevelsOff if !goes_on(&waste, &resident) => {
            verdict.dismissed.push("free memory inside heaps grows, and slower and slower".to_string());
            verdict.undecided = true;
        }
        Course::Steady | Course::LevelsOff => {
            let mut found = finding(evidence, &waste);
            fill(&mut found, evidence, &waste, &evidence.history.series(|_| 0.0));
            found.share = (waste.gain() / resident.gain().max(1.0)).clamp(0.0, 1.0);
            verdict.findings.push(found);
        }
    }
}

/// Whether free memory still is a good part of a good growth in the last window: slower than at first, but no warm-up.
fn goes_on(waste: &Series, resident: &Series) -> bool {
    let last = |series: &Series| series.gains().last().copied().unwrap_or(0.0);
    last(waste) >= LAST_WINDOW && last(waste) >= PART_OF_LAST * last(resident)
}

fn finding(evidence: &Evidence<'_>, waste: &Series) -> Finding {
    let pins = places(&evidence.history, &evidence.growth);
    let trail = pins.first().map(|place| {
        format!("live blocks between the holes: {}", way(evidence.history.last(), place.target()).text)
    });
    Finding {
        kind: Kind::Fragmentation,
        holder: "free memory inside the heaps of Python and malloc".to_string(),
        root: "allocator".to_string(),
        trail: trail.into_iter().collect(),
        types: Vec::new(),
        bytes_per_hour: 0.0,
        interval: [0.0; 2],
        share: 0.0,
        confidence: confidence(waste),
        allocated_at: Vec::new(),
        advice: "live memory grows little, resident memory much: small long-lived blocks pin holes or pages; copy what \
                 is kept out of large buffers, or try MALLOC_ARENA_MAX, malloc_trim or another malloc"
            .to_string(),
        source: None,
        objects_per_hour: 0.0,
    }
}
