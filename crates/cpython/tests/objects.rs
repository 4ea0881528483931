//! Readers of objects against the interpreter itself: `gc.get_referents`, `sys.getsizeof`, reference counts.

#[path = "objects/heap.rs"]
mod heap;
#[path = "objects/oracle.rs"]
mod oracle;

use heapray_testkit::find_pythons;
use oracle::{Problems, check_referents, check_sizes, explained, zoo};

/// Over all interpreters.
const DIED_MAX: u64 = 8;
const ZOO: &str = include_str!("objects/zoo.py");

#[test]
fn edges_contain_all_referents() {
    let mut problems = Problems::default();
    for python in find_pythons() {
        check_referents(python, &zoo(python, ZOO), &mut problems);
    }
    problems.assert_at_most(DIED_MAX, "referents that were not reported");
}

#[test]
fn sizes_equal_getsizeof() {
    let mut problems = Problems::default();
    for python in find_pythons() {
        check_sizes(python, &zoo(python, ZOO), &mut problems);
    }
    problems.assert_at_most(DIED_MAX, "sizes that differ");
}

#[test]
fn references_explain_reference_counts() {
    for python in find_pythons() {
        let found = explained(&zoo(python, ZOO));
        let version = python.version();
        // Before 3.12 static types and objects that only C refers to count once more, and None is used without a count.
        assert!(found.all > 0.995, "{version}: {} of all objects explained", found.all);
        assert!(found.made > 0.97, "{version}: {} of made objects explained", found.made);
        assert!(found.torn <= 10, "{version}: {} objects are torn", found.torn);
        assert!(found.over <= 30, "{version}: {} objects with more references than their count", found.over);
    }
}
