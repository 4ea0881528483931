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
    /// How many siblings this stands for; 1 for a single object.
    pub count: u64,
    /// Its type; empty for [`Role::More`].
    pub type_name: String,
    /// Its own name: of a module, function, running frame, C holder.
    pub name: Option<String>,
    /// Number of elements, for a single container.
    pub length: Option<u64>,
    /// Retained by all it stands for, bytes.
    pub retained_bytes: u64,
    /// Blocks of all it stands for, bytes.
    pub block_bytes: u64,
    /// Address of the object or of one of them, or `#12`.
    pub object: String,
    /// Where it is, as a Python expression; may be empty.
    pub trail: String,
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
    /// A root without a better name: the interpreter, an unexplained reference count.
    Root,
    /// Stands for what was left out: `12 more`.
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
}
