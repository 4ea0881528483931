//! Folded stacks: `a;b;c 419430400`, a line a stack, bytes as weights; what flamegraph.pl, inferno and others read.

use crate::place::folded;
use heapray_query::answer::StackProfile;
use std::collections::BTreeMap;

/// The lines, by name.
pub fn collapsed(profile: &StackProfile) -> String {
    weights(profile).iter().map(|(stack, bytes)| format!("{stack} {bytes}\n")).collect()
}

/// Bytes of each folded stack that weighs anything.
pub(crate) fn weights(profile: &StackProfile) -> BTreeMap<String, u64> {
    let mut weights = BTreeMap::new();
    for stack in profile.stacks.iter().filter(|stack| stack.weight.bytes > 0) {
        let name = folded(stack.places.iter().map(|place| &profile.places[*place as usize]));
        *weights.entry(name).or_insert(0) += stack.weight.bytes as u64;
    }
    weights
}
