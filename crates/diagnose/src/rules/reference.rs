//! References: objects pile up under something that roots reach: a module variable, class attribute, closure, cache,
//! frame, task, or a slot of the interpreter.
//!
//! A place counts when it gains in every window and does not level off, and when the gain is more than the turnover
//! of its elements would give by chance (caches and queues in balance, buffers that fill up and are flushed: seen a
//! few times, their level may well rise each time). Who else holds the same objects is told too.

use super::{Evidence, SHARE, confidence, course, fill};
use crate::holder::describe;
use crate::places::{Place, places, with_most_new};
use crate::steady::{Course, Series};
use crate::turnover::{Turnover, turnover};
use crate::verdict::{Finding, Kind, Verdict};

/// Bytes, and part of the process's growth, that all held objects must gain to count without a single place.
const ALL_BYTES: f64 = 256.0 * 1024.0;
const ALL_SHARE: f64 = 0.5;
/// Most findings of this kind.
const FINDINGS: usize = 5;
/// Where this part of the elements changed between the snapshots, a gain must be larger than chance.
const TURNS_OVER: f64 = 0.5;
/// The part of its parts' gain that a place must gain as a whole.
const AS_A_WHOLE: f64 = 0.4;
/// The gain that a container in turnover must have, as a part of its level.
const BEYOND_TURNOVER: f64 = 0.25;

/// Where no more than this part of the elements changed, growth is plain accumulation.
const NOTHING_GONE: f64 = 0.1;
/// Windows that must all rise for what is emptied and filled again to count: one in 120 does so by chance.
const WINDOWS_OF_REFILL: usize = 4;
/// The part of a place's gain that resident memory must show to bear it out.
const RESIDENT_PART: f64 = 0.5;
/// The same where nothing seems to go: less says that the memory was there before, free or in a fuller buffer.
const RESIDENT_PART_AT_LEAST: f64 = 0.25;

/// Looks for places that grow.
pub(crate) fn look(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    let process = evidence.account.process_gain();
    let mut n_found = 0;
    for place in places(&evidence.history, &evidence.growth) {
        if n_found == FINDINGS {
            break;
        }
        if place.bytes.gain() < super::BYTES.max(SHARE * process) {
            continue;
        }
        let text = || crate::trail::way(evidence.history.last(), place.target()).text;
        match course(&place.count, &place.bytes) {
            Course::Flat => {}
            Course::LevelsOff => {
                verdict.dismissed.push(format!("{} grows, and slower and slower", text()));
                verdict.undecided = true;
            }
            Course::Steady if !grows_as_a_whole(evidence, &place) => {
                verdict.dismissed.push(format!("{} regroups what it holds", text()));
            }
            Course::Steady => match judge(evidence, &place) {
                Steadiness::Turnover => {
                    verdict.dismissed.push(format!("{} turns over; its size stays about the same", text()));
                }
                Steadiness::Chance => {
                    verdict
                        .dismissed
                        .push(format!("{} is filled and emptied; it may have grown by chance", text()));
                    verdict.undecided = true;
                }
                Steadiness::Growth => {
                    verdict.findings.push(finding(evidence, &place));
                    n_found += 1;
                }
            },
        }
    }
    if n_found == 0 {
        look_at_all(evidence, verdict);
    }
}

/// Growth of all that is held where no single place keeps it: several hold the same, and now one, now another is
/// nearest. It goes under the place that has most of what is new.
fn look_at_all(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    let history = &evidence.history;
    let Some(bytes) = evidence.account.series(|row| Some(row.held_bytes)) else { return };
    let count = history.series(|k| history.snaps[k].sizes.n_held as f64);
    let enough = bytes.gain() >= ALL_BYTES.max(ALL_SHARE * evidence.account.process_gain());
    if !enough || course(&count, &bytes) != Course::Steady || bytes.course(0.0) != Course::Steady {
        return;
    }
    if let Some(place) = with_most_new(history, &evidence.growth, (bytes, count)) {
        if judge(evidence, &place) == Steadiness::Chance {
            verdict.undecided = true;
            return;
        }
        let mut found = finding(evidence, &place);
        found.confidence *= 0.8;
        verdict.findings.push(found);
    }
}

/// Whether what is at the place gained about what its parts gained: parts that merely move do not make a leak.
fn grows_as_a_whole(evidence: &Evidence<'_>, place: &Place) -> bool {
    let history = &evidence.history;
    let sum = |k: usize| {
        let tops = place.tops(history, k);
        tops.iter().map(|top| history.snaps[k].sizes.bytes[*top as usize]).sum::<u64>() as f64
    };
    let gain = sum(history.len() - 1) - sum(0);
    gain >= AS_A_WHOLE * place.bytes.gain()
}

/// What a steady rise is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Steadiness {
    Growth,
    /// The elements change and the size hardly does.
    Turnover,
    /// What is emptied and filled again was fuller each time, as far as can be told by now.
    Chance,
}

fn judge(evidence: &Evidence<'_>, place: &Place) -> Steadiness {
    let change = turnover(&evidence.history, place);
    let gain = place.count.gain() / place.count.level[0].max(1.0);
    if gain < BEYOND_TURNOVER && change.gone > TURNS_OVER {
        return Steadiness::Turnover;
    }
    match is_more_than_chance(evidence, place, change) {
        true => Steadiness::Growth,
        false => Steadiness::Chance,
    }
}

/// Where nothing goes, a rise is a rise, if resident memory does not stand still meanwhile. Where the rates disagree so
/// much that their interval includes zero, nothing may go. Where most goes, rates that agree are not enough: flushes and snapshots both come at intervals, and
/// a slowly moving phase looks like a ramp; resident memory must bear the gain out, or many windows.
fn is_more_than_chance(evidence: &Evidence<'_>, place: &Place, change: Turnover) -> bool {
    let is_clear = |series: &Series| series.gain() > 0.0 && series.interval_per_hour()[0] > 0.0;
    let is_clear = is_clear(&place.bytes) || is_clear(&place.count);
    let n_windows = evidence.history.len() - 1;
    if change.gone <= NOTHING_GONE {
        // Addresses that are taken again in the order in which they were freed look as if nothing had gone.
        let is_borne_out = resident_part(evidence, place).is_none_or(|part| part >= RESIDENT_PART_AT_LEAST);
        let is_small = place.bytes.gain() < ALL_BYTES && (is_clear || !change.is_replaced);
        return is_borne_out || is_small || n_windows >= WINDOWS_OF_REFILL;
    }
    let is_borne_out =
        resident_rises(evidence) && resident_part(evidence, place).is_some_and(|part| part >= RESIDENT_PART);
    is_clear && (change.gone <= TURNS_OVER || is_borne_out || n_windows >= WINDOWS_OF_REFILL)
}

fn resident_rises(evidence: &Evidence<'_>) -> bool {
    let resident = evidence.account.series(|row| row.rss_bytes);
    resident.is_some_and(|series| series.course(0.0) != Course::Flat)
}

/// The gain of resident memory as a part of the place's gain; `None` where it is unknown.
fn resident_part(evidence: &Evidence<'_>, place: &Place) -> Option<f64> {
    let resident = evidence.account.series(|row| row.rss_bytes)?;
    Some(resident.gain() / place.bytes.gain().max(1.0))
}

fn finding(evidence: &Evidence<'_>, place: &Place) -> Finding {
    let told = describe(&evidence.history, place);
    let sure = confidence(if place.count.gain() > 0.0 { &place.count } else { &place.bytes });
    let mut found = Finding {
        kind: Kind::Reference,
        holder: told.holder,
        root: told.root,
        trail: told.trail,
        types: told.types,
        bytes_per_hour: 0.0,
        interval: [0.0; 2],
        share: 0.0,
        confidence: sure,
        allocated_at: Vec::new(),
        advice: told.advice,
        source: told.source,
        objects_per_hour: 0.0,
    };
    fill(&mut found, evidence, &place.bytes, &place.count);
    found
}
