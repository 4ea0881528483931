//! Which rank each node is in: cycles are broken by turning edges round, then edges point from lower to higher
//! ranks and are as short as a simple relaxation makes them.

use super::Graph;

/// Rounds of relaxation; each moves whole nodes, and graphs here have few ranks.
const ROUNDS: usize = 8;

/// Ranks of all nodes, and which edges were turned round.
#[derive(Debug)]
pub(super) struct Ranks {
    /// Rank per node; labels lie on the odd ranks between.
    pub(super) of: Vec<usize>,
    /// Per edge: it points from a higher to a lower rank.
    pub(super) turned: Vec<bool>,
}

/// Ranks the nodes; nodes are on even ranks. Loops count for nothing.
pub(super) fn ranks(graph: &Graph) -> Ranks {
    let turned = back_edges(graph);
    let ends: Vec<(usize, usize)> = graph
        .edges
        .iter()
        .zip(&turned)
        .filter(|(edge, _)| edge.from != edge.to)
        .map(|(edge, turned)| if *turned { (edge.to, edge.from) } else { (edge.from, edge.to) })
        .collect();
    let mut of = longest_paths(graph.nodes.len(), &ends);
    shorten(&mut of, &ends);
    Ranks { of: of.iter().map(|rank| rank * 2).collect(), turned }
}

/// Edges that close a cycle in a depth-first search from node 0 on; iterative.
fn back_edges(graph: &Graph) -> Vec<bool> {
    let mut out = vec![Vec::new(); graph.nodes.len()];
    for (i, edge) in graph.edges.iter().enumerate() {
        out[edge.from].push(i);
    }
    let mut turned = vec![false; graph.edges.len()];
    let mut state = vec![State::New; graph.nodes.len()];
    for root in sources_first(graph) {
        let mut stack = vec![(root, 0)];
        while let Some((node, next)) = stack.pop() {
            if next == 0 && state[node] != State::New {
                continue;
            }
            state[node] = State::Open;
            let Some(&edge) = out[node].get(next) else {
                state[node] = State::Done;
                continue;
            };
            stack.push((node, next + 1));
            let to = graph.edges[edge].to;
            match state[to] {
                State::New => stack.push((to, 0)),
                State::Open => turned[edge] = true,
                State::Done => {}
            }
        }
    }
    turned
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// Nodes that nothing points at first, so that cycles are entered where a reader enters them.
fn sources_first(graph: &Graph) -> Vec<usize> {
    let mut entered = vec![false; graph.nodes.len()];
    for edge in graph.edges.iter().filter(|edge| edge.from != edge.to) {
        entered[edge.to] = true;
    }
    let mut nodes: Vec<usize> = (0..graph.nodes.len()).collect();
    nodes.sort_by_key(|node| entered[*node]);
    nodes
}

/// The longest way from a source, for an acyclic graph (Kahn's order).
fn longest_paths(n: usize, ends: &[(usize, usize)]) -> Vec<usize> {
    let mut missing = vec![0_usize; n];
    let mut out = vec![Vec::new(); n];
    for &(from, to) in ends {
        missing[to] += 1;
        out[from].push(to);
    }
    let mut ready: Vec<usize> = (0..n).filter(|node| missing[*node] == 0).collect();
    let mut rank = vec![0; n];
    while let Some(node) = ready.pop() {
        for &to in &out[node] {
            rank[to] = rank[to].max(rank[node] + 1);
            missing[to] -= 1;
            if missing[to] == 0 {
                ready.push(to);
            }
        }
    }
    rank
}

/// Moves each node within what its neighbours allow towards the side on which it has more edges.
fn shorten(rank: &mut [usize], ends: &[(usize, usize)]) {
    let n = rank.len();
    let (mut above, mut below) = (vec![Vec::new(); n], vec![Vec::new(); n]);
    for &(from, to) in ends {
        below[from].push(to);
        above[to].push(from);
    }
    for _ in 0..ROUNDS {
        let mut moved = false;
        for node in 0..n {
            let low = above[node].iter().map(|from| rank[*from] + 1).max();
            let high = below[node].iter().map(|to| rank[*to] - 1).min();
            let wanted = match (low, high) {
                (None, Some(high)) => high,
                (Some(low), Some(high)) if below[node].len() > above[node].len() => low.max(high),
                (Some(low), _) => low,
                (None, None) => rank[node],
            };
            moved |= wanted != rank[node];
            rank[node] = wanted;
        }
        if !moved {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Edge, Size};
    use super::*;

    fn ranked(n: usize, ends: &[(usize, usize)]) -> Ranks {
        let edges =
            ends.iter().map(|&(from, to)| Edge { from, to, label: Size::default(), weight: 1.0 }).collect();
        ranks(&Graph { nodes: vec![Size::default(); n], edges })
    }

    #[test]
    fn edges_point_to_higher_ranks_once_turned() {
        let ends = [(0, 1), (1, 2), (2, 0), (0, 2), (3, 3), (4, 2)];
        let ranks = ranked(5, &ends);
        for (i, &(from, to)) in ends.iter().enumerate().filter(|(_, ends)| ends.0 != ends.1) {
            let (from, to) = if ranks.turned[i] { (to, from) } else { (from, to) };
            assert!(ranks.of[from] < ranks.of[to], "edge {i}: {ranks:?}");
        }
    }

    #[test]
    fn a_lone_source_stands_next_to_what_it_points_at() {
        assert_eq!(ranked(4, &[(0, 1), (1, 2), (3, 2)]).of, [0, 2, 4, 2]);
    }
}
