//! Layered layout of a small directed graph (Sugiyama, Tagawa, Toda 1981): break cycles, rank, order, place.
//!
//! Works in two abstract axes, *along* (from rank to rank) and *across* (within a rank), so that one code draws
//! both downwards and to the right. Every edge label is a node of its own between the ranks and so never covers
//! anything. Deterministic: ties go by index.

mod layers;
mod order;
mod place;
mod rank;

use layers::Layers;

/// Which way ranks follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Referrers above referents.
    Down,
    /// Referrers left of referents.
    Right,
}

/// Width and height.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Size {
    /// Horizontal.
    pub(crate) width: f64,
    /// Vertical.
    pub(crate) height: f64,
}

/// Horizontal and vertical position.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Point {
    /// To the right.
    pub(crate) x: f64,
    /// Down.
    pub(crate) y: f64,
}

/// What to lay out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    /// Size of each node.
    pub(crate) nodes: Vec<Size>,
    /// Edges between them; ends are valid indices.
    pub(crate) edges: Vec<Edge>,
}

/// One edge with the size of its label (zero for none).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    /// Index of the node it leaves.
    pub(crate) from: usize,
    /// Index of the node it enters.
    pub(crate) to: usize,
    /// Its label.
    pub(crate) label: Size,
    /// How much it wants to be straight and short; 1 is ordinary.
    pub(crate) weight: f64,
}

/// Where everything is: the whole fits between (0, 0) and `size`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placed {
    /// Extent.
    pub(crate) size: Size,
    /// Centre of each node.
    pub(crate) nodes: Vec<Point>,
    /// Way of each edge.
    pub(crate) edges: Vec<Route>,
}

/// The way of one edge.
#[derive(Clone, Debug, Default)]
pub(crate) struct Route {
    /// From the border of its first node to the border of its last; empty for a loop.
    pub(crate) points: Vec<Point>,
    /// Centre of its label.
    pub(crate) label: Option<Point>,
}

/// Lays the graph out in one direction. O(sweeps × edges × ranks), meant for some hundred nodes.
pub(crate) fn layout(graph: &Graph, direction: Direction) -> Placed {
    let ranks = rank::ranks(graph);
    let mut layers = Layers::new(graph, &ranks, direction);
    order::order(&mut layers);
    let centres = place::place(&layers);
    layers.placed(graph, &centres, direction)
}

/// Lays the graph out in the direction that suits a screen better.
pub(crate) fn layout_best(graph: &Graph) -> (Direction, Placed) {
    let right = layout(graph, Direction::Right);
    let down = layout(graph, Direction::Down);
    if awkwardness(right.size) <= awkwardness(down.size) {
        (Direction::Right, right)
    } else {
        (Direction::Down, down)
    }
}

/// How far a drawing must be shrunk to be read; width counts more than height, for pages scroll downwards.
fn awkwardness(size: Size) -> f64 {
    (size.width / 1.2).max(size.height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(n: usize, edges: &[(usize, usize)]) -> Graph {
        let label = Size { width: 40.0, height: 14.0 };
        Graph {
            nodes: vec![Size { width: 100.0, height: 40.0 }; n],
            edges: edges.iter().map(|&(from, to)| Edge { from, to, label, weight: 1.0 }).collect(),
        }
    }

    fn overlap(a: (Point, Size), b: (Point, Size)) -> bool {
        (a.0.x - b.0.x).abs() < (a.1.width + b.1.width) / 2.0 - 0.01
            && (a.0.y - b.0.y).abs() < (a.1.height + b.1.height) / 2.0 - 0.01
    }

    /// All boxes, of nodes and of labels.
    fn boxes(graph: &Graph, placed: &Placed) -> Vec<(Point, Size)> {
        let nodes = placed.nodes.iter().zip(&graph.nodes).map(|(at, size)| (*at, *size));
        let labels = placed.edges.iter().zip(&graph.edges);
        nodes.chain(labels.filter_map(|(route, edge)| Some((route.label?, edge.label)))).collect()
    }

    fn check(graph: &Graph) {
        for direction in [Direction::Down, Direction::Right] {
            let placed = layout(graph, direction);
            let boxes = boxes(graph, &placed);
            for (i, a) in boxes.iter().enumerate() {
                assert!(a.0.x - a.1.width / 2.0 >= -0.01 && a.0.y - a.1.height / 2.0 >= -0.01, "{a:?}");
                assert!(a.0.x + a.1.width / 2.0 <= placed.size.width + 0.01, "{a:?} {:?}", placed.size);
                assert!(a.0.y + a.1.height / 2.0 <= placed.size.height + 0.01, "{a:?} {:?}", placed.size);
                for b in &boxes[..i] {
                    assert!(!overlap(*a, *b), "{a:?} overlaps {b:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_overlaps_in_any_small_graph() {
        // A linear congruential generator (Numerical Recipes, 1992), seed 7: graphs of up to 20 nodes.
        let mut state = 7_u32;
        let mut next = |n: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % n
        };
        for _ in 0..200 {
            let n = 1 + next(20);
            let edges: Vec<_> = (0..next(40)).map(|_| (next(n), next(n))).collect();
            check(&graph(n, &edges));
        }
    }

    #[test]
    fn chain_is_straight_and_fan_is_centred() {
        let placed = layout(&graph(4, &[(0, 1), (1, 2), (2, 3)]), Direction::Down);
        assert!(placed.nodes.iter().all(|at| (at.x - placed.nodes[0].x).abs() < 0.01), "{placed:?}");
        let placed = layout(&graph(4, &[(0, 3), (1, 3), (2, 3)]), Direction::Down);
        let middle = (placed.nodes[0].x + placed.nodes[1].x + placed.nodes[2].x) / 3.0;
        assert!((placed.nodes[3].x - middle).abs() < 1.0, "{placed:?}");
    }

    #[test]
    fn crossings_that_can_be_avoided_are() {
        let placed = layout(&graph(4, &[(0, 3), (1, 2)]), Direction::Down);
        let (left, right) = (placed.nodes[0].x < placed.nodes[1].x, placed.nodes[3].x < placed.nodes[2].x);
        assert_eq!(left, right);
    }

    #[test]
    fn empty_and_huge_graphs_are_drawn() {
        assert_eq!(layout(&Graph::default(), Direction::Down).nodes.len(), 0);
        let chain: Vec<_> = (0..2_000).map(|i| (i, i + 1)).collect();
        assert_eq!(layout(&graph(2_001, &chain), Direction::Down).nodes.len(), 2_001);
        let cycle: Vec<_> = (0..50).map(|i| (i, (i + 1) % 50)).collect();
        check(&graph(50, &cycle));
    }
}
