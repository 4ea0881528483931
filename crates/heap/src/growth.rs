//! What changed between two snapshots of one process: types, containers, and who holds the growth.

use std::collections::BTreeMap;

use heapray_wire::NO_NODE;

use crate::matching::{Matching, n_real};
use crate::types::count_types;
use crate::{Heap, HolderKind, Region, Trail, TypeCount};

/// What to report.
#[derive(Clone, Copy, Debug)]
pub struct GrowthOptions {
    /// Rows of each list.
    pub limit: usize,
    /// Holders and containers below this growth are left out.
    pub min_bytes: u64,
}

impl Default for GrowthOptions {
    fn default() -> Self {
        GrowthOptions { limit: 20, min_bytes: 4096 }
    }
}

/// A number before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartCount {
    /// Number of objects.
    pub count: u64,
    /// Bytes of their blocks.
    pub bytes: u64,
}

/// One type's change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeGrowth {
    /// Module-qualified name.
    pub name: String,
    /// In the first snapshot.
    pub before: PartCount,
    /// In the second.
    pub after: PartCount,
    /// New in the second.
    pub born: PartCount,
    /// Gone since the first.
    pub died: PartCount,
}

/// A container that is in both snapshots and holds more elements in the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerGrowth {
    /// Node in the second snapshot.
    pub node: u32,
    /// Its best trail.
    pub trail: Trail,
    /// Its type.
    pub type_name: String,
    /// Elements in the first snapshot.
    pub length_before: u64,
    /// Elements in the second.
    pub length_after: u64,
    /// Retained bytes in the first.
    pub retained_before: u64,
    /// Retained bytes in the second.
    pub retained_after: u64,
}

/// Who got what was born: the accumulation point of growth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderGrowth {
    /// Node in the second snapshot: an object that is in both, or one that took its place under the same name.
    pub node: u32,
    /// The same in the first snapshot, where it was there.
    pub node_before: Option<u32>,
    /// Its best trail.
    pub trail: Trail,
    /// Its trail with indices and keys as `[*]`: the same from snapshot to snapshot.
    pub stable_name: String,
    /// What kind of holder has it.
    pub kind: HolderKind,
    /// Its type.
    pub type_name: String,
    /// Born minus died bytes under it, those of larger growth further down excluded.
    pub net_bytes: i64,
    /// Born minus died objects, likewise.
    pub net_count: i64,
    /// What was born under it.
    pub born: PartCount,
    /// What died under it.
    pub died: PartCount,
    /// Types of what was born under it, most bytes first, at most 5.
    pub types: Vec<TypeCount>,
    /// Elements before, where it is a container that is in both.
    pub length_before: Option<u64>,
    /// Elements after, where it is a container.
    pub length_after: Option<u64>,
    /// Its retained bytes before; 0 where it was not there.
    pub retained_before: u64,
    /// Its retained bytes after.
    pub retained_after: u64,
    /// The born object under it with the largest block: what to ask `why` about; itself where none was born.
    pub example: u32,
    /// How many such places have this stable name and were taken together; `node` is the one that grew most.
    pub places: u64,
}

/// What is unreachable, before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionGrowth {
    /// In the first snapshot.
    pub before: PartCount,
    /// In the second.
    pub after: PartCount,
    /// Types that grew, most bytes first, at most 5: what there is more of, not what there is.
    pub types: Vec<TypeCount>,
    /// An object born there.
    pub example: Option<u32>,
}

/// The answer of [`growth`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// All objects before.
    pub before: PartCount,
    /// All objects after.
    pub after: PartCount,
    /// New objects.
    pub born: PartCount,
    /// Gone objects.
    pub died: PartCount,
    /// Change of the blocks of objects that are in both.
    pub resized_bytes: i64,
    /// Types that changed, most growth in bytes first.
    pub types: Vec<TypeGrowth>,
    /// Accumulation points, most net growth first.
    pub holders: Vec<HolderGrowth>,
    /// Containers by growth in length, most first.
    pub containers: Vec<ContainerGrowth>,
    /// Garbage that waits for the collector.
    pub garbage: RegionGrowth,
    /// Objects that nothing refers to, and what they hold.
    pub lost: RegionGrowth,
}

/// Compares two snapshots of one process. Objects are the same where address and type are; an address that was
/// freed and used again for the same type counts as persisted, which understates churn, never growth.
///
/// # Cost
/// O(nodes of both), about 40 bytes a node while it runs.
pub fn growth(before: &Heap, after: &Heap, options: &GrowthOptions) -> Growth {
    let matching = Matching::new(before.tables(), after.tables());
    let mut growth = Growth {
        types: type_growth(before, after, &matching),
        containers: container_growth(before, after, &matching, options),
        garbage: region_growth(before, after, &matching, Region::Garbage),
        lost: region_growth(before, after, &matching, Region::Lost),
        ..Growth::default()
    };
    for row in &growth.types {
        growth.before.add(row.before);
        growth.after.add(row.after);
        growth.born.add(row.born);
        growth.died.add(row.died);
    }
    let unmoved = growth.before.bytes as i64 - growth.died.bytes as i64 + growth.born.bytes as i64;
    growth.resized_bytes = growth.after.bytes as i64 - unmoved;
    growth.types.retain(|row| row.before != row.after || row.born.count > 0 || row.died.count > 0);
    growth.types.truncate(options.limit);
    growth.holders = crate::accumulation::holders(before, after, &matching, options);
    growth
}

impl PartCount {
    /// Adds one object.
    pub(crate) fn add_one(&mut self, bytes: u64) {
        self.add(PartCount { count: 1, bytes });
    }

    pub(crate) fn add(&mut self, other: PartCount) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

fn type_growth(before: &Heap, after: &Heap, matching: &Matching) -> Vec<TypeGrowth> {
    let mut rows: BTreeMap<&str, TypeGrowth> = BTreeMap::new();
    for (row, sum) in before.tables().types.iter().zip(&sums_by_type(before, &matching.after_of)) {
        let row = row_of(&mut rows, before.tables().string(row.name));
        row.before.add(sum[0]);
        row.died.add(sum[1]);
    }
    for (row, sum) in after.tables().types.iter().zip(&sums_by_type(after, &matching.before_of)) {
        let row = row_of(&mut rows, after.tables().string(row.name));
        row.after.add(sum[0]);
        row.born.add(sum[1]);
    }
    let mut rows: Vec<TypeGrowth> = rows.into_values().collect();
    let net = |row: &TypeGrowth| row.after.bytes as i64 - row.before.bytes as i64;
    rows.sort_by(|a, b| net(b).cmp(&net(a)).then_with(|| a.name.cmp(&b.name)));
    rows
}

/// For each type: all its objects, and those without a counterpart.
fn sums_by_type(heap: &Heap, others: &[u32]) -> Vec<[PartCount; 2]> {
    let mut sums = vec![[PartCount::default(); 2]; heap.tables().types.len()];
    for node in 0..n_real(heap.tables()) {
        let sum = &mut sums[heap.tables().type_of(node) as usize];
        let bytes = heap.tables().block(node);
        sum[0].add_one(bytes);
        if others[node as usize] == NO_NODE {
            sum[1].add_one(bytes);
        }
    }
    sums
}

fn row_of<'r, 'n>(rows: &'r mut BTreeMap<&'n str, TypeGrowth>, name: &'n str) -> &'r mut TypeGrowth {
    rows.entry(name).or_insert_with(|| TypeGrowth {
        name: name.to_owned(),
        before: PartCount::default(),
        after: PartCount::default(),
        born: PartCount::default(),
        died: PartCount::default(),
    })
}

fn container_growth(
    before: &Heap,
    after: &Heap,
    matching: &Matching,
    options: &GrowthOptions,
) -> Vec<ContainerGrowth> {
    let mut grown: Vec<(u64, u32, u32)> = Vec::new();
    for node in 0..n_real(after.tables()) {
        let old = matching.before_of[node as usize];
        if old == NO_NODE || after.region(node) != Region::Live {
            continue;
        }
        let (Some(length_before), Some(length_after)) = (before.length(old), after.length(node)) else {
            continue;
        };
        if length_after > length_before {
            grown.push((length_after - length_before, node, old));
        }
    }
    grown.sort_by_key(|(more, node, _)| (std::cmp::Reverse(*more), *node));
    grown.truncate(options.limit);
    let row = |(_, node, old): (u64, u32, u32)| ContainerGrowth {
        node,
        trail: after.trail(node),
        type_name: after.tables().type_name(node).to_owned(),
        length_before: before.length(old).unwrap_or(0),
        length_after: after.length(node).unwrap_or(0),
        retained_before: before.retained(old),
        retained_after: after.retained(node),
    };
    grown.into_iter().map(row).collect()
}

fn region_growth(before: &Heap, after: &Heap, matching: &Matching, region: Region) -> RegionGrowth {
    let mut growth = RegionGrowth::default();
    let members = |heap: &Heap, total: &mut PartCount| -> Vec<u32> {
        let nodes = (0..n_real(heap.tables())).filter(|node| heap.region(*node) == region);
        nodes.inspect(|node| total.add_one(heap.tables().block(*node))).collect()
    };
    let old = members(before, &mut growth.before);
    let new = members(after, &mut growth.after);
    let older = count_types(before, old.into_iter(), usize::MAX);
    let mut older: BTreeMap<String, TypeCount> =
        older.into_iter().map(|row| (row.name.clone(), row)).collect();
    growth.types = count_types(after, new.iter().copied(), usize::MAX);
    for row in &mut growth.types {
        if let Some(old) = older.remove(&row.name) {
            row.count = row.count.saturating_sub(old.count);
            row.bytes = row.bytes.saturating_sub(old.bytes);
        }
    }
    growth.types.retain(|row| row.count > 0);
    growth
        .types
        .sort_by(|a, b| (b.bytes, b.count).cmp(&(a.bytes, a.count)).then_with(|| a.name.cmp(&b.name)));
    growth.types.truncate(5);
    let born = new.iter().copied().filter(|node| matching.before_of[*node as usize] == NO_NODE);
    growth.example = born.max_by_key(|node| (after.retained(*node), std::cmp::Reverse(*node)));
    growth
}

#[cfg(test)]
mod tests {
    use heapray_wire::{NodeFlags, TypeKind};

    use super::{Growth, GrowthOptions, growth};
    use crate::Heap;
    use crate::synthetic::Builder;

    /// The same program with `n` more steps done: `program` builds what is there from the start, then is told how
    /// often to step.
    fn compare(program: impl Fn(&mut Builder, u64), before: u64, after: u64) -> Growth {
        let load = |steps| {
            let mut b = Builder::new();
            program(&mut b, steps);
            Heap::load(b.build())
        };
        growth(&load(before), &load(after), &GrowthOptions::default())
    }

    fn names(growth: &Growth) -> Vec<(&str, i64, u64)> {
        growth.holders.iter().map(|h| (h.stable_name.as_str(), h.net_bytes, h.born.count)).collect()
    }

    #[test]
    fn a_module_list_that_grows_is_named() {
        let growth = compare(
            |b, steps| {
                let buffer = b.list(&[]);
                b.global("data_pipeline", "buffer", buffer);
                for _ in 0..steps {
                    let array = b.object("numpy.ndarray", TypeKind::Array);
                    b.bytes(array, 8192);
                    let batch = b.list(&[array]);
                    b.push(buffer, batch);
                }
            },
            10,
            110,
        );
        assert_eq!(names(&growth), [("data_pipeline.buffer", 100 * (8192 + 64), 200)]);
        let holder = &growth.holders[0];
        assert_eq!((holder.length_before, holder.length_after), (Some(10), Some(110)));
        assert_eq!((holder.types[0].name.as_str(), holder.types[0].count), ("numpy.ndarray", 100));
        assert_eq!(growth.containers[0].trail.text, "data_pipeline.buffer");
        assert_eq!(growth.types[0].name, "numpy.ndarray");
    }

    #[test]
    fn a_cache_that_evicts_does_not_grow() {
        let growth = compare(
            |b, steps| {
                let cache = b.dict();
                b.global("app", "cache", cache);
                b.gap(steps * 2);
                for _ in 0..100 {
                    let value = b.object("bytes", TypeKind::Bytes);
                    b.bytes(value, 100_000);
                    b.set_item(cache, "k", value);
                }
            },
            0,
            100,
        );
        assert_eq!(names(&growth), []);
        assert_eq!((growth.born.count, growth.died.count), (200, 200));
    }

    #[test]
    fn a_container_replaced_under_its_name_does_not_grow() {
        let growth = compare(
            |b, steps| {
                b.module("app");
                b.gap(steps * 1000);
                let table = b.dict();
                b.global("app", "table", table);
                for _ in 0..100 {
                    let value = b.object("bytes", TypeKind::Bytes);
                    b.bytes(value, 100_000);
                    b.set_item(table, "http://", value);
                }
            },
            0,
            1,
        );
        assert_eq!(names(&growth), []);
    }

    #[test]
    fn growth_spread_over_entries_is_told_of_their_container() {
        let growth = compare(
            |b, steps| {
                let sessions = b.dict();
                b.global("app", "sessions", sessions);
                let logs: Vec<u32> = (0..1000).map(|_| b.list(&[])).collect();
                for &log in &logs {
                    b.set_item(sessions, "s-", log);
                }
                for _ in 0..steps {
                    for &log in &logs {
                        let line = b.object("bytes", TypeKind::Bytes);
                        b.push(log, line);
                    }
                }
            },
            1,
            3,
        );
        assert_eq!(names(&growth), [("app.sessions", 2000 * 64, 2000)]);
    }

    #[test]
    fn alike_places_that_each_grow_much_are_taken_together() {
        let growth = compare(
            |b, steps| {
                let queues: Vec<u32> = (0..4).map(|_| b.list(&[])).collect();
                let workers = b.list(&queues);
                b.global("app", "queues", workers);
                for i in 0..steps {
                    let job = b.object("bytes", TypeKind::Bytes);
                    b.push(queues[(i % 4) as usize], job);
                }
            },
            0,
            4000,
        );
        assert_eq!(names(&growth), [("app.queues[*]", 4000 * 64, 4000)]);
        assert_eq!(growth.holders[0].places, 4);
    }

    #[test]
    fn garbage_and_lost_objects_grow_apart_from_holders() {
        let growth = compare(
            |b, steps| {
                b.module("app");
                for _ in 0..steps {
                    let node = b.instance("app.Node");
                    b.attribute(node, "me", node);
                    let lost = b.object("bytes", TypeKind::Bytes);
                    b.flag(lost, NodeFlags::ORPHAN | NodeFlags::ROOT);
                }
            },
            1000,
            3000,
        );
        assert_eq!(names(&growth), []);
        assert_eq!((growth.garbage.before.count, growth.garbage.after.count), (1000, 3000));
        assert_eq!(
            (growth.garbage.types[0].name.as_str(), growth.garbage.types[0].count),
            ("app.Node", 2000)
        );
        assert_eq!((growth.lost.types[0].name.as_str(), growth.lost.types[0].count), ("bytes", 2000));
        assert!(growth.lost.example.is_some());
    }

    #[test]
    fn objects_held_from_outside_are_told_by_type() {
        let growth = compare(
            |b, steps| {
                b.module("app");
                for _ in 0..steps {
                    let held = b.dict();
                    b.flag(held, NodeFlags::ROOT);
                }
            },
            10,
            1010,
        );
        assert_eq!(names(&growth), [("(dict held from outside Python)", 64_000, 1000)]);
    }

    #[test]
    fn a_new_variable_of_a_module_is_named_itself() {
        let growth = compare(
            |b, steps| {
                b.module("app");
                if steps > 0 {
                    let items: Vec<u32> = (0..1000).map(|_| b.object("bytes", TypeKind::Bytes)).collect();
                    let late = b.list(&items);
                    b.global("app", "late", late);
                }
            },
            0,
            1,
        );
        assert_eq!(names(&growth)[0].0, "app.late");
    }
}
