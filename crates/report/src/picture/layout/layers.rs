//! The graph cut into layers: nodes, and for each edge one dummy per rank between its ends, the label's among them.

use super::rank::Ranks;
use super::{Direction, Graph, Placed, Point, Route, Size};

/// Space around the drawing.
const MARGIN: f64 = 16.0;
/// Least and most space between neighbouring ranks.
const RANK_GAP: (f64, f64) = (18.0, 110.0);
/// Space between ranks per distance that a link moves across, so that no curve is too steep to follow.
const STEEPNESS: f64 = 0.3;

/// Items in layers, and the short edges between neighbouring layers.
#[derive(Debug)]
pub(super) struct Layers {
    /// Extent of each item; the graph's nodes come first, dummies follow.
    pub(super) items: Vec<Item>,
    /// Items of each layer in their order.
    pub(super) layers: Vec<Vec<usize>>,
    /// Short edges: (item, item one layer on, weight).
    pub(super) links: Vec<(usize, usize, f64)>,
    /// Per edge of the graph its dummies from rank to rank, and which of them carries the label.
    chains: Vec<(Vec<usize>, Option<usize>)>,
    turned: Vec<bool>,
}

/// One node or dummy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// Extent from rank to rank.
    pub(super) along: f64,
    /// Extent within the rank.
    pub(super) across: f64,
    /// Its layer.
    pub(super) layer: usize,
    /// Neither node nor label: a point on the way of an edge.
    pub(super) bare: bool,
}

impl Layers {
    /// Cuts the edges into links from rank to rank.
    pub(super) fn new(graph: &Graph, ranks: &Ranks, direction: Direction) -> Self {
        let items = graph.nodes.iter().zip(&ranks.of).map(|(size, layer)| item(*size, *layer, direction));
        let mut layers = Self {
            items: items.collect(),
            layers: Vec::new(),
            links: Vec::new(),
            chains: Vec::new(),
            turned: ranks.turned.clone(),
        };
        for i in 0..graph.edges.len() {
            layers.cut(graph, i, direction);
        }
        let n_layers = layers.items.iter().map(|item| item.layer + 1).max().unwrap_or(0);
        layers.layers = vec![Vec::new(); n_layers];
        for (i, item) in layers.items.iter().enumerate() {
            layers.layers[item.layer].push(i);
        }
        layers
    }

    fn cut(&mut self, graph: &Graph, edge: usize, direction: Direction) {
        let turned = self.turned[edge];
        let edge = &graph.edges[edge];
        if edge.from == edge.to {
            self.chains.push((Vec::new(), None));
            return;
        }
        let (first, last) = if turned { (edge.to, edge.from) } else { (edge.from, edge.to) };
        let (low, high) = (self.items[first].layer, self.items[last].layer);
        // The label stands as near to the referent as it can: there its meaning is read.
        let label_layer = if turned { low + 1 } else { high - 1 };
        let (mut chain, mut label, mut before) = (Vec::new(), None, first);
        for layer in low + 1..high {
            let is_label = layer == label_layer && edge.label.width > 0.0;
            let size = if is_label { edge.label } else { Size::default() };
            let at = self.items.len();
            self.items.push(Item { bare: !is_label, ..item(size, layer, direction) });
            self.links.push((before, at, link_weight(before == first, edge.weight)));
            chain.push(at);
            label = if is_label { Some(at) } else { label };
            before = at;
        }
        self.links.push((before, last, link_weight(true, edge.weight)));
        self.chains.push((chain, label));
    }

    /// Puts abstract centres (across, per item) back on the page.
    pub(super) fn placed(&self, graph: &Graph, across: &[f64], direction: Direction) -> Placed {
        let bands = self.bands(across);
        let along = |i: usize| (bands[self.items[i].layer].0 + bands[self.items[i].layer].1) / 2.0;
        let page = |i: usize| to_page(along(i), across[i], direction);
        let passing = |i: usize| {
            let (start, end) = bands[self.items[i].layer];
            [to_page(start, across[i], direction), to_page(end, across[i], direction)]
        };
        let mut placed = Placed {
            size: Size::default(),
            nodes: (0..graph.nodes.len()).map(page).collect(),
            edges: Vec::new(),
        };
        for (i, edge) in graph.edges.iter().enumerate() {
            let ends = [page(edge.from), page(edge.to)];
            let label = self.chains[i].1.map(page);
            placed.edges.push(Route { points: self.route(graph, i, direction, (ends, &passing)), label });
        }
        shift(&mut placed, graph);
        placed
    }

    /// Border to border, straight through every rank that it passes, so that no bend cuts a corner of a box.
    fn route(
        &self,
        graph: &Graph,
        edge: usize,
        direction: Direction,
        (ends, passing): ([Point; 2], &dyn Fn(usize) -> [Point; 2]),
    ) -> Vec<Point> {
        let (from, to) = (graph.edges[edge].from, graph.edges[edge].to);
        if from == to {
            return Vec::new();
        }
        let mut via: Vec<Point> = self.chains[edge].0.iter().flat_map(|item| passing(*item)).collect();
        let mut sign = 1.0;
        if self.turned[edge] {
            via.reverse();
            sign = -1.0;
        }
        let mut points = vec![border(ends[0], graph.nodes[from], direction, sign)];
        points.extend(via);
        points.push(border(ends[1], graph.nodes[to], direction, -sign));
        points
    }

    /// Where each layer starts and ends.
    fn bands(&self, across: &[f64]) -> Vec<(f64, f64)> {
        let mut moved = vec![0.0_f64; self.layers.len() + 1];
        for &(from, to, _) in &self.links {
            let gap = &mut moved[self.items[from].layer + 1];
            *gap = gap.max((across[from] - across[to]).abs());
        }
        let mut bands: Vec<(f64, f64)> = Vec::with_capacity(self.layers.len());
        for (i, layer) in self.layers.iter().enumerate() {
            let extent = layer.iter().map(|item| self.items[*item].along).fold(0.0, f64::max);
            let gap = (moved[i] * STEEPNESS).clamp(RANK_GAP.0, RANK_GAP.1);
            let start = bands.last().map_or(0.0, |(_, end)| end + gap);
            bands.push((start, start + extent));
        }
        bands
    }
}

/// Long edges want to be straight more than short ones (weights after Gansner et al. 1993, section 4.1).
fn link_weight(at_node: bool, weight: f64) -> f64 {
    if at_node { weight } else { weight * 8.0 }
}

fn item(size: Size, layer: usize, direction: Direction) -> Item {
    let (along, across) = match direction {
        Direction::Down => (size.height, size.width),
        Direction::Right => (size.width, size.height),
    };
    Item { along, across, layer, bare: false }
}

fn to_page(along: f64, across: f64, direction: Direction) -> Point {
    match direction {
        Direction::Down => Point { x: across, y: along },
        Direction::Right => Point { x: along, y: across },
    }
}

/// The middle of the side of a box that faces the next rank.
fn border(centre: Point, size: Size, direction: Direction, sign: f64) -> Point {
    match direction {
        Direction::Down => Point { x: centre.x, y: centre.y + sign * size.height / 2.0 },
        Direction::Right => Point { x: centre.x + sign * size.width / 2.0, y: centre.y },
    }
}

/// Moves everything so that the drawing starts at its margin.
fn shift(placed: &mut Placed, graph: &Graph) {
    let mut boxes: Vec<(Point, Size)> =
        placed.nodes.iter().copied().zip(graph.nodes.iter().copied()).collect();
    for (route, edge) in placed.edges.iter().zip(&graph.edges) {
        boxes.extend(route.label.map(|at| (at, edge.label)));
        boxes.extend(route.points.iter().map(|at| (*at, Size::default())));
    }
    let low = |f: fn(&(Point, Size)) -> f64| boxes.iter().map(f).fold(f64::INFINITY, f64::min);
    let (left, top) = (low(|b| b.0.x - b.1.width / 2.0), low(|b| b.0.y - b.1.height / 2.0));
    let high = |f: fn(&(Point, Size)) -> f64| boxes.iter().map(f).fold(f64::NEG_INFINITY, f64::max);
    let (right, bottom) = (high(|b| b.0.x + b.1.width / 2.0), high(|b| b.0.y + b.1.height / 2.0));
    if boxes.is_empty() {
        return;
    }
    let by = Point { x: MARGIN - left, y: MARGIN - top };
    let points = placed.edges.iter_mut().flat_map(|route| route.points.iter_mut().chain(&mut route.label));
    for point in placed.nodes.iter_mut().chain(points) {
        point.x += by.x;
        point.y += by.y;
    }
    placed.size = Size { width: right + by.x + MARGIN, height: bottom + by.y + MARGIN };
}
