//! The edges of one node, gathered from a reader and sorted into fixed labels and tail.
//!
//! Targets become node ids here; what is no object is dropped and counted. It does not number shapes.

use crate::bitmap::Bitmap;
use crate::shapes::RawLabel;
use heapray_cpython::{Label, Sink, Strength};
use heapray_wire::Tail;

/// Tail-like labels of a second kind are kept by name up to this many.
const ODD_LABELS_MAX: usize = 256;

/// Edges of one node.
#[derive(Debug, Default)]
pub(crate) struct NodeEdges {
    /// Labels of the first edges.
    pub(crate) labels: Vec<RawLabel>,
    /// Targets of the first edges.
    pub(crate) targets: Vec<u32>,
    /// Which name the rest has.
    pub(crate) tail: Option<Tail>,
    /// Targets of the rest.
    pub(crate) tail_targets: Vec<u32>,
    /// Words that may point at a block of memory that belongs to nobody yet: (offset, address).
    pub(crate) loose: Vec<(u32, u64)>,
    /// Out-of-line blocks: (address, requested bytes).
    pub(crate) blocks: Vec<(u64, u64)>,
    /// References to something that is no object.
    pub(crate) dropped: u64,
    /// The key of the pair under way was no object: its value goes too, or every later pair would shift.
    skip_value: bool,
}

impl NodeEdges {
    pub(crate) fn clear(&mut self) {
        self.labels.clear();
        self.targets.clear();
        self.tail = None;
        self.tail_targets.clear();
        self.loose.clear();
        self.blocks.clear();
    }

    /// The tail kind of the whole node.
    pub(crate) fn tail(&self) -> Tail {
        self.tail.unwrap_or(Tail::None)
    }

    /// Adds an edge with a name of its own.
    pub(crate) fn push(&mut self, target: u32, label: Label, strength: Strength) {
        self.labels.push((label, strength));
        self.targets.push(target);
    }

    fn drop_value(&mut self) {
        self.dropped += 1;
        if !self.skip_value && self.tail_targets.len() % 2 == 1 {
            self.tail_targets.pop();
        }
        self.skip_value = false;
    }

    #[inline]
    fn add(&mut self, target: u32, label: Label, strength: Strength) {
        let tail = match label {
            Label::Index(_) => Tail::Index,
            Label::Key | Label::Value => Tail::Pairs,
            Label::Item => Tail::Items,
            _ => return self.push(target, label, strength),
        };
        let same = *self.tail.get_or_insert(tail) == tail && strength == Strength::Owned;
        if same || self.labels.len() >= ODD_LABELS_MAX {
            self.tail_targets.push(target);
        } else {
            self.push(target, label, strength);
        }
    }
}

/// A sink that looks ids up.
pub(crate) struct NodeSink<'a> {
    pub(crate) objects: &'a Bitmap,
    pub(crate) node: &'a mut NodeEdges,
}

impl Sink for NodeSink<'_> {
    #[inline]
    fn edge(&mut self, target: u64, label: Label, strength: Strength) {
        match (self.objects.rank(target), strength, label) {
            (Some(_), _, Label::Value) if self.node.skip_value => self.node.skip_value = false,
            (Some(id), _, _) => self.node.add(id, label, strength),
            (None, Strength::Inferred, Label::Offset(offset)) => self.node.loose.push((offset, target)),
            (None, Strength::Inferred, _) => {}
            (None, _, Label::Value) => self.node.drop_value(),
            (None, _, _) => {
                self.node.dropped += 1;
                self.node.skip_value = label == Label::Key;
            }
        }
    }

    #[inline]
    fn block(&mut self, addr: u64, bytes: u64) {
        self.node.blocks.push((addr, bytes));
    }
}
