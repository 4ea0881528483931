//! `top` and `peak`: places, ranked.

use super::rows::{estimate, part, per_second, trend};
use super::{Allocations, Names, What, by_name, detail};
use crate::answer::{TopAnswer, TopRow};
use heapray_profile::{Amount, Charge, Figures, Group, GroupBy, Site};
use heapray_wire::{FrameKind, allocator};

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopOrder {
    /// Most live bytes.
    #[default]
    Size,
    /// Most live blocks.
    Count,
    /// Most bytes allocated per second.
    Rate,
    /// Most growth.
    Growth,
}

/// How to rank.
#[derive(Clone, Copy, Debug)]
pub struct Top {
    /// What makes sites one place.
    pub by: GroupBy,
    /// Whom an allocation is charged to.
    pub charge: Charge,
    /// What comes first.
    pub order: TopOrder,
    /// Rows.
    pub limit: usize,
}

impl TopOrder {
    fn key(self, figures: &Figures) -> f64 {
        match self {
            Self::Size => figures.live.bytes,
            Self::Count => figures.live.count,
            Self::Rate => figures.allocated.bytes,
            Self::Growth => figures.growth().bytes,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Count => "count",
            Self::Rate => "rate",
            Self::Growth => "growth",
        }
    }
}

impl Allocations {
    /// Where live memory was allocated, and what grows.
    pub fn top(&self, how: Top) -> TopAnswer {
        self.ranked(how, What::Live)
    }

    /// What was alive at the high-water mark, or where that lies outside of the window at its fullest border between slices; where
    /// several processes count, at the highest.
    pub fn peak(&self, how: Top) -> TopAnswer {
        self.ranked(how, What::Peak)
    }

    fn ranked(&self, how: Top, what: What) -> TopAnswer {
        let (sites, peak) = match what {
            What::Peak => self.weighed(what),
            _ => (self.sites(&self.span), None),
        };
        let names = self.names(detail(how.by));
        let groups = self.groups(&names, &sites, how.by, how.charge);
        let mut all = Figures::default();
        for site in &sites {
            all.add(&site.figures);
        }
        let n_rows = groups.len() as u64;
        let rows = self.first(&names, groups, how).into_iter().map(|(row, _)| row).collect();
        TopAnswer {
            recording: match what {
                What::Peak => self.weighed_of(what, all.live.n_records),
                _ => self.recorded(&self.span, all.live.n_records),
            },
            by: by_name(how.by).to_owned(),
            charge: if how.charge == Charge::Own { "own" } else { "cumulative" }.to_owned(),
            sort: how.order.name().to_owned(),
            process: peak.map(|peak| self.recording.tasks[peak.task].number),
            live: estimate(all.live),
            native_threads: estimate(self.of_native_threads(&sites)),
            reserved: estimate(of_reserved(&sites)),
            growth: estimate(all.growth()),
            allocated: estimate(all.allocated),
            bytes_per_second: per_second(all.allocated.bytes, self.span.seconds()),
            rows: shares(rows, all.live.bytes),
            n_rows,
        }
    }

    /// What lives of native threads whose start is known. O(sites × frames) where there are any.
    fn of_native_threads(&self, sites: &[Site]) -> Amount {
        let recording = &self.recording;
        let mut sum = Amount::default();
        if recording.frames.iter().all(|frame| frame.kind != FrameKind::Start) {
            return sum;
        }
        let is_start = |node: u32| recording.frame(node).kind == FrameKind::Start;
        for site in sites.iter().filter(|site| recording.stack(site.node).any(is_start)) {
            sum += site.figures.live;
        }
        sum
    }

    /// The first groups as rows, with the groups.
    pub(super) fn first(&self, names: &Names, groups: Vec<Group>, how: Top) -> Vec<(TopRow, Group)> {
        // Of equals (nothing grew) the larger first.
        let key = |group: &Group| (how.order.key(&group.figures), group.figures.live.bytes);
        let falling = |a: &(f64, f64), b: &(f64, f64)| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1));
        let mut keyed: Vec<_> = groups.into_iter().map(|group| (key(&group), group)).collect();
        keyed.sort_by(|(a, _), (b, _)| falling(a, b));
        // Names are made for those that may be shown: all that are as large as the last of them.
        let last = keyed.get(how.limit.saturating_sub(1)).map(|(key, _)| *key);
        keyed.retain(|(key, _)| last.is_none_or(|last| falling(key, &last).is_le()));
        let mut rows: Vec<_> =
            keyed.into_iter().map(|(key, group)| (key, self.top_row(names, &group, how.by), group)).collect();
        rows.sort_by(|(a, row_a, _), (b, row_b, _)| {
            falling(a, b).then_with(|| (&row_a.place, &row_a.stack).cmp(&(&row_b.place, &row_b.stack)))
        });
        rows.truncate(how.limit);
        rows.into_iter().map(|(_, row, group)| (row, group)).collect()
    }

    fn top_row(&self, names: &Names, group: &Group, by: GroupBy) -> TopRow {
        let figures = &group.figures;
        TopRow {
            place: self.group_place(names, group, by),
            stack: self.group_stack(names, group, by),
            live: estimate(figures.live),
            share: 0.0,
            growth: estimate(figures.growth()),
            allocated: estimate(figures.allocated),
            bytes_per_second: per_second(figures.allocated.bytes, self.span.seconds()),
            trend: trend(&figures.trend),
        }
    }
}

fn shares(mut rows: Vec<TopRow>, all: f64) -> Vec<TopRow> {
    for row in &mut rows {
        row.share = part(row.live.bytes as f64, all);
    }
    rows
}

/// What lives in reserved address space.
fn of_reserved(sites: &[Site]) -> Amount {
    let mut sum = Amount::default();
    sites
        .iter()
        .filter(|site| site.allocator == allocator::RESERVED)
        .for_each(|site| sum += site.figures.live);
    sum
}
