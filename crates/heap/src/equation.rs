//! The equation of references: what was found against what the interpreter counts.

use heapray_capture::HeapTables;
use heapray_wire::{EdgeStrength, NodeFlags, TypeKind};

use crate::roots::kind;

/// How much of all reference counts the edges explain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Sum of the reference counts of all mortal objects.
    pub references: u64,
    /// Part of it that edges explain.
    pub explained: u64,
    /// Part of `explained` that only pseudo nodes of native code explain (statics, C stacks, heap blocks).
    pub native: u64,
    /// Objects with a higher reference count than references found.
    pub excess_nodes: u64,
    /// References missing there.
    pub excess_references: u64,
    /// Objects with a lower reference count than references found, interned strings apart.
    pub deficit_nodes: u64,
    /// Strings whose count is lower by what the interpreter's table of interned strings does not count.
    pub interned: u64,
}

impl Coverage {
    /// The explained part of all references, 0 to 1; 1 where there are none.
    pub fn share(&self) -> f64 {
        if self.references == 0 {
            return 1.0;
        }
        self.explained as f64 / self.references as f64
    }
}

/// References found to one object, by what found them.
#[derive(Clone, Copy, Default)]
struct Found {
    owned: u32,
    inferred: u32,
    native: u32,
}

/// Compares in-degrees with reference counts. Immortal objects and pseudo nodes have none that means anything.
/// O(nodes + edges), 12 bytes a node while it runs.
pub fn equation(tables: &HeapTables) -> Coverage {
    let found = find_all(tables);
    let mut coverage = Coverage::default();
    for (node, found) in (0u32..).zip(&found) {
        let flags = tables.flags[node as usize];
        if flags.0 & (NodeFlags::IMMORTAL | NodeFlags::SYNTHETIC) == 0 {
            coverage.add(tables.refcount[node as usize], *found, || is_str(tables, node));
        }
    }
    coverage
}

impl Coverage {
    fn add(&mut self, count: u32, found: Found, is_str: impl Fn() -> bool) {
        let by_objects = count.min(found.owned.saturating_add(found.inferred));
        let explained = count.min(by_objects.saturating_add(found.native));
        self.references += u64::from(count);
        self.explained += u64::from(explained);
        self.native += u64::from(explained - by_objects);
        if explained < count {
            self.excess_nodes += 1;
            self.excess_references += u64::from(count - explained);
        }
        if found.owned > count {
            if found.owned - count <= INTERNED_UNCOUNTED && is_str() {
                self.interned += 1;
            } else {
                self.deficit_nodes += 1;
            }
        }
    }
}

/// The table of interned strings holds key and value of each without counting them (`Objects/unicodeobject.c`,
/// `PyUnicode_InternInPlace`, 3.10 and 3.11).
const INTERNED_UNCOUNTED: u32 = 2;

fn is_str(tables: &HeapTables, node: u32) -> bool {
    kind(tables, node) == TypeKind::Str
}

fn find_all(tables: &HeapTables) -> Vec<Found> {
    let mut found = vec![Found::default(); tables.n_nodes() as usize];
    for node in 0..tables.n_nodes() {
        let shape = &tables.shapes[tables.shape[node as usize] as usize];
        let row = &tables.types[shape.type_idx as usize];
        if row.kind == TypeKind::UnknownHolder {
            continue;
        }
        let is_native =
            matches!(row.kind, TypeKind::NativeStatic | TypeKind::NativeStack | TypeKind::NativeBlock);
        for (i, &target) in tables.targets(node).iter().enumerate() {
            let Some(found) = found.get_mut(target as usize) else { continue };
            let strength = shape.labels.get(i).map_or(EdgeStrength::Owned, |label| label.strength);
            let slot = match strength {
                EdgeStrength::Weak | EdgeStrength::Borrowed => continue,
                _ if is_native => &mut found.native,
                EdgeStrength::Owned => &mut found.owned,
                EdgeStrength::Inferred => &mut found.inferred,
            };
            *slot = slot.saturating_add(1);
        }
        if row.counted
            && let Some(found) = found.get_mut(row.node as usize)
        {
            found.owned = found.owned.saturating_add(1);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use heapray_wire::{NodeFlags, TypeKind};

    use super::equation;
    use crate::synthetic::Builder;

    #[test]
    fn every_kind_of_difference_is_counted_apart() {
        let mut b = Builder::new();
        let (class, object, missing, interned, surplus, immortal, held) = (
            b.object("type", TypeKind::Type),
            b.instance("X"),
            b.dict(),
            b.str("a"),
            b.dict(),
            b.str("b"),
            b.dict(),
        );
        b.heap_type("X", class);
        b.list(&[object, missing, interned, interned, surplus, immortal]);
        b.weak(object, "wr_object", missing);
        let native = b.synthetic(TypeKind::NativeStatic, "static x in y.so");
        b.push(native, held);
        b.refcount(missing, 3);
        b.refcount(interned, 1);
        b.refcount(surplus, 0);
        b.flag(immortal, NodeFlags::IMMORTAL);
        b.refcount(immortal, 1_000_000);
        let coverage = equation(&b.build());
        // class 1, object 1, missing 3, interned 1, held 1
        assert_eq!((coverage.references, coverage.explained, coverage.native), (7, 5, 1));
        assert_eq!((coverage.excess_nodes, coverage.excess_references), (1, 2));
        assert_eq!((coverage.deficit_nodes, coverage.interned), (1, 1));
        assert!((coverage.share() - 5.0 / 7.0).abs() < 1e-12);
    }
}
