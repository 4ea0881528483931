//! Why objects are alive: their trails, independent ones apart, alike ones together, and what to cut.

use std::collections::BTreeMap;

use crate::anchors::{common_dominator, is_anchor, outermost, retained_together};
use crate::forms::Forms;
use crate::independent::independent;
use crate::trail::{stable_name_along, trail_along};
use crate::types::count_types;
use crate::{Heap, Trail, TypeCount};

/// How much to say.
#[derive(Clone, Copy, Debug)]
pub struct WhyOptions {
    /// Most independent trails, and most groups.
    pub max_trails: usize,
    /// Most steps of a trail from the object up; longer ones count as not found. 0: any length.
    pub max_depth: usize,
    /// Most referrers looked at for one object; 0: all.
    pub too_many: usize,
}

impl Default for WhyOptions {
    fn default() -> Self {
        WhyOptions { max_trails: 5, max_depth: 0, too_many: 0 }
    }
}

/// Trails of the same form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailGroup {
    /// The form: indices and keys as `[*]`, repeated steps once: `data_pipeline.buffer[*]`, `app.head.next…`.
    pub shape: String,
    /// How many of the targets have it.
    pub count: u64,
    /// Bytes of their blocks.
    pub bytes: u64,
    /// Bytes that these targets retain together.
    pub retained: u64,
    /// The trail of the first of them.
    pub example: Trail,
}

/// A place to cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The object that dominates all targets asked about.
    pub node: u32,
    /// Its trail: the last step is the reference to cut.
    pub trail: Trail,
    /// Its type.
    pub type_name: String,
    /// Bytes freed when it goes.
    pub frees_bytes: u64,
}

/// The answer of [`why`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// Number of targets.
    pub targets: u64,
    /// Bytes of their blocks.
    pub bytes: u64,
    /// Bytes that they retain together.
    pub retained: u64,
    /// Trails by form, most targets first.
    pub groups: Vec<TrailGroup>,
    /// One target: trails that share no holder below modules and types; cutting one leaves the next. The best
    /// first. Several targets: those of the first.
    pub independent: Vec<Trail>,
    /// More independent trails exist.
    pub more: bool,
    /// One target: its referrers, by form of trail, when there are more than one.
    pub referrers: Vec<TrailGroup>,
    /// The nearest object whose release frees all targets; none where several roots hold them.
    pub nearest_cut: Option<Cut>,
    /// The outermost such object below modules, types, frames and other roots.
    pub outermost_cut: Option<Cut>,
    /// Types of the targets.
    pub types: Vec<TypeCount>,
}

/// Says why `targets` are alive.
///
/// # Cost
/// O(targets + their referrers + distinct nodes on their trails); 0.1 s covers a target with 300,000 referrers and
/// the end of a linked list of a million.
pub fn why(heap: &Heap, targets: &[u32], options: &WhyOptions) -> Why {
    let mut targets: Vec<u32> = targets.iter().copied().filter(|node| *node < heap.n_nodes()).collect();
    targets.sort_unstable();
    targets.dedup();
    let Some(&first) = targets.first() else { return Why::default() };
    let mut forms = Forms::new(heap);
    let retained = retained_together(heap, &targets);
    let mut why = Why {
        targets: targets.len() as u64,
        bytes: targets.iter().map(|node| heap.tables().block(*node)).sum(),
        retained: retained.iter().sum(),
        types: count_types(heap, targets.iter().copied(), 5),
        ..Why::default()
    };
    let paths = independent(heap, first, options);
    why.more = paths.len() > options.max_trails;
    why.independent =
        paths.into_iter().take(options.max_trails).map(|path| trail_along(heap, path)).collect();
    if targets.len() == 1 {
        // Trails can be a million steps long: the best one is not walked again where it is at hand.
        let best = why.independent.first().filter(|trail| trail.nodes.last() == Some(&first));
        let example = best.cloned().unwrap_or_else(|| heap.trail(first));
        why.groups = vec![TrailGroup {
            shape: stable_name_along(heap, &example.nodes),
            count: 1,
            bytes: why.bytes,
            retained: why.retained,
            example,
        }];
        why.referrers = group_referrers(heap, first, options, &mut forms);
    } else {
        why.groups = group_targets(heap, &targets, &retained, options, &mut forms);
    }
    cuts(heap, &targets, &mut why);
    why
}

/// Sums of one form while it is being counted.
#[derive(Default)]
struct Sum {
    count: u64,
    bytes: u64,
    retained: u64,
    first: u32,
}

fn group_targets(
    heap: &Heap,
    targets: &[u32],
    retained: &[u64],
    options: &WhyOptions,
    forms: &mut Forms<'_>,
) -> Vec<TrailGroup> {
    let mut sums: BTreeMap<u32, Sum> = BTreeMap::new();
    for (&target, &retained) in targets.iter().zip(retained) {
        let sum = sums.entry(forms.of(target)).or_default();
        if sum.count == 0 {
            sum.first = target;
        }
        sum.count += 1;
        sum.bytes += heap.tables().block(target);
        sum.retained += retained;
    }
    groups(sums, options, forms, |first| heap.trail(first))
}

/// The referrers of one target by the form of the trail through each.
fn group_referrers(heap: &Heap, target: u32, options: &WhyOptions, forms: &mut Forms<'_>) -> Vec<TrailGroup> {
    let holders = heap.graph().holders(target);
    let limit = if options.too_many == 0 { holders.len() } else { options.too_many };
    if holders.len().min(limit) < 2 {
        return Vec::new();
    }
    let mut sums: BTreeMap<u32, Sum> = BTreeMap::new();
    for &holder in holders.iter().take(limit) {
        let sum = sums.entry(forms.through(holder, target)).or_default();
        if sum.count == 0 {
            sum.first = holder;
        }
        sum.count += 1;
        sum.bytes += heap.tables().block(holder);
        sum.retained += heap.retained(holder);
    }
    groups(sums, options, forms, |first| {
        let mut path = heap.path(first);
        path.push(target);
        trail_along(heap, path)
    })
}

fn groups(
    sums: BTreeMap<u32, Sum>,
    options: &WhyOptions,
    forms: &Forms<'_>,
    example: impl Fn(u32) -> Trail,
) -> Vec<TrailGroup> {
    let mut rows: Vec<(u32, Sum)> = sums.into_iter().collect();
    rows.sort_by(|(a_form, a), (b_form, b)| {
        (b.count, b.bytes, a.first, a_form).cmp(&(a.count, a.bytes, b.first, b_form))
    });
    rows.truncate(options.max_trails.max(1));
    let group = |(form, sum): (u32, Sum)| TrailGroup {
        shape: forms.text(form),
        count: sum.count,
        bytes: sum.bytes,
        retained: sum.retained,
        example: example(sum.first),
    };
    rows.into_iter().map(group).collect()
}

/// The outermost object below modules, types and roots that holds all of `targets`; none where several do.
pub(crate) fn cut_below_anchors(heap: &Heap, targets: &[u32]) -> Option<u32> {
    let common = common_dominator(heap, targets).filter(|common| !is_anchor(heap, *common))?;
    let top = outermost(heap, common);
    // With several independent trails the top is held more than once: no one reference frees it.
    let options = WhyOptions { max_trails: 1, ..WhyOptions::default() };
    (independent(heap, top, &options).len() == 1).then_some(top)
}

fn cuts(heap: &Heap, targets: &[u32], why: &mut Why) {
    let Some(common) = common_dominator(heap, targets) else { return };
    let best = why.independent.first().map_or(&[][..], |trail| &trail.nodes[..]);
    // A dominator stands on every trail, and the best trail to it is the beginning of that.
    let trail = |node: u32| match best.iter().rposition(|on_best| *on_best == node) {
        Some(at) => trail_along(heap, best[..=at].to_vec()),
        None => heap.trail(node),
    };
    let cut = |node: u32| Cut {
        node,
        trail: trail(node),
        type_name: heap.tables().type_name(node).to_owned(),
        frees_bytes: heap.retained(node),
    };
    let outermost = cut_below_anchors(heap, targets);
    let above = if targets == [common] { heap.dominator(common) } else { Some(common) };
    let nearest = above.filter(|above| !is_anchor(heap, *above)).or(outermost);
    let (nearest, outermost) = (nearest.map(cut), outermost.map(cut));
    (why.nearest_cut, why.outermost_cut) = (nearest, outermost);
}

#[cfg(test)]
mod tests {
    use heapray_wire::TypeKind;

    use super::{WhyOptions, why};
    use crate::Heap;
    use crate::synthetic::Builder;

    fn texts(heap: &Heap, node: u32) -> Vec<String> {
        let why = why(heap, &[node], &WhyOptions::default());
        why.independent.into_iter().map(|trail| trail.text).collect()
    }

    #[test]
    fn independent_trails_are_apart_where_cutting_one_leaves_the_other() {
        let mut b = Builder::new();
        let (record, payload) = (b.instance("app.Record"), b.object("bytes", TypeKind::Bytes));
        b.attribute(record, "payload", payload);
        let (buffer, index) = (b.list(&[record]), b.dict());
        b.set_item(index, "k", record);
        b.global("app", "buffer", buffer);
        b.global("app", "index", index);
        let heap = Heap::load(b.build());
        assert_eq!(texts(&heap, payload), ["app.buffer[0].payload", "app.index['k'].payload"]);
        let why = why(&heap, &[payload], &WhyOptions::default());
        assert_eq!(why.nearest_cut.map(|cut| cut.node), Some(record));
        assert_eq!(why.outermost_cut, None);
    }

    #[test]
    fn two_ways_through_one_holder_are_one_trail() {
        let mut b = Builder::new();
        let record = b.instance("app.Record");
        let (by_id, by_name, store) = (b.list(&[record]), b.dict(), b.instance("app.Store"));
        b.set_item(by_name, "k", record);
        b.attribute(store, "by_id", by_id);
        b.attribute(store, "by_name", by_name);
        b.global("app", "store", store);
        let heap = Heap::load(b.build());
        assert_eq!(texts(&heap, record), ["app.store.by_id[0]"]);
        let why = why(&heap, &[record], &WhyOptions::default());
        assert_eq!(
            why.outermost_cut.map(|cut| (cut.trail.text, cut.frees_bytes)),
            Some(("app.store".into(), 6 * 64 - 64))
        );
        let forms: Vec<_> = why.referrers.iter().map(|group| group.shape.as_str()).collect();
        assert_eq!(forms, ["app.store.by_id[*]", "app.store.by_name['k']"]);
    }

    #[test]
    fn a_back_reference_is_no_trail_of_its_own() {
        let mut b = Builder::new();
        let (parent, child) = (b.instance("app.Node"), b.instance("app.Node"));
        b.attribute(parent, "child", child);
        b.attribute(child, "parent", parent);
        b.global("app", "tree", parent);
        let heap = Heap::load(b.build());
        assert_eq!(texts(&heap, parent), ["app.tree"]);
        assert_eq!(texts(&heap, child), ["app.tree.child"]);
    }

    #[test]
    fn a_way_that_no_best_trail_takes_is_found() {
        let mut b = Builder::new();
        let x = b.instance("app.X");
        let middle = b.list(&[x]);
        let (a, far) = (b.list(&[x, middle]), b.list(&[]));
        let between = b.list(&[middle]);
        b.push(far, between);
        b.global("app", "a", a);
        b.global("app", "far", far);
        let heap = Heap::load(b.build());
        assert_eq!(texts(&heap, x), ["app.a[0]", "app.far[0][0][0]"]);
    }

    #[test]
    fn thousands_of_targets_are_grouped_by_form() {
        let mut b = Builder::new();
        let (buffer, cache) = (b.list(&[]), b.dict());
        b.global("app", "buffer", buffer);
        b.global("app", "cache", cache);
        let mut targets = Vec::new();
        for i in 0..3000 {
            let record = b.instance("app.Record");
            let data = b.object("bytes", TypeKind::Bytes);
            b.attribute(record, "data", data);
            if i % 3 == 0 {
                b.set_item(cache, &format!("k{i}"), record);
            } else {
                b.push(buffer, record);
            }
            targets.push(data);
        }
        let heap = Heap::load(b.build());
        let why = why(&heap, &targets, &WhyOptions::default());
        let groups: Vec<_> = why.groups.iter().map(|g| (g.shape.as_str(), g.count, g.bytes)).collect();
        assert_eq!(groups, [("app.buffer[*].data", 2000, 128_000), ("app.cache[*].data", 1000, 64_000)]);
        assert_eq!(why.retained, 3000 * 64);
    }

    #[test]
    fn nodes_of_a_linked_list_share_one_form() {
        let mut b = Builder::new();
        let head = b.instance("app.Node");
        b.global("app", "head", head);
        let mut nodes = vec![head];
        for i in 0..1000 {
            let next = b.instance("app.Node");
            b.attribute(nodes[i], "next", next);
            nodes.push(next);
        }
        let heap = Heap::load(b.build());
        let why = why(&heap, &nodes, &WhyOptions::default());
        let groups: Vec<_> = why.groups.iter().map(|g| (g.shape.as_str(), g.count)).collect();
        assert_eq!(groups, [("app.head.next.next…", 999), ("app.head", 1), ("app.head.next", 1)]);
        assert_eq!(why.retained, 1001 * 64);
        assert_eq!(why.outermost_cut.map(|cut| cut.node), Some(head));
    }
}
