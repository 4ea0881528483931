//! What the claims share: which interpreters they are tried on, and comparisons of sums with what was counted.

use std::collections::BTreeMap;

use heapray_testkit::{Python, find_pythons};
use heapray_tests::Sum;
use heapray_wire::allocator;

/// Blocks and bytes of each line, as counted by somebody else.
pub(crate) type Counted = BTreeMap<u32, (u64, u64)>;

/// What Python's allocators are called, at the level of objects.
pub(crate) const PYTHON: &[u8] = &[allocator::PYTHON_RAW, allocator::PYTHON_MEM, allocator::PYTHON_OBJECT];
/// What the C library's allocator functions are called.
pub(crate) const LIBC: &[u8] =
    &[allocator::MALLOC, allocator::CALLOC, allocator::REALLOC, allocator::MEMALIGN];

/// Every interpreter.
pub(crate) fn pythons() -> &'static [Python] {
    find_pythons()
}

/// The oldest and the newest interpreter, for claims that hardly depend on the version: of this root where there is
/// one, since a namespace for each run takes longer.
pub(crate) fn outer_pythons() -> Vec<&'static Python> {
    let here: Vec<&Python> = pythons().iter().filter(|python| python.root.is_none()).collect();
    let some: Vec<&Python> = if here.is_empty() { pythons().iter().collect() } else { here };
    let mut outer = vec![some[0], some[some.len() - 1]];
    outer.dedup_by_key(|python| python.version_hex);
    outer
}

/// The newest interpreter of this root.
pub(crate) fn newest() -> &'static Python {
    outer_pythons().pop().expect("a supported Python is installed")
}

/// `{"12": [3, 480], …}` as a program prints it.
pub(crate) fn counted(json: &str) -> Counted {
    let parsed: BTreeMap<u32, (u64, u64)> =
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    parsed.into_iter().filter(|(_, sum)| *sum != (0, 0)).collect()
}

/// Sums as whole numbers; lines outside of `wanted` are left out.
pub(crate) fn whole(sums: &BTreeMap<u32, Sum>, wanted: impl Fn(u32) -> bool) -> Counted {
    let kept = sums.iter().filter(|(line, _)| wanted(**line));
    kept.map(|(line, sum)| (*line, (sum.count as u64, sum.bytes as u64))).collect()
}

/// Asserts that both have the same lines with the same numbers, and prints those that differ.
pub(crate) fn assert_same(who: &str, program: &str, found: &Counted, expected: &Counted) {
    let lines: std::collections::BTreeSet<u32> = found.keys().chain(expected.keys()).copied().collect();
    let differing: Vec<String> = lines
        .into_iter()
        .filter(|line| found.get(line) != expected.get(line))
        .map(|line| {
            let text = program.lines().nth(line as usize - 1).unwrap_or("");
            format!("{line}: recorded {:?}, counted {:?}: {text}", found.get(&line), expected.get(&line))
        })
        .collect();
    assert!(differing.is_empty(), "{who}: {} lines differ:\n{}", differing.len(), differing.join("\n"));
}
