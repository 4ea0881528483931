//! The tables of one process's snapshot, as every layer above reads them.

use heapray_wire::{
    Edge, Fact, FactValue, Label, LabelKind, NO_STRING, NodeFlags, NodeName, ShapeRow, Tail, TypeRow,
};

/// All snapshots of one file: one entry per process of the tree, parents first.
#[derive(Debug, Default)]
pub struct SnapshotFile {
    /// One per process.
    pub processes: Vec<HeapTables>,
    /// What the file lost, if anything.
    pub losses: Vec<Loss>,
}

/// Something that a damaged or truncated file no longer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Byte offset in the file.
    pub offset: u64,
    /// What was lost and why, one line.
    pub what: String,
}

/// The object graph of one process, in columns indexed by node id.
///
/// Node ids are ranks in address order for real objects, then come synthetic nodes (flag `SYNTHETIC`).
/// Edges of node `i` are `edges[edge_start[i]..edge_start[i + 1]]`, in the order of its shape's labels.
#[derive(Debug, Default)]
pub struct HeapTables {
    /// Facts about the process, the interpreter and the snapshot, in file order.
    pub facts: Vec<Fact>,
    /// String table.
    pub strings: Vec<Box<str>>,
    /// Types and pseudo types.
    pub types: Vec<TypeRow>,
    /// Shapes; a node's type is its shape's.
    pub shapes: Vec<ShapeRow>,
    /// Address bases, sorted by node: (first node it holds for, address); a new one where the offset would not fit.
    pub address_base: Vec<(u32, u64)>,
    /// Address of each node minus its base, in units of 8 bytes (synthetic nodes 0).
    pub address_offset: Vec<u32>,
    /// Index into `shapes`.
    pub shape: Vec<u32>,
    /// Reference count, saturating at `u32::MAX`.
    pub refcount: Vec<u32>,
    /// `sys.getsizeof`, bytes, saturating.
    pub shallow_bytes: Vec<u32>,
    /// Bytes of its own block and its out-of-line blocks as the allocator rounds them, saturating.
    pub block_bytes: Vec<u32>,
    /// Flag bits.
    pub flags: Vec<NodeFlags>,
    /// `n_nodes + 1` offsets into `edges`.
    pub edge_start: Vec<u32>,
    /// Target node ids.
    pub edges: Vec<u32>,
    /// Exact figures of the few nodes whose `shallow_bytes` or `block_bytes` saturate: (node, shallow, block), sorted.
    pub large: Vec<(u32, u64, u64)>,
    /// Names, sorted by node, at most one per node.
    pub names: Vec<NodeName>,
    /// What was skipped or lost, one line each with its count, as the snapshot reported it.
    pub skipped: Vec<(String, u64)>,
}

impl HeapTables {
    /// Number of nodes, synthetic ones included.
    pub fn n_nodes(&self) -> u32 {
        self.shape.len() as u32
    }

    /// Address of a node in the target; 0 for synthetic nodes.
    pub fn address(&self, node: u32) -> u64 {
        if self.flags[node as usize].has(NodeFlags::SYNTHETIC) {
            return 0;
        }
        let at = self.address_base.partition_point(|(first, _)| *first <= node);
        self.address_base[at - 1].1 + u64::from(self.address_offset[node as usize]) * 8
    }

    /// The node whose object starts at `address`. O(log n).
    pub fn node_at(&self, address: u64) -> Option<u32> {
        let n_real = self.flags.partition_point(|flags| !flags.has(NodeFlags::SYNTHETIC));
        let (mut low, mut high) = (0, n_real as u32);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.address(middle).cmp(&address) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    /// The type index of a node.
    pub fn type_of(&self, node: u32) -> u32 {
        self.shapes[self.shape[node as usize] as usize].type_idx
    }

    /// The module-qualified type name of a node.
    pub fn type_name(&self, node: u32) -> &str {
        self.string(self.types[self.type_of(node) as usize].name)
    }

    /// A string of the table; empty for [`NO_STRING`].
    pub fn string(&self, id: u32) -> &str {
        if id == NO_STRING { "" } else { &self.strings[id as usize] }
    }

    /// The name of a node, where it has one. O(log n).
    pub fn name(&self, node: u32) -> Option<&str> {
        let at = self.names.binary_search_by_key(&node, |name| name.node).ok()?;
        Some(self.string(self.names[at].name))
    }

    /// Target ids of a node's stored edges (without the edge to its type).
    pub fn targets(&self, node: u32) -> &[u32] {
        let (from, to) = (self.edge_start[node as usize], self.edge_start[node as usize + 1]);
        &self.edges[from as usize..to as usize]
    }

    /// The label of edge number `i` of a node.
    pub fn label(&self, node: u32, i: u32) -> Label {
        let shape = &self.shapes[self.shape[node as usize] as usize];
        if let Some(label) = shape.labels.get(i as usize) {
            return *label;
        }
        let rest = i - shape.labels.len() as u32;
        let (kind, number) = match shape.tail {
            Tail::Index => (LabelKind::Index, rest),
            Tail::Pairs if rest.is_multiple_of(2) => (LabelKind::Key, rest / 2),
            Tail::Pairs => (LabelKind::Value, rest / 2),
            Tail::Items | Tail::None => (LabelKind::Item, rest),
        };
        Label { kind, strength: heapray_wire::EdgeStrength::Owned, name: NO_STRING, number }
    }

    /// All stored edges of a node with their labels, in order.
    pub fn edges_of(&self, node: u32) -> impl Iterator<Item = Edge> + '_ {
        self.targets(node)
            .iter()
            .enumerate()
            .map(move |(i, &target)| Edge { target, label: self.label(node, i as u32) })
    }

    /// `sys.getsizeof` of a node in bytes.
    pub fn shallow(&self, node: u32) -> u64 {
        match self.shallow_bytes[node as usize] {
            u32::MAX => self.large(node).0,
            bytes => u64::from(bytes),
        }
    }

    /// Bytes of all blocks of a node.
    pub fn block(&self, node: u32) -> u64 {
        match self.block_bytes[node as usize] {
            u32::MAX => self.large(node).1,
            bytes => u64::from(bytes),
        }
    }

    fn large(&self, node: u32) -> (u64, u64) {
        match self.large.binary_search_by_key(&node, |row| row.0) {
            Ok(at) => (self.large[at].1, self.large[at].2),
            Err(_) => (u64::from(u32::MAX), u64::from(u32::MAX)),
        }
    }

    /// An integer fact by name.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.facts.iter().rev().find(|fact| fact.name == name).and_then(|fact| match fact.value {
            FactValue::Int(value) => Some(value),
            _ => None,
        })
    }

    /// A text fact by name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.facts.iter().rev().find(|fact| fact.name == name).and_then(|fact| match &fact.value {
            FactValue::Text(value) => Some(value.as_str()),
            _ => None,
        })
    }
}
