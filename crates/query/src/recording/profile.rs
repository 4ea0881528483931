//! Stacks with their weights, for flame graphs and exports.

use super::rows::{estimate, whole};
use super::stats::allocator_name;
use super::tree::grown;
use super::{Allocations, What};
use crate::answer::{ProfileSite, StackProfile};
use heapray_profile::{Amount, Detail};

impl Allocations {
    /// All sites with their stacks, by the names on them. Without a named begin, what was allocated counts from the
    /// recording's begin, except for growth, which needs a middle to grow from.
    pub fn profile(&self, what: What, detail: Detail) -> StackProfile {
        let (sites, peak) = self.weighed(what);
        let names = self.names(detail);
        let mut all = Amount::default();
        let mut shrunk = 0.0;
        let mut rows: Vec<ProfileSite> = Vec::with_capacity(sites.len());
        for site in &sites {
            let weight = what.of(&site.figures);
            shrunk += weight.bytes.min(0.0);
            all += grown(weight);
            rows.push(ProfileSite {
                stack: names.tree.stack(names.tree.of_node(site.node)),
                thread: self.thread(site.node),
                allocator: allocator_name(site.allocator),
                weight: estimate(grown(weight)),
                allocated: estimate(site.figures.allocated),
                live: estimate(site.figures.live),
                growth: estimate(site.figures.growth()),
                temporary: estimate(site.figures.temporary),
            });
        }
        let mut recording = self.recorded(self.span_of(what), all.n_records);
        if let Some(peak) = peak.and_then(|at| self.recording.tasks[at].peak.as_ref()) {
            recording.window.to_seconds = peak.t_ns as f64 / 1e9;
            recording.window.live = "peak".to_owned();
        }
        StackProfile {
            recording,
            what: what.name().to_owned(),
            places: names.places.rows.iter().map(|place| self.place(place)).collect(),
            sites: rows,
            total: estimate(all),
            shrunk_bytes: whole(shrunk),
        }
    }
}
