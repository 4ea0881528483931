//! The pictures: the neighbourhood of an object, and a single chain.

use crate::answer::{Picture, PictureEdge, PictureNode, Role};
use crate::{Session, Walk, rows};
use heapray_heap::{Direction, PictureOptions, referents, subgraph};
use heapray_wire::TypeKind;

/// Steps from the target where none are asked for.
const DEPTH: u32 = 5;
/// Boxes above which a picture is drawn less deep, unless a depth was asked for: more cannot be read.
const BOXES_MAX: usize = 40;
/// Objects of a chain drawn at each of its ends.
const CHAIN_ENDS: usize = 12;

impl Session {
    /// What stands around the targets.
    pub(crate) fn picture(&self, title: &str, targets: &[u32], walk: Walk, direction: Direction) -> Picture {
        let mut options = PictureOptions {
            direction,
            max_depth: walk.max_depth.unwrap_or(DEPTH),
            too_many: walk.too_many,
            ..PictureOptions::default()
        };
        let mut drawn = subgraph(&self.heap, targets, &options);
        while walk.max_depth.is_none() && drawn.nodes.len() > BOXES_MAX && options.max_depth > 1 {
            options.max_depth -= 1;
            drawn = subgraph(&self.heap, targets, &options);
        }
        let edges = drawn.edges.iter().map(|edge| {
            let (from, to) = (&drawn.nodes[edge.from], &drawn.nodes[edge.to]);
            PictureEdge {
                from: edge.from,
                to: edge.to,
                label: edge.label.clone(),
                count: edge.count,
                dominates: from.count == 1
                    && from.role != heapray_heap::Role::More
                    && to.role != heapray_heap::Role::More
                    && self.heap.dominator(to.example) == Some(from.example),
                cut: edge.cut,
            }
        });
        Picture {
            title: format!("{title}{}", self.caption()),
            edges: edges.collect(),
            nodes: drawn.nodes.iter().map(|node| self.fold(node)).collect(),
        }
    }

    /// Marks the reference to cut, where the picture shows it and marks none yet.
    pub(crate) fn mark_cut(&self, picture: &mut Picture, cut_node: Option<u32>) {
        let Some(cut_node) = cut_node.filter(|_| !picture.edges.iter().any(|edge| edge.cut)) else { return };
        let name = rows::object_name(&self.heap, cut_node);
        let is_cut = |node: &PictureNode| node.count == 1 && node.object == name && node.role != Role::More;
        let entries = picture.edges.iter().filter(|edge| is_cut(&picture.nodes[edge.to])).count();
        if entries != 1 {
            return;
        }
        for edge in picture.edges.iter_mut().filter(|edge| is_cut(&picture.nodes[edge.to])) {
            edge.cut = true;
        }
    }

    fn fold(&self, node: &heapray_heap::PictureNode) -> PictureNode {
        let is_object = node.role != heapray_heap::Role::More;
        PictureNode {
            role: match node.role {
                heapray_heap::Role::Target => Role::Target,
                heapray_heap::Role::Module => Role::Module,
                heapray_heap::Role::Frame => Role::Frame,
                heapray_heap::Role::Native => Role::Native,
                heapray_heap::Role::Root => Role::Root,
                heapray_heap::Role::Object => Role::Object,
                heapray_heap::Role::More => Role::More,
            },
            count: node.count,
            type_name: node.type_name.clone(),
            name: node.name.clone(),
            length: node.length,
            retained_bytes: if is_object { node.retained } else { 0 },
            block_bytes: node.bytes,
            object: if is_object { rows::object_name(&self.heap, node.example) } else { String::new() },
            trail: if is_object { self.heap.trail(node.example).text } else { String::new() },
        }
    }

    /// Nodes that each hold the next; the middle of a long chain is one box.
    pub(crate) fn line(&self, title: &str, nodes: &[u32]) -> Picture {
        let mut picture = Picture { title: format!("{title}{}", self.caption()), ..Picture::default() };
        let left_out = nodes.len().saturating_sub(2 * CHAIN_ENDS);
        for (i, node) in nodes.iter().enumerate() {
            if i >= CHAIN_ENDS && i < CHAIN_ENDS + left_out {
                if i == CHAIN_ENDS {
                    let more =
                        PictureNode { role: Role::More, count: left_out as u64, ..PictureNode::default() };
                    self.append(&mut picture, more, None);
                }
                continue;
            }
            let holder = (i > 0 && i != CHAIN_ENDS + left_out).then(|| nodes[i - 1]);
            let role = if i + 1 == nodes.len() { Role::Target } else { self.role(*node) };
            self.append(&mut picture, self.single(*node, role), holder.map(|holder| (holder, *node)));
        }
        picture
    }

    /// Adds a box below the last, and the edge between them.
    fn append(&self, picture: &mut Picture, node: PictureNode, edge: Option<(u32, u32)>) {
        let to = picture.nodes.len();
        picture.nodes.push(node);
        if to == 0 {
            return;
        }
        let mut drawn = PictureEdge { from: to - 1, to, count: 1, ..PictureEdge::default() };
        if let Some((holder, held)) = edge {
            let named = referents(&self.heap, holder, usize::MAX).into_iter().find(|r| r.node == held);
            drawn.label = named.map(|r| r.text).unwrap_or_default();
            drawn.dominates = self.heap.dominator(held) == Some(holder);
        }
        picture.edges.push(drawn);
    }

    fn single(&self, node: u32, role: Role) -> PictureNode {
        let tables = self.heap.tables();
        PictureNode {
            role,
            count: 1,
            type_name: tables.type_name(node).to_owned(),
            name: tables.name(node).map(str::to_owned),
            length: self.heap.length(node),
            retained_bytes: self.heap.retained(node),
            block_bytes: tables.block(node),
            object: rows::object_name(&self.heap, node),
            trail: String::new(),
        }
    }

    fn role(&self, node: u32) -> Role {
        match self.heap.kind(node) {
            TypeKind::Module => Role::Module,
            TypeKind::Thread | TypeKind::StackFrame | TypeKind::Frame => Role::Frame,
            TypeKind::NativeStatic | TypeKind::NativeStack | TypeKind::NativeBlock => Role::Native,
            TypeKind::Interpreter | TypeKind::UnknownHolder => Role::Root,
            _ => Role::Object,
        }
    }
}
