//! Where held memory grows: for each object that is in all snapshots, what came to be under it.
//!
//! The *own* level of such an object is the size of its subtree less the subtrees of the next such objects below:
//! what hangs on it directly and came or went between the snapshots. Only objects whose own level never falls count
//! as places of growth. It does not judge whether that growth is a leak.

use crate::history::History;
use crate::steady::Series;
use crate::tree::parent;
use heapray_wire::NO_NODE;

/// Gains of all places, by node of the last snapshot.
#[derive(Debug)]
pub(crate) struct Growth {
    /// The next object above that is in all snapshots.
    above: Vec<u32>,
    /// Bytes and objects gained by a node's own level; zero where it is no place of growth.
    own: Vec<Gain>,
    /// Gains of a node and of all places below it.
    total: Vec<Gain>,
}

/// Bytes and objects gained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gain {
    pub(crate) bytes: i64,
    pub(crate) count: i64,
}

impl Growth {
    /// Measures every place. Cost: O(nodes) per snapshot, 60 bytes a node.
    pub(crate) fn measure(history: &History<'_>) -> Self {
        let n = history.last().tables.n_nodes() as usize;
        let above = nearest_above(history);
        let first = own_levels(history, 0, &above);
        let mut rises = vec![true; n];
        let mut before = first.clone();
        for k in 1..history.len() {
            let level = own_levels(history, k, &above);
            for node in 0..n {
                let (now, then) = (level[node], before[node]);
                rises[node] &= now.count > then.count || (now.count == then.count && now.bytes >= then.bytes);
            }
            before = level;
        }
        let own: Vec<Gain> = (0..n)
            .map(|node| match history.is_persistent(node as u32) && rises[node] {
                true => before[node].minus(first[node]),
                false => Gain::default(),
            })
            .collect();
        let total = add_up(history, &above, &own);
        Growth { above, own, total }
    }

    /// Gain of a place's own level.
    pub(crate) fn own(&self, node: u32) -> Gain {
        self.own[node as usize]
    }

    /// Gain of a node and all places below it.
    pub(crate) fn total(&self, node: u32) -> Gain {
        self.total[node as usize]
    }

    /// The next object above that is in all snapshots, or [`NO_NODE`].
    pub(crate) fn above(&self, node: u32) -> u32 {
        self.above[node as usize]
    }

    /// Levels over time of the given places together: bytes, then objects.
    pub(crate) fn series(&self, history: &History<'_>, places: &[bool]) -> (Series, Series) {
        let mut bytes = history.series(|_| 0.0);
        let mut count = history.series(|_| 0.0);
        for node in 0..places.len() as u32 {
            if !history.is_persistent(node) {
                continue;
            }
            let above = self.above(node);
            let sign = f64::from(i8::from(places[node as usize]))
                - f64::from(i8::from(above != NO_NODE && places[above as usize]));
            if sign == 0.0 {
                continue;
            }
            for (k, snap) in history.snaps.iter().enumerate() {
                let Some(then) = history.in_snap(k, node) else { continue };
                bytes.level[k] += sign * snap.sizes.bytes[then as usize] as f64;
                count.level[k] += sign * f64::from(snap.sizes.count[then as usize]);
            }
        }
        (bytes, count)
    }
}

impl Gain {
    fn minus(self, other: Gain) -> Gain {
        Gain { bytes: self.bytes - other.bytes, count: self.count - other.count }
    }

    fn add(&mut self, other: Gain) {
        self.bytes += other.bytes;
        self.count += other.count;
    }
}

fn nearest_above(history: &History<'_>) -> Vec<u32> {
    let last = history.last();
    let mut above = vec![NO_NODE; last.heap.n_nodes() as usize];
    for node in last.held() {
        let parent = parent(last.heap, *node);
        if parent != NO_NODE {
            let passes = !history.is_persistent(parent);
            above[*node as usize] = if passes { above[parent as usize] } else { parent };
        }
    }
    above
}

fn own_levels(history: &History<'_>, k: usize, above: &[u32]) -> Vec<Gain> {
    let mut levels = vec![Gain::default(); above.len()];
    let sizes = &history.snaps[k].sizes;
    for node in history.last().held() {
        if !history.is_persistent(*node) {
            continue;
        }
        let Some(then) = history.in_snap(k, *node) else { continue };
        let level =
            Gain { bytes: sizes.bytes[then as usize] as i64, count: i64::from(sizes.count[then as usize]) };
        levels[*node as usize].add(level);
        if above[*node as usize] != NO_NODE {
            let over = &mut levels[above[*node as usize] as usize];
            *over = over.minus(level);
        }
    }
    levels
}

fn add_up(history: &History<'_>, above: &[u32], own: &[Gain]) -> Vec<Gain> {
    let positive = |gain: &Gain| Gain { bytes: gain.bytes.max(0), count: gain.count.max(0) };
    let mut total: Vec<Gain> = own.iter().map(positive).collect();
    for node in history.last().held().iter().rev() {
        let over = above[*node as usize];
        if over != NO_NODE && history.is_persistent(*node) {
            let gain = total[*node as usize];
            total[over as usize].add(gain);
        }
    }
    total
}
