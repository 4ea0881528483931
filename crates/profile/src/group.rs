//! Sites that a user takes for one: of the same line, function, file or stack.

use crate::{Figures, PlaceKind, Places, Site, StackTree};
use heapray_capture::Recording;
use heapray_wire::NO_STRING;
use std::collections::HashMap;

/// What makes sites one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupBy {
    /// The line.
    #[default]
    Line,
    /// The function.
    Function,
    /// The file.
    File,
    /// The whole stack.
    Stack,
}

/// Whom an allocation is charged to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charge {
    /// The innermost place.
    #[default]
    Own,
    /// Every place on the stack, once.
    Cumulative,
}

/// One group.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The place, the innermost one of a stack; `None` where nothing is known.
    pub place: Option<u32>,
    /// Of a stack: its node in the [`StackTree`].
    pub stack: Option<u32>,
    /// The sum of its sites.
    pub figures: Figures,
    /// The sites, by their position.
    pub sites: Vec<u32>,
}

/// What names stacks.
type Names<'a> = (&'a Recording, &'a Places, &'a StackTree);

/// Groups sites, in the order in which sites lead to them. `places` are of the detail that `by` wants, `tree` was
/// made with them.
pub fn group(
    (recording, places, tree): Names<'_>,
    sites: &[Site],
    by: GroupBy,
    charge: Charge,
) -> Vec<Group> {
    let mut groups = Groups::default();
    if by == GroupBy::Stack {
        for (at, site) in sites.iter().enumerate() {
            let stack = tree.of_node(site.node);
            let place = stack.map(|node| tree.nodes[node as usize].place);
            groups.add((stack, place), Group::new(place, stack), site, at);
        }
        return groups.rows;
    }
    let mut seen = Vec::new();
    for (at, site) in sites.iter().enumerate() {
        seen.clear();
        match charge {
            Charge::Own => seen.extend(owner(recording, places, tree, site.node)),
            Charge::Cumulative => everyone((recording, places, tree), site.node, &mut seen),
        }
        let mut keys: Vec<_> = seen.iter().map(|&place| (key(places, place, by), place)).collect();
        keys.sort_unstable();
        keys.dedup_by_key(|(key, _)| *key);
        for (key, place) in keys {
            groups.add((Some(key), None), Group::new(Some(place), None), site, at);
        }
        if seen.is_empty() {
            groups.add((None, None), Group::new(None, None), site, at);
        }
    }
    groups.rows
}

type Key = (Option<u32>, Option<u32>);

#[derive(Default)]
struct Groups {
    index: HashMap<Key, usize>,
    rows: Vec<Group>,
}

impl Groups {
    fn add(&mut self, key: Key, empty: Group, site: &Site, site_idx: usize) {
        let next = self.rows.len();
        let at = *self.index.entry(key).or_insert(next);
        if at == next {
            self.rows.push(empty);
        }
        self.rows[at].figures.add(&site.figures);
        self.rows[at].sites.push(site_idx as u32);
    }
}

impl Group {
    fn new(place: Option<u32>, stack: Option<u32>) -> Self {
        Self { place, stack, figures: Figures::default(), sites: Vec::new() }
    }
}

/// Files are grouped by their text, everything else by its place.
fn key(places: &Places, place: u32, by: GroupBy) -> u32 {
    let row = places.get(place);
    let is_file = by == GroupBy::File && row.file != NO_STRING;
    // Text ids and places share the key's space, apart by the highest bit.
    if is_file { row.file | 1 << 31 } else { place }
}

/// The innermost place of Python; where there is none, the innermost of native code, of a cut, of a thread.
fn owner(recording: &Recording, places: &Places, tree: &StackTree, node: u32) -> Option<u32> {
    let rank = |place: u32| match places.get(place).kind {
        PlaceKind::Python if tree.hides(places, place) => 5,
        PlaceKind::Python => 0,
        PlaceKind::Native => 1,
        PlaceKind::Cut | PlaceKind::Start => 2,
        PlaceKind::Tag => 3,
        PlaceKind::Thread if !tree.shows_threads() => 6,
        PlaceKind::Thread => 4,
    };
    let mut best: Option<(u32, u32)> = None;
    for place in stack(recording, places, node) {
        let rank = rank(place);
        if rank == 0 {
            return Some(place);
        }
        if rank < 6 && best.is_none_or(|(least, _)| rank < least) {
            best = Some((rank, place));
        }
    }
    best.map(|(_, place)| place)
}

/// All code on the stack.
fn everyone((recording, places, tree): Names<'_>, node: u32, all: &mut Vec<u32>) {
    let is_code = |place: &u32| matches!(places.get(*place).kind, PlaceKind::Python | PlaceKind::Native);
    all.extend(stack(recording, places, node).filter(is_code));
    if all.is_empty() {
        all.extend(owner(recording, places, tree, node));
    }
}

fn stack<'a>(recording: &'a Recording, places: &'a Places, node: u32) -> impl Iterator<Item = u32> + 'a {
    recording.stack(node).map(|node| places.of_node(recording, node))
}
