//! DOT for Graphviz and its kin, with the same words, shapes and marks as the SVG.

use super::words;
use crate::sanitize;
use heapray_query::answer::{Picture, PictureEdge, PictureNode, Role};
use std::fmt::Write;

/// The whole file.
pub fn dot(picture: &Picture) -> String {
    let mut text = String::from("digraph heapray {\n");
    let _ = writeln!(text, "  graph [label={}, labelloc=t, rankdir=LR];", quoted(&sanitize(&picture.title)));
    text.push_str("  node [shape=box, style=\"rounded,filled\", fontname=\"DejaVu Sans\", fontsize=11];\n");
    text.push_str("  edge [fontname=\"DejaVu Sans\", fontsize=10, color=\"#7a7f87\"];\n");
    for (i, node) in picture.nodes.iter().enumerate() {
        let _ = writeln!(text, "  n{i} [{}];", node_attributes(node));
    }
    for edge in &picture.edges {
        let _ = writeln!(text, "  n{} -> n{} [{}];", edge.from, edge.to, edge_attributes(edge));
    }
    text.push_str("}\n");
    text
}

fn node_attributes(node: &PictureNode) -> String {
    let look = match node.role {
        Role::Object => "fillcolor=\"#f6f7f9\", color=\"#8a8f98\"",
        Role::Target => "fillcolor=\"#fdecec\", color=\"#c62828\", fontcolor=\"#c62828\", penwidth=2",
        Role::Module => "shape=box, style=filled, fillcolor=\"#dcf3dc\", color=\"#2e7d32\"",
        Role::Frame => "shape=hexagon, style=filled, fillcolor=\"#e3ecfb\", color=\"#3b5fa8\"",
        Role::Native => "shape=octagon, style=filled, fillcolor=\"#fde8d0\", color=\"#b45309\"",
        Role::Root => "shape=ellipse, style=filled, fillcolor=\"#ece7f6\", color=\"#6d4aa2\"",
        Role::More => "style=dashed, color=\"#8a8f98\", fontcolor=\"#6b7078\"",
    };
    let stack = if node.count > 1 && node.role != Role::More { ", peripheries=2" } else { "" };
    format!(
        "label={}, tooltip={}, {look}{stack}",
        quoted(&words::lines(node).join("\n")),
        quoted(&words::tooltip(node).join("\n"))
    )
}

fn edge_attributes(edge: &PictureEdge) -> String {
    let mut attributes = format!("label={}", quoted(&words::edge(edge)));
    if edge.dominates && !edge.cut {
        attributes.push_str(", penwidth=3, color=\"#33373d\"");
    }
    if edge.cut {
        attributes.push_str(", style=dashed, penwidth=3, color=\"#d32f2f\", fontcolor=\"#d32f2f\"");
    }
    attributes
}

/// A DOT string: quotes and backslashes escaped, line ends as `\n` (graphviz.org/doc/info/lang.html, escString).
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_inside_its_quotes() {
        assert_eq!(quoted("a\"; evil [\\"), "\"a\\\"; evil [\\\\\"");
        let node = PictureNode { type_name: "x\"]\n}\x1b[0m\\N".into(), count: 1, ..PictureNode::default() };
        let picture = Picture { title: "\"".into(), nodes: vec![node], edges: vec![] };
        let text = dot(&picture);
        assert!(text.contains("label=\"x\\\"]\\\\n}\\\\x1b[0m\\\\N\""), "{text}");
        assert!(!text.contains('\x1b'));
    }
}
