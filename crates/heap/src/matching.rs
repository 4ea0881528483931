//! Which nodes of two snapshots are the same, and which took the place of a gone one.
//!
//! Objects are the same where address and type name are; synthetic nodes where kind and name are. An heir is a new
//! object under the name of a gone one (`app.cache = {}`), so that what died below the old is weighed against what
//! was born below the new.

use std::collections::{BTreeMap, HashMap};

use heapray_capture::HeapTables;
use heapray_wire::{LabelKind, NO_NODE, NodeFlags};

use crate::Heap;
use crate::step::{Step, between};

/// Heirs are sought below holders with at most this many references: larger ones are data, not names.
const NAMED_REFERENCES_MAX: usize = 4096;

/// Two snapshots, node by node.
pub(crate) struct Matching {
    /// For each node before: the same node after, or [`NO_NODE`].
    pub(crate) after_of: Vec<u32>,
    /// For each node after: the same node before, or [`NO_NODE`].
    pub(crate) before_of: Vec<u32>,
}

impl Matching {
    /// O(nodes), 8 bytes a node of both.
    pub(crate) fn new(before: &HeapTables, after: &HeapTables) -> Matching {
        let mut matching = Matching {
            after_of: vec![NO_NODE; before.n_nodes() as usize],
            before_of: vec![NO_NODE; after.n_nodes() as usize],
        };
        matching.match_objects(before, after);
        matching.match_synthetic(before, after);
        matching
    }

    fn match_objects(&mut self, before: &HeapTables, after: &HeapTables) {
        let same_type = same_types(before, after);
        let (n_before, n_after) = (n_real(before), n_real(after));
        let (mut a, mut b) = (0, 0);
        while a < n_before && b < n_after {
            match before.address(a).cmp(&after.address(b)) {
                std::cmp::Ordering::Less => a += 1,
                std::cmp::Ordering::Greater => b += 1,
                std::cmp::Ordering::Equal => {
                    if same_type[before.type_of(a) as usize] == Some(type_name_id(after, b)) {
                        self.pair(a, b);
                    }
                    a += 1;
                    b += 1;
                }
            }
        }
    }

    fn match_synthetic(&mut self, before: &HeapTables, after: &HeapTables) {
        let name = |tables: &HeapTables, node| {
            (crate::roots::kind(tables, node), tables.name(node).unwrap_or("").to_owned())
        };
        let mut by_name = BTreeMap::new();
        for node in n_real(before)..before.n_nodes() {
            by_name.entry(name(before, node)).or_insert(node);
        }
        for node in n_real(after)..after.n_nodes() {
            if let Some(old) = by_name.remove(&name(after, node)) {
                self.pair(old, node);
            }
        }
    }

    fn pair(&mut self, before: u32, after: u32) {
        self.after_of[before as usize] = after;
        self.before_of[after as usize] = before;
    }

    /// For each node before: where after what hung there is weighed; itself, its heir, or those of the nearest node
    /// above it on its trail; [`NO_NODE`] where nothing above persists.
    pub(crate) fn images(&self, before: &Heap, after: &Heap) -> Vec<u32> {
        let mut images = self.after_of.clone();
        for &node in before.order() {
            if images[node as usize] != NO_NODE {
                continue;
            }
            let Some(above) = before.trail_parent(node) else { continue };
            let image = images[above as usize];
            if image == NO_NODE {
                continue;
            }
            images[node as usize] = self.heir(before, after, (above, node), image).unwrap_or(image);
        }
        images
    }

    /// The new object under `image` by the name that the gone `node` had under `above`.
    fn heir(&self, before: &Heap, after: &Heap, (above, node): (u32, u32), image: u32) -> Option<u32> {
        if before.tables().targets(above).len() > NAMED_REFERENCES_MAX
            || after.tables().targets(image).len() > NAMED_REFERENCES_MAX
        {
            return None;
        }
        let step = between(before, above, node);
        let name = name_of(before.tables(), &step)?;
        let tables = after.tables();
        let same = |(position, target): (u32, &u32)| {
            let label = tables.label(image, position);
            let step = Step { from: image, to: *target, position, label };
            label.kind == name.0 && name_of(tables, &step).is_some_and(|found| found == name)
        };
        let position = (0u32..).zip(tables.targets(image)).position(same)?;
        let heir = tables.targets(image)[position];
        let is_new = heir < after.n_nodes() && self.before_of[heir as usize] == NO_NODE;
        let is_held_here = is_new && after.trail_parent(heir) == Some(image);
        (is_held_here && tables.type_name(heir) == before.tables().type_name(node)).then_some(heir)
    }
}

/// The name of a step that has one of its own: attributes, fields, variables, dict values with a known key.
fn name_of<'t>(tables: &'t HeapTables, step: &Step) -> Option<(LabelKind, &'t str)> {
    match step.label.kind {
        LabelKind::Attribute | LabelKind::Field | LabelKind::Local | LabelKind::Closure => {
            Some((step.label.kind, tables.string(step.label.name)))
        }
        LabelKind::Value => {
            let key = *tables.targets(step.from).get(step.position.checked_sub(1)? as usize)?;
            Some((LabelKind::Value, tables.name(key)?))
        }
        _ => None,
    }
}

/// Number of real nodes: they come before all synthetic ones.
pub(crate) fn n_real(tables: &HeapTables) -> u32 {
    tables.flags.partition_point(|flags| !flags.has(NodeFlags::SYNTHETIC)) as u32
}

fn type_name_id(tables: &HeapTables, node: u32) -> u32 {
    tables.types[tables.type_of(node) as usize].name
}

/// For each type before: the string id, after, of the same name.
fn same_types(before: &HeapTables, after: &HeapTables) -> Vec<Option<u32>> {
    let ids: HashMap<&str, u32> = after.types.iter().map(|row| (after.string(row.name), row.name)).collect();
    before.types.iter().map(|row| ids.get(before.string(row.name)).copied()).collect()
}
