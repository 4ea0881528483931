//! The part of the graph around some objects that fits a picture, equal siblings folded.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use heapray_wire::{NO_NODE, TypeKind};

use crate::Heap;
use crate::anchors::{is_anchor, retained_together};
use crate::find::matches_type;
use crate::forms::{FastMap, Forms};
use crate::refs::context_of;
use crate::step::{Style, between, python_name, text};
use crate::why::cut_below_anchors;

/// Which way to go from the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To what holds them.
    Referrers,
    /// To what they hold.
    Referents,
}

/// What to draw.
#[derive(Clone, Debug)]
pub struct PictureOptions {
    /// Which way.
    pub direction: Direction,
    /// Steps from the targets.
    pub max_depth: u32,
    /// Most neighbours drawn of one box; the rest is one box `… more`.
    pub too_many: usize,
    /// Types (exact or glob, short or qualified) that are left out, with what is only behind them.
    pub ignore: Vec<String>,
}

impl Default for PictureOptions {
    fn default() -> Self {
        PictureOptions { direction: Direction::Referrers, max_depth: 5, too_many: 10, ignore: Vec::new() }
    }
}

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Asked about.
    Target,
    /// A module.
    Module,
    /// A running frame or a thread.
    Frame,
    /// Native code that holds objects.
    Native,
    /// A root without a better name (interpreter, unexplained reference count).
    Root,
    /// An object.
    Object,
    /// Neighbours that were not drawn.
    More,
}

/// One box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureNode {
    /// An object it stands for: the one with the lowest id; no node (`u32::MAX`) at `… more` boxes.
    pub example: u32,
    /// How many objects it stands for.
    pub count: u64,
    /// What it stands for.
    pub role: Role,
    /// Type name; `… more` boxes: empty.
    pub type_name: String,
    /// Its own name where it has one (module, function, frame, C holder).
    pub name: Option<String>,
    /// Elements, where it is one container.
    pub length: Option<u64>,
    /// Sum of the block bytes.
    pub bytes: u64,
    /// Sum of the retained bytes of those not dominated by another of the same box.
    pub retained: u64,
    /// Steps from the targets.
    pub depth: u32,
}

/// One arrow, from holder to held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureEdge {
    /// Index into the nodes: who holds.
    pub from: usize,
    /// Index into the nodes: what is held.
    pub to: usize,
    /// Its name: `.payload`, `[*]`, `['name']`; empty at `… more` boxes.
    pub label: String,
    /// How many references it stands for.
    pub count: u64,
    /// Cutting it frees the targets.
    pub cut: bool,
}

/// A picture, ready for a layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Boxes, targets first, by depth.
    pub nodes: Vec<PictureNode>,
    /// Arrows, by (from, to).
    pub edges: Vec<PictureEdge>,
}

/// References followed from one box at most; the rest is `… more`.
const REFERENCES_MAX: usize = 100_000;

/// What stands around `targets`: boxes of objects that have type and form of trail in common.
///
/// # Cost
/// O(objects drawn and their references), at most `too_many` boxes for each box.
pub fn subgraph(heap: &Heap, targets: &[u32], options: &PictureOptions) -> Picture {
    let mut targets: Vec<u32> = targets.iter().copied().filter(|node| *node < heap.n_nodes()).collect();
    targets.sort_unstable();
    targets.dedup();
    let mut drawing = Drawing {
        heap,
        options,
        forms: Forms::new(heap),
        is_ignored: ignored_types(heap, options),
        boxes: Vec::new(),
        box_of: FastMap::default(),
        edges: BTreeMap::new(),
    };
    drawing.place_targets(&targets);
    let mut at = 0;
    while at < drawing.boxes.len() {
        if drawing.is_expanded(at) {
            drawing.expand(at);
        }
        at += 1;
    }
    drawing.finish(&targets)
}

fn ignored_types(heap: &Heap, options: &PictureOptions) -> Vec<bool> {
    let tables = heap.tables();
    let is_ignored = |name: &str| options.ignore.iter().any(|pattern| matches_type(pattern, name));
    tables.types.iter().map(|row| is_ignored(tables.string(row.name))).collect()
}

/// A box while the picture is made.
struct Group {
    members: Vec<u32>,
    role: Role,
    depth: u32,
    /// `… more`: how many objects it stands for, which are not members.
    more: u64,
}

struct Drawing<'h> {
    heap: &'h Heap,
    options: &'h PictureOptions,
    forms: Forms<'h>,
    is_ignored: Vec<bool>,
    boxes: Vec<Group>,
    box_of: FastMap<u32, usize>,
    /// By (from, to): label and number of references.
    edges: BTreeMap<(usize, usize), (String, u64)>,
}

/// New neighbours of a box that will share a box: (neighbour, member) pairs.
type Pairs = Vec<(u32, u32)>;

impl Drawing<'_> {
    fn place_targets(&mut self, targets: &[u32]) {
        let mut groups: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
        for &target in targets {
            let key = (self.heap.tables().type_of(target), self.forms.of(target));
            groups.entry(key).or_default().push(target);
        }
        let mut groups: Vec<Vec<u32>> = groups.into_values().collect();
        groups.sort_by_key(|members| (Reverse(members.len()), members[0]));
        let n_drawn = groups.len().min(self.options.too_many.max(1));
        let more = groups[n_drawn..].iter().map(|members| members.len() as u64).sum();
        for members in groups.drain(..n_drawn) {
            self.place(members, Role::Target, 0);
        }
        if more > 0 {
            self.boxes.push(Group { members: Vec::new(), role: Role::More, depth: 0, more });
        }
    }

    fn place(&mut self, members: Vec<u32>, role: Role, depth: u32) -> usize {
        let at = self.boxes.len();
        self.box_of.extend(members.iter().map(|node| (*node, at)));
        self.boxes.push(Group { members, role, depth, more: 0 });
        at
    }

    /// What holds everything is the end of every picture of referrers.
    fn is_expanded(&self, at: usize) -> bool {
        let group = &self.boxes[at];
        let goes_on = match self.options.direction {
            Direction::Referrers => matches!(group.role, Role::Target | Role::Object),
            Direction::Referents => group.role != Role::More,
        };
        goes_on && group.depth < self.options.max_depth
    }

    fn expand(&mut self, at: usize) {
        let members = self.boxes[at].members.clone();
        let mut fresh: BTreeMap<(u32, u32), Pairs> = BTreeMap::new();
        let mut budget = REFERENCES_MAX;
        let mut skipped = 0;
        for &member in &members {
            for neighbour in self.neighbours(member) {
                if self.is_ignored[self.heap.tables().type_of(neighbour) as usize] {
                    continue;
                }
                if budget == 0 {
                    skipped += 1;
                    continue;
                }
                budget -= 1;
                match self.box_of.get(&neighbour).copied() {
                    Some(known) => self.connect(at, known, (neighbour, member), members.len() > 1),
                    None => {
                        let key = self.key(neighbour, member);
                        fresh.entry(key).or_default().push((neighbour, member));
                    }
                }
            }
        }
        self.place_neighbours(at, fresh.into_values().collect(), skipped);
    }

    /// Holders or held ones of a node, each once. Of what holds by its nature (a module's dict, a class) only the
    /// holder that names it: every function of a module holds its dict.
    fn neighbours(&self, node: u32) -> Vec<u32> {
        let heap = self.heap;
        let mut found = match self.options.direction {
            Direction::Referrers if is_anchor(heap, node) => heap.trail_parent(node).into_iter().collect(),
            Direction::Referrers => heap.graph().holders(node).to_vec(),
            Direction::Referents => {
                let row = &heap.graph().shapes.rows[heap.tables().shape[node as usize] as usize];
                let mut found = Vec::new();
                heap.graph().for_each_held(heap.tables(), node, |target| found.push(target));
                found.retain(|target| *target != row.type_node);
                found
            }
        };
        found.sort_unstable();
        found.dedup();
        found
    }

    fn key(&mut self, neighbour: u32, member: u32) -> (u32, u32) {
        let form = match self.options.direction {
            Direction::Referrers => self.forms.of(neighbour),
            Direction::Referents => self.forms.through(member, neighbour),
        };
        (form, self.heap.tables().type_of(neighbour))
    }

    fn place_neighbours(&mut self, at: usize, mut groups: Vec<Pairs>, skipped: u64) {
        let heap = self.heap;
        let depth = self.boxes[at].depth + 1;
        let is_trail =
            |pairs: &Pairs| pairs.iter().any(|(above, node)| heap.trail_parent(*node) == Some(*above));
        groups.sort_by_cached_key(|pairs| (Reverse(is_trail(pairs)), Reverse(pairs.len()), pairs[0]));
        let n_drawn = groups.len().min(self.options.too_many);
        let mut more = skipped;
        for (i, mut pairs) in groups.into_iter().enumerate() {
            if i >= n_drawn {
                more += pairs.len() as u64;
                continue;
            }
            let mut nodes: Vec<u32> = pairs.iter().map(|(node, _)| *node).collect();
            nodes.sort_unstable();
            nodes.dedup();
            let is_folded = nodes.len() > 1 || self.boxes[at].members.len() > 1;
            let role = role(heap, nodes[0]);
            let placed = self.place(nodes, role, depth);
            for pair in pairs.drain(..) {
                self.connect(at, placed, pair, is_folded);
            }
        }
        if more > 0 {
            let group = Group { members: Vec::new(), role: Role::More, depth, more };
            self.boxes.push(group);
            let placed = self.boxes.len() - 1;
            self.edges.insert(self.arrow(at, placed), (String::new(), more));
        }
    }

    /// From holder to held.
    fn arrow(&self, at: usize, neighbour: usize) -> (usize, usize) {
        match self.options.direction {
            Direction::Referrers => (neighbour, at),
            Direction::Referents => (at, neighbour),
        }
    }

    fn connect(&mut self, at: usize, other: usize, (neighbour, member): (u32, u32), is_folded: bool) {
        let arrow = self.arrow(at, other);
        if let Some((_, count)) = self.edges.get_mut(&arrow) {
            *count += 1;
            return;
        }
        let (holder, held) = match self.options.direction {
            Direction::Referrers => (neighbour, member),
            Direction::Referents => (member, neighbour),
        };
        let step = between(self.heap, holder, held);
        let style = if is_folded { Style::Form } else { Style::Exact };
        let mut label = text(self.heap, &step, context_of(self.heap, holder), style);
        if label.is_empty() {
            label = format!(".{}", python_name(self.heap.tables().string(step.label.name)));
        }
        self.edges.insert(arrow, (label, 1));
    }

    fn finish(self, targets: &[u32]) -> Picture {
        let cut = cut_below_anchors(self.heap, targets);
        let above = cut.and_then(|node| self.heap.trail_parent(node));
        let box_of = |node: Option<u32>| node.and_then(|node| self.box_of.get(&node).copied());
        let cut_edge = (box_of(above), box_of(cut));
        let edges = self.edges.iter().map(|(&(from, to), (label, count))| PictureEdge {
            from,
            to,
            label: label.clone(),
            count: *count,
            cut: cut_edge == (Some(from), Some(to)),
        });
        Picture {
            edges: edges.collect(),
            nodes: self.boxes.iter().map(|group| picture_node(self.heap, group)).collect(),
        }
    }
}

fn picture_node(heap: &Heap, group: &Group) -> PictureNode {
    let tables = heap.tables();
    let Some(&example) = group.members.first() else {
        return PictureNode {
            example: NO_NODE,
            count: group.more,
            role: Role::More,
            type_name: String::new(),
            name: None,
            length: None,
            bytes: 0,
            retained: 0,
            depth: group.depth,
        };
    };
    let single = group.members.len() == 1;
    PictureNode {
        example,
        count: group.members.len() as u64,
        role: group.role,
        type_name: tables.type_name(example).to_owned(),
        name: tables.name(example).filter(|_| single).map(str::to_owned),
        length: heap.length(example).filter(|_| single),
        bytes: group.members.iter().map(|node| tables.block(*node)).sum(),
        retained: retained_together(heap, &group.members).iter().sum(),
        depth: group.depth,
    }
}

fn role(heap: &Heap, node: u32) -> Role {
    match heap.kind(node) {
        TypeKind::Module => Role::Module,
        TypeKind::StackFrame | TypeKind::Thread => Role::Frame,
        TypeKind::NativeStatic | TypeKind::NativeStack | TypeKind::NativeBlock => Role::Native,
        _ if !heap.is_object(node) => Role::Root,
        _ => Role::Object,
    }
}

#[cfg(test)]
mod tests {
    use heapray_wire::TypeKind;

    use super::{Direction, PictureOptions, Role, subgraph};
    use crate::Heap;
    use crate::synthetic::Builder;

    fn story() -> (Heap, Vec<u32>) {
        let mut b = Builder::new();
        let buffer = b.list(&[]);
        b.global("data_pipeline", "buffer", buffer);
        let mut arrays = Vec::new();
        for _ in 0..1000 {
            let array = b.object("numpy.ndarray", TypeKind::Array);
            let batch = b.list(&[array]);
            b.push(buffer, batch);
            arrays.push(array);
        }
        (Heap::load(b.build()), arrays)
    }

    fn drawn(heap: &Heap, targets: &[u32], options: &PictureOptions) -> Vec<String> {
        let picture = subgraph(heap, targets, options);
        let name = |at: usize| {
            let node = &picture.nodes[at];
            let title = node.name.clone().unwrap_or_else(|| node.type_name.clone());
            format!("{title} x{}", node.count)
        };
        let arrow = |edge: &super::PictureEdge| {
            let cut = if edge.cut { " CUT" } else { "" };
            format!("{} {} -> {}{cut}", name(edge.from), edge.label, name(edge.to))
        };
        picture.edges.iter().map(arrow).collect()
    }

    #[test]
    fn alike_siblings_are_folded_and_the_edge_to_cut_is_marked() {
        let (heap, arrays) = story();
        let mut got = drawn(&heap, &arrays, &PictureOptions::default());
        got.sort();
        assert_eq!(
            got,
            [
                "data_pipeline x1 .md_dict -> dict x1",
                "dict x1 .buffer -> list x1 CUT",
                "list x1 [*] -> list x1000",
                "list x1000 [*] -> numpy.ndarray x1000",
            ]
        );
        let picture = subgraph(&heap, &arrays, &PictureOptions::default());
        assert_eq!(picture.nodes[0].role, Role::Target);
        assert_eq!(picture.nodes.last().map(|node| node.role), Some(Role::Module));
        assert_eq!(picture.nodes[1].retained, 2000 * 64);
    }

    #[test]
    fn too_many_neighbours_become_one_box() {
        let mut b = Builder::new();
        let x = b.instance("app.X");
        for i in 0..20 {
            let holder = b.list(&[x]);
            b.global("app", &format!("list_{i}"), holder);
        }
        let heap = Heap::load(b.build());
        let options = PictureOptions { max_depth: 1, too_many: 5, ..PictureOptions::default() };
        let picture = subgraph(&heap, &[x], &options);
        assert_eq!(picture.nodes.len(), 7);
        assert_eq!(picture.nodes.last().map(|node| (node.role, node.count)), Some((Role::More, 15)));
    }

    #[test]
    fn referents_are_drawn_the_other_way_and_types_can_be_left_out() {
        let (heap, arrays) = story();
        let buffer = heap.trail_parent(heap.trail_parent(arrays[0]).expect("a batch")).expect("the buffer");
        let options = PictureOptions { direction: Direction::Referents, ..PictureOptions::default() };
        let got = drawn(&heap, &[buffer], &options);
        assert_eq!(got, ["list x1 [*] -> list x1000", "list x1000 [*] -> numpy.ndarray x1000"]);
        let options = PictureOptions { ignore: vec!["ndarray".to_owned()], ..options };
        assert_eq!(drawn(&heap, &[buffer], &options), ["list x1 [*] -> list x1000"]);
    }
}
