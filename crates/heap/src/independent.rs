//! Trails of one object that share no holder below modules, types and roots: cutting one leaves the next.
//!
//! All ways to the object lead through its outermost dominator below those, so the question is asked there. Each
//! trail takes the holders on it out of the search for the next (greedy: the first trails are the best-named ones,
//! the number of trails can fall short of the largest possible).

use heapray_wire::NO_NODE;

use crate::anchors::{is_anchor, outermost};
use crate::{Heap, WhyOptions};

/// Nodes looked at in all searches for one more trail.
const BUDGET: usize = 50_000;

const UNKNOWN: u8 = 0;
const FREE: u8 = 1;
const BLOCKED: u8 = 2;
const USED: u8 = 3;

/// Paths root first, the best first; up to one more than asked for.
pub(crate) fn independent(heap: &Heap, target: u32, options: &WhyOptions) -> Vec<Vec<u32>> {
    let top = outermost(heap, target);
    let best = heap.path(target);
    let at = best.iter().position(|node| *node == top).unwrap_or(best.len() - 1);
    let below = best[at + 1..].to_vec();
    let mut search = Search::new(heap, top);
    let mut found = Vec::new();
    search.use_up(&best[..at]);
    found.push(best);
    if at > 0 || heap.graph().holders(top).len() > 1 {
        while found.len() <= options.max_trails {
            let Some(mut path) = search.next_of_tree().or_else(|| search.next_of_graph()) else { break };
            search.use_up(&path[..path.len() - 1]);
            path.extend(&below);
            found.push(path);
        }
    }
    if options.max_depth > 0 {
        found.retain(|path| path.len() <= options.max_depth + 1);
    }
    found
}

struct Search<'h> {
    heap: &'h Heap,
    top: u32,
    /// Distinct holders of the top, best-named first, and how many of them were tried.
    candidates: Vec<u32>,
    /// What is known of the trail of a node.
    state: Vec<u8>,
    /// Nodes whose state is FREE or BLOCKED: forgotten when a trail is used up.
    touched: Vec<u32>,
    budget: usize,
}

impl<'h> Search<'h> {
    fn new(heap: &'h Heap, top: u32) -> Search<'h> {
        let mut candidates = heap.graph().holders(top).to_vec();
        candidates.dedup();
        // Garbage that refers to the living holds nothing.
        candidates.retain(|holder| *holder != top && heap.region(*holder) <= heap.region(top));
        candidates.sort_by_key(|holder| (heap.tree.cost[*holder as usize], *holder));
        let mut state = vec![UNKNOWN; heap.n_nodes() as usize];
        state[top as usize] = USED;
        Search { heap, top, candidates, state, touched: Vec::new(), budget: BUDGET }
    }

    /// Takes the holders of a path (without the top) out of the search; the last anchor and all above stay, the
    /// edge from the path's last node to the top does not.
    fn use_up(&mut self, path: &[u32]) {
        let last = path.last().copied();
        self.candidates.retain(|holder| Some(*holder) != last);
        let below_anchor = path.iter().rposition(|node| is_anchor(self.heap, *node)).map_or(0, |at| at + 1);
        for &node in self.touched.iter() {
            if self.state[node as usize] != USED {
                self.state[node as usize] = UNKNOWN;
            }
        }
        self.touched.clear();
        path[below_anchor..].iter().for_each(|node| self.state[*node as usize] = USED);
    }

    /// The best holder whose own best trail is free.
    fn next_of_tree(&mut self) -> Option<Vec<u32>> {
        for at in 0..self.candidates.len() {
            let holder = self.candidates[at];
            if self.is_free(holder) {
                let mut path = self.heap.path(holder);
                path.push(self.top);
                return Some(path);
            }
        }
        None
    }

    fn is_free(&mut self, node: u32) -> bool {
        let first = self.touched.len();
        let mut at = node;
        let answer = loop {
            match self.state[at as usize] {
                UNKNOWN => {}
                FREE => break FREE,
                _ => break BLOCKED,
            }
            if is_anchor(self.heap, at) {
                break FREE;
            }
            self.touched.push(at);
            match self.heap.trail_parent(at) {
                Some(above) => at = above,
                None => break FREE,
            }
        };
        for i in first..self.touched.len() {
            self.state[self.touched[i] as usize] = answer;
        }
        answer == FREE
    }

    /// The shortest way back from the top to an anchor or root around all that is used up, or to a holder whose
    /// own trail is free; none where there is none or the budget is spent.
    fn next_of_graph(&mut self) -> Option<Vec<u32>> {
        let mut next = crate::forms::FastMap::<u32, u32>::default();
        let mut queue: Vec<u32> = self.candidates.clone();
        queue.retain(|node| self.state[*node as usize] != USED);
        queue.iter().for_each(|node| {
            next.insert(*node, self.top);
        });
        let mut at = 0;
        while at < queue.len() && self.budget > 0 {
            let node = queue[at];
            at += 1;
            self.budget -= 1;
            let is_end = is_anchor(self.heap, node) || self.heap.trail_parent(node).is_none();
            if is_end || self.is_free(node) {
                let mut path = self.heap.path(node);
                let mut below = node;
                while below != self.top {
                    below = next.get(&below).copied().unwrap_or(NO_NODE);
                    path.push(below);
                }
                return Some(path);
            }
            for &holder in self.heap.graph().holders(node) {
                let counts = self.heap.region(holder) <= self.heap.region(self.top);
                if counts && self.state[holder as usize] != USED && !next.contains_key(&holder) {
                    next.insert(holder, node);
                    queue.push(holder);
                }
            }
        }
        None
    }
}
