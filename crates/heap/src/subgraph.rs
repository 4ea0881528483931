//! The part of the graph around some objects that fits a picture, equal siblings folded.

use crate::Heap;

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
    /// An object it stands for: the one with the lowest id.
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

/// What stands around `targets`.
pub fn subgraph(_heap: &Heap, _targets: &[u32], _options: &PictureOptions) -> Picture {
    Picture::default()
}
