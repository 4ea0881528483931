//! `leaks` over a recording: born in the window and alive at its end, and which of it is a leak.
//!
//! A cache that fills, a pool, a batch in work survive too. What tells a leak is that a place grew, by more than the
//! error of the estimate, in every part of the window; or, where the load came and went, in several parts, while it
//! kept most of what it allocated and never fell.

use super::rows::{estimate, part, trend};
use super::{Allocations, Charge, Names, by_name, detail};
use crate::answer::{SurvivorRow, SurvivorsAnswer};
use heapray_profile::{Amount, Figures, Group, GroupBy, Site, TREND_POINTS};

/// Slices that a window needs so that parts of it can be told apart.
const SLICES_MIN: u32 = 6;
/// Parts of the window.
const PARTS: usize = 4;
/// Part of the growth that each part of the window must have.
const PART_MIN: f64 = 0.08;
/// Growth as part of all survivors below which a place is no leak.
const SHARE_MIN: f64 = 0.01;
/// Part of the growth of one part of the window that makes it a burst.
const BURST: f64 = 0.75;
/// Growth in some parts of the window only is a leak where at least this part of the allocated bytes was kept...
const KEPT_MIN: f64 = 0.5;
/// ... and live bytes never fell by more than this part of the growth.
const FALL_MAX: f64 = 0.1;
/// Blocks or samples that must have survived.
const RECORDS_MIN: i64 = 8;

impl Allocations {
    /// What survived the window. Places that grew by less than `threshold` bytes per hour are no leaks.
    pub fn survivors(&self, by: GroupBy, limit: usize, threshold: Option<u64>) -> SurvivorsAnswer {
        let sites = self.sites(&self.span);
        let names = self.names(detail(by));
        let mut groups = self.groups(&names, &sites, by, Charge::Own);
        groups.retain(|group| group.figures.survivors.bytes > 0.0);
        let mut all = Figures::default();
        for site in &sites {
            all.add(&site.figures);
        }
        let is_decided = self.span.to - self.span.from >= SLICES_MIN;
        let judge = Judge { all: all.survivors.bytes, seconds: self.span.seconds(), is_decided, threshold };
        let n_rows = groups.len() as u64;
        let n_leaks = groups.iter().filter(|group| judge.is_leak(&group.figures)).count() as u64;
        // Stable: equals stay in the order of their sites.
        groups.sort_by(|a, b| {
            let order = judge.is_leak(&b.figures).cmp(&judge.is_leak(&a.figures));
            order.then(b.figures.survivors.bytes.total_cmp(&a.figures.survivors.bytes))
        });
        groups.truncate(limit);
        let rows =
            groups.iter().map(|group| self.survivor_row(&names, (&sites, group), by, &judge)).collect();
        SurvivorsAnswer {
            recording: self.recorded(&self.span, all.survivors.n_records),
            by: by_name(by).to_owned(),
            survivors: estimate(all.survivors),
            allocated: estimate(all.allocated),
            growth: estimate(all.growth()),
            n_leaks,
            is_decided,
            rows,
            n_rows,
        }
    }

    fn survivor_row(
        &self,
        names: &Names,
        (sites, group): (&[Site], &Group),
        by: GroupBy,
        judge: &Judge,
    ) -> SurvivorRow {
        let figures = &group.figures;
        let mut most: Option<&Site> = None;
        for site in group.sites.iter().map(|at| &sites[*at as usize]) {
            if most.is_none_or(|most| site.figures.survivors.bytes > most.figures.survivors.bytes) {
                most = Some(site);
            }
        }
        let growth = figures.growth();
        SurvivorRow {
            place: self.group_place(names, group, by),
            stack: self.stack(names, most.and_then(|site| names.tree.of_node(site.node))),
            survivors: estimate(figures.survivors),
            share: part(figures.survivors.bytes, judge.all),
            kept: part(figures.survivors.bytes, figures.allocated.bytes),
            growth: estimate(growth),
            bytes_per_hour: judge.per_hour(growth),
            trend: trend(&figures.trend),
            pattern: judge.pattern(figures).to_owned(),
            is_leak: judge.is_leak(figures),
        }
    }
}

/// What leaks are told by.
struct Judge {
    /// All survivors, bytes.
    all: f64,
    seconds: f64,
    is_decided: bool,
    threshold: Option<u64>,
}

impl Judge {
    fn per_hour(&self, growth: Amount) -> f64 {
        if self.seconds > 0.0 { growth.bytes / self.seconds * 3_600.0 } else { 0.0 }
    }

    fn is_leak(&self, figures: &Figures) -> bool {
        let growth = figures.growth();
        matches!(self.pattern(figures), "steady" | "steps")
            && figures.survivors.n_records >= RECORDS_MIN
            && growth.bytes >= SHARE_MIN * self.all
            && self.per_hour(growth) >= self.threshold.unwrap_or(0) as f64
    }

    /// How a place grew.
    fn pattern(&self, figures: &Figures) -> &'static str {
        let growth = figures.growth();
        if growth.bytes - growth.bytes_error() <= 0.0 {
            return if growth.bytes <= 0.2 * figures.survivors.bytes { "replaced" } else { "unclear" };
        }
        if !self.is_decided {
            return "unclear";
        }
        let steps = (TREND_POINTS - 1) / PARTS;
        let gains: Vec<f64> = (0..PARTS)
            .map(|i| (figures.trend[(i + 1) * steps] - figures.trend[i * steps]) / growth.bytes)
            .collect();
        let (first, last) = (gains[0], gains[PARTS - 1]);
        match gains.iter().position(|gain| *gain >= BURST) {
            Some(at) if at + 1 == PARTS => return "recent",
            Some(_) if last < PART_MIN => return "burst",
            _ => {}
        }
        let n_grown = gains.iter().filter(|gain| **gain >= PART_MIN).count();
        let kept = part(figures.survivors.bytes, figures.allocated.bytes);
        if n_grown == PARTS && last * 3.0 >= first {
            "steady"
        } else if n_grown > 1
            && last * 3.0 >= first
            && kept >= KEPT_MIN
            && fall(figures) <= FALL_MAX * growth.bytes
        {
            "steps"
        } else if last < PART_MIN || last * 3.0 < first {
            "slows"
        } else {
            "unclear"
        }
    }
}

/// The most that live bytes fell from any moment of the window to a later one.
fn fall(figures: &Figures) -> f64 {
    let mut most = f64::NEG_INFINITY;
    let mut fall: f64 = 0.0;
    for bytes in figures.trend {
        most = most.max(bytes);
        fall = fall.max(most - bytes);
    }
    fall
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge() -> Judge {
        Judge { all: 1e6, seconds: 60.0, is_decided: true, threshold: None }
    }

    /// A place whose live bytes are `at(x)` with x from 0 to 1, exactly known.
    fn figures(at: impl Fn(f64) -> f64) -> Figures {
        let trend = std::array::from_fn(|i| at(i as f64 / (TREND_POINTS - 1) as f64));
        let growth = trend[TREND_POINTS - 1] - trend[0];
        let amount = |bytes| Amount { n_records: 100, count: 100.0, bytes, ..Amount::default() };
        let survivors = amount(growth.max(1e5));
        let died = amount(survivors.bytes - growth);
        Figures { trend, survivors, died, allocated: survivors, ..Figures::default() }
    }

    #[test]
    fn steady_growth_is_told_from_warm_ups_bursts_and_caches() {
        for (expected, curve) in [
            ("steady", (|x| 1e6 * x) as fn(f64) -> f64),
            ("slows", |x| 1e6 * (1.0 - (-4.0 * x).exp())),
            ("burst", |x| if x > 0.4 { 1e6 } else { 0.0 }),
            ("recent", |x| if x > 0.95 { 1e6 } else { 0.0 }),
            ("replaced", |_| 1e6),
            ("steps", |x| if x < 0.5 { 1e6 * x } else { 5e5 + 2e6 * (x - 0.75).max(0.0) }),
        ] {
            assert_eq!(judge().pattern(&figures(curve)), expected);
        }
        assert!(judge().is_leak(&figures(|x| 1e6 * x)));
        assert!(!Judge { threshold: Some(1_000_000_000), ..judge() }.is_leak(&figures(|x| 1e6 * x)));
    }

    #[test]
    fn growth_within_its_error_is_no_leak() {
        let mut uncertain = figures(|x| 1e5 * x);
        uncertain.survivors.bytes_variance = 1e10;
        assert!(!judge().is_leak(&uncertain));
    }
}
