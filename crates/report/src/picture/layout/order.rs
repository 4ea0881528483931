//! The order within each layer: sweeps by barycentre (Sugiyama 1981) and exchanges of neighbours (Gansner et al.
//! 1993), the best order seen is kept.

use super::layers::Layers;

/// Sweeps, half of them downwards.
const SWEEPS: usize = 16;

/// Reorders the layers in place so that few links cross.
pub(super) fn order(layers: &mut Layers) {
    let near = Near::new(layers);
    let mut at = positions(layers);
    let mut best = layers.layers.clone();
    let mut fewest = crossings(layers, &near, &at);
    for sweep in 0..SWEEPS {
        if fewest == 0 {
            break;
        }
        sort(layers, &near, &mut at, sweep % 2 == 0);
        exchange(layers, &near, &mut at);
        let now = crossings(layers, &near, &at);
        if now < fewest {
            (fewest, best) = (now, layers.layers.clone());
        }
    }
    layers.layers = best;
}

/// Neighbours of each item in the layers before and after.
struct Near {
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
}

impl Near {
    fn new(layers: &Layers) -> Self {
        let n = layers.items.len();
        let mut near = Self { before: vec![Vec::new(); n], after: vec![Vec::new(); n] };
        for &(from, to, _) in &layers.links {
            near.after[from].push(to);
            near.before[to].push(from);
        }
        near
    }
}

/// Position of each item in its layer.
fn positions(layers: &Layers) -> Vec<usize> {
    let mut at = vec![0; layers.items.len()];
    for layer in &layers.layers {
        for (position, item) in layer.iter().enumerate() {
            at[*item] = position;
        }
    }
    at
}

/// Sorts each layer by the mean position of its neighbours in the layer just done; items without any stay.
fn sort(layers: &mut Layers, near: &Near, at: &mut [usize], downwards: bool) {
    let n_layers = layers.layers.len();
    for step in 1..n_layers {
        let layer = if downwards { step } else { n_layers - 1 - step };
        let side = if downwards { &near.before } else { &near.after };
        let mean = |item: usize| match side[item].len() {
            0 => at[item] as f64,
            n => side[item].iter().map(|other| at[*other]).sum::<usize>() as f64 / n as f64,
        };
        let mut keyed: Vec<(f64, usize)> =
            layers.layers[layer].iter().map(|item| (mean(*item), *item)).collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        layers.layers[layer] = keyed.iter().map(|(_, item)| *item).collect();
        for (position, (_, item)) in keyed.iter().enumerate() {
            at[*item] = position;
        }
    }
}

/// Exchanges neighbours wherever that saves crossings, until nothing does or some rounds are over.
fn exchange(layers: &mut Layers, near: &Near, at: &mut [usize]) {
    for _ in 0..4 {
        let mut better = false;
        for layer in &mut layers.layers {
            for i in 1..layer.len() {
                let (left, right) = (layer[i - 1], layer[i]);
                if pair(near, at, right, left) < pair(near, at, left, right) {
                    layer.swap(i - 1, i);
                    at.swap(left, right);
                    better = true;
                }
            }
        }
        if !better {
            return;
        }
    }
}

/// Crossings between the links of two items of one layer when `left` stands left.
fn pair(near: &Near, at: &[usize], left: usize, right: usize) -> usize {
    let count = |side: &[Vec<usize>]| {
        let lefts = side[left].iter();
        lefts.map(|l| side[right].iter().filter(|r| at[**r] < at[*l]).count()).sum::<usize>()
    };
    count(&near.before) + count(&near.after)
}

/// All crossings.
fn crossings(layers: &Layers, near: &Near, at: &[usize]) -> usize {
    let mut sum = 0;
    for layer in &layers.layers {
        for (i, left) in layer.iter().enumerate() {
            for right in &layer[i + 1..] {
                let lefts = near.after[*left].iter();
                sum += lefts
                    .map(|l| near.after[*right].iter().filter(|r| at[**r] < at[*l]).count())
                    .sum::<usize>();
            }
        }
    }
    sum
}
