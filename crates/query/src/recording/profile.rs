//! Stacks with their weights, for flame graphs and exports.

use super::rows::{estimate, whole};
use super::stats::allocator_name;
use super::tree::grown;
use super::{Allocations, What};
use crate::answer::{ProfileSite, StackProfile};
use heapray_profile::{Amount, Detail, Figures};
use std::collections::BTreeMap;

/// One site with what its columns say: each as the report of that name counts it.
#[derive(Default)]
struct Columns {
    figures: Figures,
    growth: Amount,
    weight: Amount,
}

impl Allocations {
    /// All sites with their stacks, by the names on them. Without a named begin, what was allocated counts from the
    /// recording's begin, and growth from the middle, whatever is weighed.
    pub fn profile(&self, what: What, detail: Detail) -> StackProfile {
        let names = self.names(detail);
        let mut all = Amount::default();
        let mut shrunk = 0.0;
        let columns = self.columns(what);
        let mut rows: Vec<ProfileSite> = Vec::with_capacity(columns.len());
        for ((node, allocator), site) in columns {
            shrunk += site.weight.bytes.min(0.0);
            all += grown(site.weight);
            rows.push(ProfileSite {
                stack: names.tree.stack(names.tree.of_node(node)),
                thread: self.thread(node),
                allocator: allocator_name(allocator),
                weight: estimate(grown(site.weight)),
                allocated: estimate(site.figures.allocated),
                live: estimate(site.figures.live),
                growth: estimate(site.growth),
                temporary: estimate(site.figures.temporary),
            });
        }
        StackProfile {
            recording: self.weighed_of(what, all.n_records),
            what: what.name().to_owned(),
            places: names.places.rows.iter().map(|place| self.place(place)).collect(),
            sites: rows,
            total: estimate(all),
            shrunk_bytes: whole(shrunk),
        }
    }

    /// The columns of every site for which one of them is not empty, by node and allocator.
    fn columns(&self, what: What) -> BTreeMap<(u32, u8), Columns> {
        let mut columns: BTreeMap<(u32, u8), Columns> = BTreeMap::new();
        for site in self.sites(&self.whole) {
            columns.entry((site.node, site.allocator)).or_default().figures = site.figures;
        }
        for site in self.sites(&self.span) {
            columns.entry((site.node, site.allocator)).or_default().growth = site.figures.growth();
        }
        if what == What::Peak {
            for site in self.weighed(what).0 {
                columns.entry((site.node, site.allocator)).or_default().weight = site.figures.live;
            }
            return columns;
        }
        for site in columns.values_mut() {
            site.weight = if what == What::Growth { site.growth } else { what.of(&site.figures) };
        }
        columns
    }
}
