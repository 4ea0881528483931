//! What a frame of a differential flame graph says of its change: that of all it called, which its own lines do not tell.
//!
//! The library gives each frame the change of the stacks that end at it. Callers end few stacks, so they read `0.00 %` over
//! what is all new. A frame is found again by its depth and by where it begins and ends, in bytes of the second profile.

use crate::{FlameDirection, bytes_signed};
use std::collections::HashMap;

/// What a frame's own change begins with in its title.
const OWN: &str = "%; ";
/// What ends a title.
const END: &str = ")</title>";

/// A frame: its depth below the root, where it begins, where it ends.
type Key = (usize, u64, u64);

/// Stacks with their bytes in the first profile and in the second, in the order in which they are drawn.
pub(crate) type Stacks<'a> = &'a [(&'a str, u64, u64)];

/// The picture with the change of each frame and all that it called in its title, before its own.
pub(crate) fn with_changes(svg: &str, stacks: Stacks<'_>, direction: FlameDirection) -> String {
    let changes = changes(stacks);
    let rows = rows(svg, direction);
    let mut out = String::with_capacity(svg.len() + svg.len() / 8);
    let mut rest = svg;
    while let Some(at) = rest.find(END) {
        let (head, behind) = rest.split_at(at);
        let (before, title) = head.split_at(head.rfind("<title>").unwrap_or(0));
        let key = frame(behind).and_then(|(y, from, to)| Some((*rows.get(y)?, from, to)));
        let change = key.and_then(|key| changes.get(&key)).map(|change| bytes_signed(*change));
        out.push_str(before);
        out.push_str(&match (title.rsplit_once(OWN), change) {
            (Some((name, own)), Some(change)) => {
                format!("{name}%; {change} with all it called, itself {own}")
            }
            // The root has none of its own.
            (None, Some(change)) => format!("{title}; {change}"),
            (_, None) => title.to_owned(),
        });
        out.push_str(END);
        rest = &behind[END.len()..];
    }
    out + rest
}

/// The change of each frame: of all stacks that lead through it.
fn changes(stacks: Stacks<'_>) -> HashMap<Key, i64> {
    let mut changes = HashMap::new();
    // Frames that are not over: their names, where they began, their change so far. The first is the root.
    let mut open: Vec<(&str, u64, i64)> = vec![("", 0, 0)];
    let mut at = 0;
    let mut close = |open: &mut Vec<(&str, u64, i64)>, n: usize, at: u64| {
        while open.len() > n {
            let Some((_, from, change)) = open.pop() else { return };
            changes.insert((open.len(), from, at), change);
        }
    };
    for (stack, before, after) in stacks {
        let names: Vec<&str> = std::iter::once("").chain(stack.split(';')).collect();
        let n_shared = open.iter().zip(&names).take_while(|((open, ..), name)| open == *name).count();
        close(&mut open, n_shared, at);
        open.extend(names[n_shared..].iter().map(|name| (*name, at, 0)));
        let change = i64::try_from(*after).unwrap_or(i64::MAX).saturating_sub_unsigned(*before);
        open.iter_mut().for_each(|(_, _, sum)| *sum = sum.saturating_add(change));
        at += after;
    }
    close(&mut open, 0, at);
    changes
}

/// The depth of each row of frames, by the text of its height in the picture.
fn rows(svg: &str, direction: FlameDirection) -> HashMap<&str, usize> {
    let height = |y: &str| y.parse::<f64>().unwrap_or(0.0);
    let mut rows: Vec<&str> = svg.split(END).skip(1).filter_map(frame).map(|(y, ..)| y).collect();
    rows.sort_by(|a, b| height(a).total_cmp(&height(b)));
    rows.dedup();
    if direction == FlameDirection::Up {
        rows.reverse();
    }
    rows.into_iter().enumerate().map(|(depth, y)| (y, depth)).collect()
}

/// Height, begin and end of the frame whose title has just ended.
fn frame(behind_title: &str) -> Option<(&str, u64, u64)> {
    let (_, rect) = behind_title.split_once("<rect ")?;
    let (rect, _) = rect.split_once("/>")?;
    let value = |name: &str| rect.split_once(name)?.1.split_once('"').map(|(value, _)| value);
    let from: u64 = value("fg:x=\"")?.parse().ok()?;
    let width: u64 = value("fg:w=\"")?.parse().ok()?;
    Some((value(" y=\"")?, from, from + width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_changes_by_all_that_leads_through_it() {
        let stacks = [("a;b", 0, 30), ("a;c", 50, 0), ("a;d", 5, 10), ("e", 7, 0)];
        let changes = changes(&stacks);
        let of = |depth, from, to| changes.get(&(depth, from, to)).copied();
        assert_eq!(of(0, 0, 40), Some(30 - 50 + 5 - 7));
        assert_eq!(of(1, 0, 40), Some(30 - 50 + 5));
        assert_eq!((of(2, 0, 30), of(2, 30, 30), of(2, 30, 40)), (Some(30), Some(-50), Some(5)));
    }
}
