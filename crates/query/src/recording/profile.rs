//! Stacks with their weights, for flame graphs and exports.

use super::rows::{estimate, whole};
use super::stats::allocator_name;
use super::tree::{grown, has_shrunk};
use super::{Allocations, Names, What};
use crate::answer::{ProfileSite, ProfileStack, StackProfile};
use heapray_profile::{Amount, Detail, Figures};
use std::collections::{BTreeMap, HashMap};

/// One site with what its columns say: each as the report of that name counts it.
#[derive(Default)]
struct Columns {
    figures: Figures,
    growth: Amount,
    weight: Amount,
}

/// The weights of stacks as they are shown: sums over threads, processes and allocators.
#[derive(Default)]
struct Stacks {
    /// Position of each stack, by its node in the tree; `None` is what has no frames.
    index: HashMap<Option<u32>, u32>,
    /// Node, weight, and whether a part of that is negative, in the order in which sites lead to them.
    rows: Vec<(Option<u32>, Amount, bool)>,
}

impl Stacks {
    /// Adds the weight of a site; the position of its stack.
    fn add(&mut self, node: Option<u32>, weight: Amount) -> u32 {
        let next = self.rows.len() as u32;
        let at = *self.index.entry(node).or_insert(next);
        if at == next {
            self.rows.push((node, Amount::default(), false));
        }
        let (_, sum, has_shrunk_sites) = &mut self.rows[at as usize];
        *sum += weight;
        *has_shrunk_sites |= has_shrunk(weight);
        at
    }
}

impl Allocations {
    /// All stacks by the names on them, without sites. What shrank on a stack is taken from what grew there, in another thread or
    /// allocator, as in the tree. Without a named begin, what was allocated counts from the recording's begin, and growth from
    /// the middle, whatever is weighed.
    pub fn stacks(&self, what: What, detail: Detail) -> StackProfile {
        let names = self.names(detail);
        let mut stacks = Stacks::default();
        for site in self.weighed(what).0 {
            stacks.add(names.tree.of_node(site.node), what.of(&site.figures));
        }
        self.told(what, &names, stacks)
    }

    /// As [`Allocations::stacks`], and all sites with the stacks that they are part of: sums the recording up once more.
    pub fn profile(&self, what: What, detail: Detail) -> StackProfile {
        let names = self.names(detail);
        let mut stacks = Stacks::default();
        let columns = self.columns(what);
        let mut sites: Vec<ProfileSite> = Vec::with_capacity(columns.len());
        for ((node, allocator), site) in columns {
            sites.push(ProfileSite {
                stack: stacks.add(names.tree.of_node(node), site.weight),
                thread: self.thread(node),
                allocator: allocator_name(allocator),
                weight: estimate(site.weight),
                allocated: estimate(site.figures.allocated),
                live: estimate(site.figures.live),
                growth: estimate(site.growth),
                temporary: estimate(site.figures.temporary),
            });
        }
        StackProfile { sites, ..self.told(what, &names, stacks) }
    }

    /// Stacks as they are shown, with what they come to.
    fn told(&self, what: What, names: &Names, stacks: Stacks) -> StackProfile {
        let mut all = Amount::default();
        let mut shrunk = 0.0;
        for (_, weight, _) in &stacks.rows {
            all += grown(*weight);
            shrunk += weight.bytes.min(0.0);
        }
        let stack = |(node, weight, has_shrunk_sites)| ProfileStack {
            places: names.tree.stack(node),
            weight: estimate(grown(weight)),
            has_shrunk_sites,
        };
        StackProfile {
            recording: self.weighed_of(what, all.n_records),
            what: what.name().to_owned(),
            places: names.places.rows.iter().map(|place| self.place(place)).collect(),
            stacks: stacks.rows.into_iter().map(stack).collect(),
            sites: Vec::new(),
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
