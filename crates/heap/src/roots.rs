//! Where the search for trails begins: the roots, those with the best names first.

use heapray_capture::HeapTables;
use heapray_wire::{NodeFlags, TypeKind};

/// Roots of the live heap and of the lost part.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    /// Nodes that are alive on their own account with the cost of naming them, best names first.
    pub(crate) live: Vec<(u32, u8)>,
    /// Objects that nothing refers to though they are counted.
    pub(crate) lost: Vec<u32>,
}

impl Roots {
    /// Collects the roots by their flags. An orphan is never a root, whatever its count says.
    pub(crate) fn new(tables: &HeapTables) -> Roots {
        let mut roots = Roots::default();
        for (node, flags) in (0..).zip(&tables.flags) {
            if flags.has(NodeFlags::ORPHAN) {
                roots.lost.push(node);
            } else if flags.has(NodeFlags::ROOT) {
                roots.live.push((node, cost(kind(tables, node))));
            }
        }
        roots.live.sort_by_key(|(node, cost)| (*cost, *node));
        roots
    }
}

/// Kind of a node's type.
pub(crate) fn kind(tables: &HeapTables, node: u32) -> TypeKind {
    tables.types[tables.type_of(node) as usize].kind
}

/// How bad a name a trail from here gets; at most [`crate::shapes::COST_MAX`].
fn cost(kind: TypeKind) -> u8 {
    match kind {
        TypeKind::Interpreter => 1,
        TypeKind::Module => 2,
        TypeKind::Type => 5,
        TypeKind::NativeStatic | TypeKind::NativeBlock => 9,
        // What a running function happens to hold at the stop also has a lasting holder, as a rule.
        TypeKind::Thread | TypeKind::StackFrame => 12,
        TypeKind::NativeStack => 13,
        TypeKind::UnknownHolder => 14,
        _ => 12,
    }
}
