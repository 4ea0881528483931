//! `temporary`: freed soon after, by place.

use super::rows::{estimate, part, per_second, whole};
use super::{Allocations, Charge, by_name, detail};
use crate::answer::{TemporaryAnswer, TemporaryRow};
use heapray_profile::{Figures, GroupBy};

impl Allocations {
    /// Where blocks are allocated to be freed soon after, the most bytes first.
    pub fn temporary(&self, by: GroupBy, limit: usize) -> TemporaryAnswer {
        let sites = self.sites(&self.whole);
        let names = self.names(detail(by));
        let mut groups = self.groups(&names, &sites, by, Charge::Own);
        groups.retain(|group| group.figures.temporary.bytes > 0.0);
        let mut all = Figures::default();
        for site in &sites {
            all.add(&site.figures);
        }
        let n_rows = groups.len() as u64;
        // Stable: equals stay in the order of their sites.
        groups.sort_by(|a, b| b.figures.temporary.bytes.total_cmp(&a.figures.temporary.bytes));
        groups.truncate(limit);
        let seconds = self.whole.seconds();
        let rows: Vec<TemporaryRow> = groups
            .iter()
            .map(|group| {
                let temporary = group.figures.temporary;
                TemporaryRow {
                    place: self.group_place(&names, group, by),
                    stack: self.group_stack(&names, group, by),
                    temporary: estimate(temporary),
                    bytes_per_second: per_second(temporary.bytes, seconds),
                    average_bytes: whole(temporary.bytes / temporary.count.max(1.0)),
                    share: part(temporary.bytes, group.figures.allocated.bytes),
                }
            })
            .collect();
        let times = &self.recording.slice_times[self.whole.from as usize..self.whole.to as usize];
        let longest = times.iter().map(|(start, end)| end.saturating_sub(*start)).max();
        TemporaryAnswer {
            recording: self.recorded(&self.whole, all.temporary.n_records),
            by: by_name(by).to_owned(),
            temporary: estimate(all.temporary),
            slice_seconds: longest.unwrap_or(0) as f64 / 1e9,
            allocated: estimate(all.allocated),
            rows,
            n_rows,
        }
    }
}
