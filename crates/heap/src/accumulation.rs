//! Who got what was born: growth attributed along trails to the objects that were there before.
//!
//! Each born object adds to, each gone object takes from, the nearest node on its trail that is in both snapshots
//! (or that took the place of a gone one under the same name). Sums go up the tree of trails; a place is reported
//! where its sum, without that of places reported further down, is large. So an eviction that makes room for a new
//! entry cancels it, and a thousand small entries count for the container that holds them.

use std::collections::BTreeMap;

use heapray_wire::{NO_NODE, TypeKind};

use crate::anchors::is_anchor;
use crate::forms::FastMap;
use crate::growth::{GrowthOptions, HolderGrowth, PartCount};
use crate::matching::{Matching, n_real};
use crate::{Heap, Region, TypeCount};

/// A place must have this part of all growth, or [`GrowthOptions::min_bytes`] if that is more.
const SHARE_MIN: i64 = 200;

/// The comparison while it is worked on; vectors by node after unless said otherwise.
struct Books<'h> {
    before: &'h Heap,
    after: &'h Heap,
    matching: &'h Matching,
    /// Where after each node before is weighed.
    images: Vec<u32>,
    /// Whether the node is in both snapshots or took a gone one's place.
    is_place: Vec<bool>,
    /// Born minus died bytes at this node.
    own: Vec<i64>,
    /// Nearest reported place at or above; [`NO_NODE`] where there is none.
    place: Vec<u32>,
}

/// Accumulation points of growth in the live heap, most net bytes first.
pub(crate) fn holders(
    before: &Heap,
    after: &Heap,
    matching: &Matching,
    options: &GrowthOptions,
) -> Vec<HolderGrowth> {
    let mut books = Books::open(before, after, matching);
    books.choose_places(options);
    let mut accounts = books.accounts();
    accounts.retain(|_, account| account.net_bytes() >= options.min_bytes as i64);
    let mut merged: BTreeMap<String, Account> = BTreeMap::new();
    for account in accounts.into_values() {
        let name = after.stable_name(account.node);
        match merged.get_mut(&name) {
            Some(one) => one.merge(account),
            None => drop(merged.insert(name, account)),
        }
    }
    let mut rows: Vec<(String, Account)> = merged.into_iter().collect();
    rows.sort_by_key(|(_, account)| (std::cmp::Reverse(account.net_bytes()), account.node));
    rows.truncate(options.limit);
    rows.into_iter().map(|(name, account)| books.row(name, account)).collect()
}

impl<'h> Books<'h> {
    fn open(before: &'h Heap, after: &'h Heap, matching: &'h Matching) -> Books<'h> {
        let images = matching.images(before, after);
        let n_after = after.n_nodes() as usize;
        let mut books = Books {
            before,
            after,
            matching,
            images,
            is_place: matching.before_of.iter().map(|before| *before != NO_NODE).collect(),
            own: vec![0; n_after],
            place: Vec::new(),
        };
        for node in 0..n_after as u32 {
            let old = matching.before_of[node as usize];
            let was = if old == NO_NODE { 0 } else { before.tables().block(old) };
            books.own[node as usize] = after.tables().block(node) as i64 - was as i64;
        }
        for node in 0..before.n_nodes() {
            let image = books.images[node as usize];
            if matching.after_of[node as usize] == NO_NODE && image != NO_NODE {
                books.own[image as usize] -= before.tables().block(node) as i64;
                // An image that is not in both snapshots is an heir.
                books.is_place[image as usize] = true;
            }
        }
        books
    }

    /// Picks the places to report and tells each node the nearest one above it.
    fn choose_places(&mut self, options: &GrowthOptions) {
        let tree = &self.after.tree;
        let mut sum = self.own.clone();
        let mut growth = 0;
        for &node in self.after.order().iter().rev() {
            match tree.parent[node as usize] {
                NO_NODE if self.after.region(node) == Region::Live => growth += sum[node as usize].max(0),
                NO_NODE => {}
                above => sum[above as usize] += sum[node as usize],
            }
        }
        let least = (growth / SHARE_MIN).max(options.min_bytes as i64).max(1);
        // What is left of each sum without the large places further down.
        let mut rest: FastMap<u32, i64> = FastMap::default();
        for &node in self.after.order().iter().rev() {
            if sum[node as usize] < least || !self.may_be_place(node) {
                continue;
            }
            *rest.entry(node).or_default() += sum[node as usize];
            let mut above = tree.parent[node as usize];
            while above != NO_NODE && !(sum[above as usize] >= least && self.may_be_place(above)) {
                above = tree.parent[above as usize];
            }
            if above != NO_NODE {
                *rest.entry(above).or_default() -= sum[node as usize];
            }
        }
        self.place = vec![NO_NODE; sum.len()];
        for &node in self.after.order() {
            let is_chosen = rest.get(&node).is_some_and(|rest| *rest >= least);
            self.place[node as usize] = match tree.parent[node as usize] {
                _ if is_chosen => node,
                NO_NODE => NO_NODE,
                above => self.place[above as usize],
            };
        }
    }

    /// Nodes that were there before; new ones only where a module, a class or a frame got them: they have a name.
    fn may_be_place(&self, node: u32) -> bool {
        if self.after.region(node) != Region::Live || self.is_whole_program(node) {
            return false;
        }
        match self.after.trail_parent(node) {
            None => true,
            Some(_) if self.is_place[node as usize] => true,
            Some(above) => self.is_place[above as usize] && is_anchor(self.after, above),
        }
    }

    /// The interpreter and its table of modules hold everything: no answer.
    fn is_whole_program(&self, node: u32) -> bool {
        let is_interpreter = |node| self.after.kind(node) == TypeKind::Interpreter;
        let above = self.after.trail_parent(node);
        is_interpreter(node) || (above.is_some_and(is_interpreter) && is_anchor(self.after, node))
    }

    /// What was born and died at each place. Roots that are no places of their own share one account by type.
    fn accounts(&self) -> BTreeMap<(u32, u32), Account> {
        let mut accounts: BTreeMap<(u32, u32), Account> = BTreeMap::new();
        let after = self.after.tables();
        let root_types = root_types(self.after);
        for &node in self.after.order() {
            if self.after.region(node) != Region::Live {
                break;
            }
            let key = self.key(node, &root_types);
            let is_born = node < n_real(after) && self.matching.before_of[node as usize] == NO_NODE;
            if !is_born && self.own[node as usize] == 0 {
                continue;
            }
            let account = accounts.entry(key).or_default();
            if account.node == NO_NODE {
                account.node = if key.0 == NO_NODE { node } else { key.0 };
            }
            if is_born {
                account.born(after.type_of(node), node, after.block(node));
            } else {
                account.resized += self.resized(node);
            }
        }
        self.take_died(&mut accounts, &root_types);
        let is_object =
            |type_idx: u32| (after.types[type_idx as usize].kind as u8) < TypeKind::Interpreter as u8;
        accounts.retain(|(place, root_type), _| *place != NO_NODE || is_object(*root_type));
        accounts
    }

    /// The account of a node: its place, or none and the type of its root.
    fn key(&self, node: u32, root_types: &[u32]) -> (u32, u32) {
        match self.place[node as usize] {
            NO_NODE => (NO_NODE, root_types[node as usize]),
            place => (place, 0),
        }
    }

    fn resized(&self, node: u32) -> i64 {
        let old = self.matching.before_of[node as usize];
        if old == NO_NODE {
            return 0;
        }
        self.after.tables().block(node) as i64 - self.before.tables().block(old) as i64
    }

    fn take_died(&self, accounts: &mut BTreeMap<(u32, u32), Account>, root_types: &[u32]) {
        let names: BTreeMap<&str, u32> = (0u32..)
            .zip(&self.after.tables().types)
            .map(|(at, row)| (self.after.tables().string(row.name), at))
            .collect();
        let old_root_types = self::root_types(self.before);
        for &node in self.before.order() {
            if self.before.region(node) != Region::Live {
                break;
            }
            if self.matching.after_of[node as usize] != NO_NODE {
                continue;
            }
            let key = match self.images[node as usize] {
                NO_NODE => {
                    let row = &self.before.tables().types[old_root_types[node as usize] as usize];
                    (NO_NODE, names.get(self.before.tables().string(row.name)).copied().unwrap_or(NO_NODE))
                }
                image => self.key(image, root_types),
            };
            if let Some(account) = accounts.get_mut(&key) {
                account.died.add_one(self.before.tables().block(node));
            }
        }
    }

    fn row(&self, stable_name: String, account: Account) -> HolderGrowth {
        let (node, tables) = (account.node, self.after.tables());
        let old = Some(self.matching.before_of[node as usize]).filter(|old| *old != NO_NODE);
        let trail = self.after.trail(node);
        HolderGrowth {
            node,
            node_before: old,
            kind: trail.holder,
            trail,
            stable_name,
            type_name: tables.type_name(node).to_owned(),
            net_bytes: account.net_bytes(),
            net_count: account.born.count as i64 - account.died.count as i64,
            born: account.born,
            died: account.died,
            types: self.type_counts(&account),
            length_before: old.and_then(|old| self.before.length(old)),
            length_after: self.after.length(node),
            retained_before: old.map_or(0, |old| self.before.retained(old)),
            retained_after: self.after.retained(node),
            example: account.largest.map_or(node, |(_, node)| node),
            places: account.places,
        }
    }

    fn type_counts(&self, account: &Account) -> Vec<TypeCount> {
        let tables = self.after.tables();
        let mut rows: Vec<TypeCount> = account
            .types
            .iter()
            .map(|(type_idx, part)| TypeCount {
                name: tables.string(tables.types[*type_idx as usize].name).to_owned(),
                count: part.count,
                bytes: part.bytes,
            })
            .collect();
        rows.sort_by(|a, b| (b.bytes, b.count).cmp(&(a.bytes, a.count)).then_with(|| a.name.cmp(&b.name)));
        rows.truncate(5);
        rows
    }
}

/// The type of the root of each node's trail.
fn root_types(heap: &Heap) -> Vec<u32> {
    let mut types = vec![NO_NODE; heap.n_nodes() as usize];
    for &node in heap.order() {
        types[node as usize] = match heap.trail_parent(node) {
            Some(above) => types[above as usize],
            None => heap.tables().type_of(node),
        };
    }
    types
}

struct Account {
    node: u32,
    born: PartCount,
    died: PartCount,
    resized: i64,
    types: BTreeMap<u32, PartCount>,
    largest: Option<(u64, u32)>,
    places: u64,
}

impl Default for Account {
    fn default() -> Self {
        Account {
            node: NO_NODE,
            born: PartCount::default(),
            died: PartCount::default(),
            resized: 0,
            types: BTreeMap::new(),
            largest: None,
            places: 1,
        }
    }
}

impl Account {
    fn born(&mut self, type_idx: u32, node: u32, bytes: u64) {
        self.born.add_one(bytes);
        self.types.entry(type_idx).or_default().add_one(bytes);
        if self.largest.is_none_or(|(most, _)| bytes > most) {
            self.largest = Some((bytes, node));
        }
    }

    fn net_bytes(&self) -> i64 {
        self.born.bytes as i64 - self.died.bytes as i64 + self.resized
    }

    fn merge(&mut self, other: Account) {
        if other.net_bytes() > self.net_bytes() {
            self.node = other.node;
        }
        self.born.add(other.born);
        self.died.add(other.died);
        self.resized += other.resized;
        self.places += other.places;
        for (type_idx, part) in other.types {
            self.types.entry(type_idx).or_default().add(part);
        }
        if let Some((bytes, node)) = other.largest
            && self.largest.is_none_or(|(most, _)| bytes > most)
        {
            self.largest = Some((bytes, node));
        }
    }
}
