//! The tree of stacks as it is shown: places instead of frames, threads merged, the import system left out if wanted.

use crate::{Figures, Place, PlaceKind, Places, Site};
use heapray_capture::Recording;
use heapray_wire::NO_NODE;
use std::collections::HashMap;

/// A place with the places that called it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeNode {
    /// The caller, smaller than the node's own number.
    pub parent: Option<u32>,
    /// The place.
    pub place: u32,
}

/// How the tree is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeOptions {
    /// Keep threads apart.
    pub split_threads: bool,
    /// Leave the import system out.
    pub hide_imports: bool,
}

/// A tree of places, callers first.
#[derive(Clone, Debug, Default)]
pub struct StackTree {
    /// The nodes.
    pub nodes: Vec<TreeNode>,
    /// Node of each node of the recording; `None` where nothing of the stack is shown.
    of_node: Vec<Option<u32>>,
    options: TreeOptions,
}

impl StackTree {
    /// Makes the tree of all stacks. O(nodes).
    pub fn new(recording: &Recording, places: &Places, options: TreeOptions) -> Self {
        let mut tree = Self { options, ..Self::default() };
        let mut known: HashMap<Step, u32> = HashMap::new();
        for (node, row) in recording.nodes.iter().enumerate() {
            let outer = if row.parent == NO_NODE { None } else { tree.of_node[row.parent as usize] };
            let place = places.of_node(recording, node as u32);
            let is_thread = places.get(place).kind == PlaceKind::Thread;
            if (is_thread && !options.split_threads) || tree.hides(places, place) {
                tree.of_node.push(outer);
                continue;
            }
            let next = tree.nodes.len() as u32;
            let id = *known.entry((outer, place)).or_insert(next);
            if id == next {
                tree.nodes.push(TreeNode { parent: outer, place });
            }
            tree.of_node.push(Some(id));
        }
        tree
    }

    /// The node that shows a node of the recording.
    pub fn of_node(&self, node: u32) -> Option<u32> {
        self.of_node.get(node as usize).copied().flatten()
    }

    /// Whether threads are kept apart.
    pub(crate) fn shows_threads(&self) -> bool {
        self.options.split_threads
    }

    /// Whether a place is left out.
    pub(crate) fn hides(&self, places: &Places, place: u32) -> bool {
        self.options.hide_imports && places.is_import(place)
    }

    /// The places of a stack, the outermost first.
    pub fn stack(&self, node: Option<u32>) -> Vec<u32> {
        let nodes = std::iter::successors(node, |node| self.nodes[*node as usize].parent);
        let mut places: Vec<u32> = nodes.map(|node| self.nodes[node as usize].place).collect();
        places.reverse();
        places
    }

    /// The figures of each node without those below it, and of stacks of which nothing is shown.
    pub fn own(&self, sites: &[Site]) -> (Vec<Figures>, Figures) {
        let mut own = vec![Figures::default(); self.nodes.len()];
        let mut unknown = Figures::default();
        for site in sites {
            match self.of_node(site.node) {
                Some(node) => own[node as usize].add(&site.figures),
                None => unknown.add(&site.figures),
            }
        }
        (own, unknown)
    }
}

/// A place and the node that it is called from.
type Step = (Option<u32>, u32);

impl Place {
    /// Whether it is code, not a thread, a tag or a mark.
    pub fn is_code(&self) -> bool {
        matches!(self.kind, PlaceKind::Python | PlaceKind::Native)
    }
}
