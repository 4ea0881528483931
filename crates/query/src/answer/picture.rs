//! The part of the graph that a picture shows, folded and with all its figures; how it looks is `report`'s.

/// A small graph to draw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// One line above the drawing.
    pub title: String,
    /// Nodes, in a stable order.
    pub nodes: Vec<PictureNode>,
    /// Edges from referrer to referent; ends are indices into `nodes`.
    pub edges: Vec<PictureEdge>,
}

/// One object, or a fold of equal siblings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PictureNode {
    /// What it is to the question.
    pub role: Role,
    /// Main line: the type, or the name of a module, function, C holder.
    pub title: String,
    /// Second line: a container's length, a frame's file and line; may be empty.
    pub detail: String,
    /// How many siblings this stands for; 1 for a single object.
    pub count: u64,
    /// Retained by all it stands for, bytes.
    pub retained_bytes: u64,
    /// Further lines for a tooltip: address, shallow size, reference count, full names.
    pub tooltip: Vec<String>,
}

/// What a node is, and so how it is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Any object.
    #[default]
    Object,
    /// What was asked about.
    Target,
    /// A module.
    Module,
    /// A thread, or the frame of a running function.
    Frame,
    /// Memory that is no Python object and holds one: a library's static, a C stack, a block.
    Native,
    /// The interpreter itself.
    Interpreter,
    /// Stands for what was left out: `12 more referrers`.
    More,
}

/// One reference, or a fold of equal ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PictureEdge {
    /// Index of the referrer.
    pub from: usize,
    /// Index of the referent.
    pub to: usize,
    /// Its name: `[17]`, `.payload`, `['key']`; empty where it has none.
    pub label: String,
    /// References folded into it.
    pub count: u64,
    /// `from` is the immediate dominator of `to`.
    pub dominates: bool,
    /// Removing this reference frees the target.
    pub cut: bool,
    /// Keeps nothing alive.
    pub weak: bool,
    /// A guess of a conservative scan.
    pub inferred: bool,
}
