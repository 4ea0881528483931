//! Strongly connected components by Tarjan's algorithm, without recursion.

use heapray_wire::NO_NODE;

use crate::Heap;

/// Components of more than one node, and single nodes that hold themselves.
#[derive(Debug, Default)]
pub(crate) struct Components {
    /// Nodes, component after component.
    pub(crate) nodes: Vec<u32>,
    /// Where each component begins in `nodes`, and one past the last.
    pub(crate) starts: Vec<u32>,
}

impl Components {
    /// Each component's nodes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        self.starts.windows(2).map(|pair| &self.nodes[pair[0] as usize..pair[1] as usize])
    }
}

/// One open node of the search: its holder's place on the stack follows from its own.
struct Open {
    node: u32,
    cursor: u32,
    held_self: bool,
}

struct Search<'h> {
    heap: &'h Heap,
    /// Number of each node from 1, 0: not visited, `NO_NODE`: closed or not asked about.
    number: Vec<u32>,
    /// Least number reached; by node.
    low: Vec<u32>,
    stack: Vec<u32>,
    open: Vec<Open>,
    held: Vec<u32>,
    held_starts: Vec<usize>,
    found: Components,
    next: u32,
}

/// Cycles among the nodes for which `is_in` holds, in the order in which Tarjan closes them.
/// O(nodes + edges among them), 8 bytes a node of the heap.
pub(crate) fn components(heap: &Heap, is_in: impl Fn(u32) -> bool) -> Components {
    let number = (0..heap.n_nodes()).map(|node| if is_in(node) { 0 } else { NO_NODE }).collect();
    let mut search = Search {
        heap,
        number,
        low: vec![0; heap.n_nodes() as usize],
        stack: Vec::new(),
        open: Vec::new(),
        held: Vec::new(),
        held_starts: Vec::new(),
        found: Components { nodes: Vec::new(), starts: vec![0] },
        next: 1,
    };
    for node in 0..heap.n_nodes() {
        if search.number[node as usize] == 0 {
            search.run(node);
        }
    }
    search.found
}

impl Search<'_> {
    fn run(&mut self, start: u32) {
        self.enter(start);
        while let Some(open) = self.open.last_mut() {
            let node = open.node;
            let at = self.held_starts[self.open.len() - 1] + self.open[self.open.len() - 1].cursor as usize;
            let Some(&target) = self.held.get(at) else {
                self.leave();
                continue;
            };
            let last = self.open.len() - 1;
            self.open[last].cursor += 1;
            self.open[last].held_self |= target == node;
            match self.number[target as usize] {
                NO_NODE => {}
                0 => self.enter(target),
                number => self.low[node as usize] = self.low[node as usize].min(number),
            }
        }
    }

    fn enter(&mut self, node: u32) {
        self.number[node as usize] = self.next;
        self.low[node as usize] = self.next;
        self.next += 1;
        self.stack.push(node);
        self.held_starts.push(self.held.len());
        let (held, number) = (&mut self.held, &self.number);
        self.heap.graph().for_each_held(self.heap.tables(), node, |target| {
            if number[target as usize] != NO_NODE {
                held.push(target);
            }
        });
        self.open.push(Open { node, cursor: 0, held_self: false });
    }

    fn leave(&mut self) {
        let Some(done) = self.open.pop() else { return };
        if let Some(start) = self.held_starts.pop() {
            self.held.truncate(start);
        }
        let low = self.low[done.node as usize];
        if let Some(above) = self.open.last() {
            let slot = &mut self.low[above.node as usize];
            *slot = (*slot).min(low);
        }
        if low == self.number[done.node as usize] {
            self.close(done);
        }
    }

    /// Takes a whole component off the stack.
    fn close(&mut self, root: Open) {
        let start = self.stack.iter().rposition(|node| *node == root.node).unwrap_or(0);
        for &node in &self.stack[start..] {
            self.number[node as usize] = NO_NODE;
        }
        if self.stack.len() - start > 1 || root.held_self {
            self.found.nodes.extend_from_slice(&self.stack[start..]);
            self.found.starts.push(self.found.nodes.len() as u32);
        }
        self.stack.truncate(start);
    }
}
