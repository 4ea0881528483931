//! The words in a picture, the same in every format: what stands in a box, on an edge, in a tooltip.

use crate::clean::shorten;
use crate::{bytes, sanitize, thousands};
use heapray_query::answer::{PictureEdge, PictureNode, Role};

/// Longest line in a box or on an edge, in characters.
const CHARS_MAX: usize = 40;

/// The lines of a box; the first is the heading.
pub(super) fn lines(node: &PictureNode) -> Vec<String> {
    let type_name = sanitize(&node.type_name);
    if node.role == Role::More {
        return vec![format!("{} more", thousands(node.count))];
    }
    let mut lines = match (&node.name, node.role) {
        (Some(name), Role::Object | Role::Target) => vec![type_name, sanitize(name)],
        (Some(name), _) => vec![sanitize(name), type_name],
        (None, _) => vec![type_name],
    };
    if node.count > 1 {
        lines[0] = format!("{} ×{}", shorten(&lines[0], CHARS_MAX - 8), thousands(node.count));
    }
    lines.extend(node.length.map(|n| format!("{} item{}", thousands(n), if n == 1 { "" } else { "s" })));
    // A root is no place to cut, and a module's own figure misleads: functions hold its dict too.
    if node.retained_bytes > 0 && !matches!(node.role, Role::Module | Role::Frame | Role::Root) {
        lines.push(format!("retains {}", bytes(node.retained_bytes)));
    }
    lines.iter().map(|line| shorten(line, CHARS_MAX)).collect()
}

/// What an edge says: its label, and how many it stands for where the label does not say that they are several.
pub(super) fn edge(edge: &PictureEdge) -> String {
    let label = shorten(&sanitize(&edge.label), CHARS_MAX);
    let count = if edge.count > 1 { format!("×{}", thousands(edge.count)) } else { String::new() };
    let cut = if edge.cut { "✂ cut here" } else { "" };
    let parts: Vec<&str> =
        [label.as_str(), &count, cut].into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

/// Everything about a node, one line each.
pub(super) fn tooltip(node: &PictureNode) -> Vec<String> {
    if node.role == Role::More {
        return vec![format!("{} more neighbours, left out (--too-many)", thousands(node.count))];
    }
    let mut lines = vec![sanitize(&node.type_name)];
    lines.extend(node.name.as_deref().map(sanitize));
    if node.count > 1 {
        lines.push(format!(
            "stands for {} objects, one is at {}",
            thousands(node.count),
            sanitize(&node.object)
        ));
    } else {
        lines.push(format!("at {}", sanitize(&node.object)));
    }
    if !node.trail.is_empty() {
        lines.push(sanitize(&node.trail));
    }
    lines.extend(node.length.map(|length| format!("{} items", thousands(length))));
    lines.push(format!("own blocks {}", bytes(node.block_bytes)));
    lines.push(format!("retains {}", bytes(node.retained_bytes)));
    lines
}
