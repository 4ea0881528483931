//! Where each item stands within its layer: every layer in turn moves to the weighted mean of its neighbours, as
//! near as order and spacing allow. The nearest allowed places are found exactly, by pooling adjacent violators
//! (Ayer et al. 1955).

use super::layers::{Item, Layers};

/// Sweeps over all layers, half of them downwards.
const SWEEPS: usize = 40;
/// Space between neighbours in a layer.
const GAP: f64 = 18.0;
/// Space next to a point of an edge on its way.
const GAP_BARE: f64 = 10.0;

/// Centre of each item across its layer.
pub(super) fn place(layers: &Layers) -> Vec<f64> {
    let mut near: Vec<[Vec<(usize, f64)>; 2]> = vec![Default::default(); layers.items.len()];
    for &(from, to, weight) in &layers.links {
        near[from][1].push((to, weight));
        near[to][0].push((from, weight));
    }
    let mut at = vec![0.0; layers.items.len()];
    for layer in &layers.layers {
        settle(layers, layer, &mut at, &|_| (0.0, 1.0));
    }
    let n = layers.layers.len();
    for sweep in 0..SWEEPS {
        for step in 0..n {
            let layer = if sweep % 2 == 0 { step } else { n - 1 - step };
            let before = at.clone();
            let wish = |item: usize| wish(&near[item], &before, item, sweep);
            settle(layers, &layers.layers[layer], &mut at, &wish);
        }
    }
    at
}

/// Where an item wants to be and how much: the mean of the side just placed, of both sides in the last sweeps.
fn wish(near: &[Vec<(usize, f64)>; 2], at: &[f64], item: usize, sweep: usize) -> (f64, f64) {
    let both = sweep >= SWEEPS / 2;
    let side = sweep % 2;
    let (mut sum, mut weight) = (0.0, 0.0);
    for (i, neighbours) in near.iter().enumerate() {
        if both || i == side || near[side].is_empty() {
            sum += neighbours.iter().map(|(other, w)| at[*other] * w).sum::<f64>();
            weight += neighbours.iter().map(|(_, w)| w).sum::<f64>();
        }
    }
    if weight == 0.0 { (at[item], 0.01) } else { (sum / weight, weight) }
}

/// Places one layer: minimises the weighted squares of the distances to the wishes, in order and spaced.
fn settle(layers: &Layers, layer: &[usize], at: &mut [f64], wish: &dyn Fn(usize) -> (f64, f64)) {
    // Subtracting the smallest allowed places turns "spaced" into "not falling".
    let mut base = Vec::with_capacity(layer.len());
    let mut next = 0.0;
    for (i, item) in layer.iter().enumerate() {
        if i > 0 {
            next += distance(&layers.items[layer[i - 1]], &layers.items[*item]);
        }
        base.push(next);
    }
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (item, base) in layer.iter().zip(&base) {
        let (wanted, weight) = wish(*item);
        pools.push((wanted - base, weight, 1));
        while let [.., a, b] = pools[..]
            && a.0 > b.0
        {
            pools.truncate(pools.len() - 2);
            pools.push(((a.0 * a.1 + b.0 * b.1) / (a.1 + b.1), a.1 + b.1, a.2 + b.2));
        }
    }
    let places = pools.iter().flat_map(|(mean, _, n)| std::iter::repeat_n(*mean, *n));
    for ((item, base), place) in layer.iter().zip(&base).zip(places) {
        at[*item] = place + base;
    }
}

/// Smallest distance between the centres of two neighbours.
fn distance(a: &Item, b: &Item) -> f64 {
    (a.across + b.across) / 2.0 + if a.bare || b.bare { GAP_BARE } else { GAP }
}
