//! A picture with every box measured and placed, ready to be written in any drawing format.

use super::font::{self, Face};
use super::layout::{self, Direction, Edge, Graph, Placed, Size};
use super::words;
use heapray_query::answer::{Picture, Role};

/// Heading of a box.
pub(super) const HEADING: Face = Face { size: 13.0, bold: true };
/// Further lines of a box.
pub(super) const BODY: Face = Face { size: 11.5, bold: false };
/// Labels of edges.
pub(super) const LABEL: Face = Face { size: 11.0, bold: false };
/// Distance of two baselines, in font sizes.
pub(super) const LINE_HEIGHT: f64 = 1.35;
/// Space around a box's text.
const PADDING: Size = Size { width: 12.0, height: 8.0 };
/// Further space at the sides of shapes whose corners are cut off.
pub(super) const CORNER: f64 = 12.0;

/// What is drawn where.
#[derive(Debug)]
pub(super) struct Scene {
    /// Lines of each node's box.
    pub(super) lines: Vec<Vec<String>>,
    /// Size of each node's box.
    pub(super) boxes: Vec<Size>,
    /// Text of each edge.
    pub(super) labels: Vec<String>,
    /// Where they are.
    pub(super) placed: Placed,
    /// Which way ranks follow each other.
    pub(super) direction: Direction,
}

/// Measures and places.
pub(super) fn scene(picture: &Picture) -> Scene {
    let lines: Vec<_> = picture.nodes.iter().map(words::lines).collect();
    let boxes: Vec<_> =
        picture.nodes.iter().zip(&lines).map(|(node, lines)| box_size(lines, node.role)).collect();
    let valid = |edge: &&heapray_query::answer::PictureEdge| {
        edge.from < picture.nodes.len() && edge.to < picture.nodes.len()
    };
    debug_assert!(picture.edges.iter().all(|edge| valid(&edge)), "edges end at nodes");
    let labels: Vec<_> = picture.edges.iter().filter(valid).map(words::edge).collect();
    let edges = picture.edges.iter().filter(valid).zip(&labels).map(|(edge, label)| Edge {
        from: edge.from,
        to: edge.to,
        label: label_size(label),
        weight: if edge.dominates || edge.cut { 4.0 } else { 1.0 },
    });
    let graph = Graph { edges: edges.collect(), nodes: boxes.clone() };
    let (direction, placed) = layout::layout_best(&graph);
    Scene { lines, boxes, labels, placed, direction }
}

fn box_size(lines: &[String], role: Role) -> Size {
    let face = |i: usize| if i == 0 { HEADING } else { BODY };
    let widths = lines.iter().enumerate().map(|(i, line)| font::width(line, face(i)));
    let height: f64 = (0..lines.len()).map(|i| face(i).size * LINE_HEIGHT).sum();
    let corner = match role {
        Role::Frame | Role::Native | Role::Root => CORNER,
        _ => 0.0,
    };
    Size {
        width: (widths.fold(0.0, f64::max) + 2.0 * (PADDING.width + corner)).max(60.0).ceil(),
        height: (height + 2.0 * PADDING.height).ceil(),
    }
}

fn label_size(label: &str) -> Size {
    if label.is_empty() {
        return Size::default();
    }
    Size { width: (font::width(label, LABEL) + 10.0).ceil(), height: (LABEL.size * LINE_HEIGHT + 2.0).ceil() }
}
