//! The forms of trails: what alike trails share when indices and keys are `[*]` and repeated steps are written twice.
//!
//! Every node on a trail gets the number of its form once, from its parent's: the cost for many targets is that of
//! the distinct nodes on their trails, whatever their number. No recursion.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use heapray_wire::TypeKind;

use crate::Heap;
use crate::step::{self, Context, Style, Values};
use crate::trail::{is_thread_local, join, write};

/// Longest group of steps whose repetition is folded.
const PERIOD_MAX: usize = 4;

/// Multiplicative hashing for small integer keys that no outsider chooses.
#[derive(Default)]
pub(crate) struct FastHasher(u64);

impl Hasher for FastHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95);
    }
}

/// A map that is only looked up, never iterated.
pub(crate) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;

#[derive(Debug)]
struct Form {
    /// The form without its last step; its own number at heads.
    parent: u32,
    text: String,
    repeats: bool,
}

/// Forms met so far, and which node has which.
pub(crate) struct Forms<'h> {
    heap: &'h Heap,
    forms: Vec<Form>,
    by_text: HashMap<(u32, String), u32>,
    /// By form of the parent, shape of the parent and fixed edge or tail: the common case needs no text.
    by_edge: FastMap<(u32, u32, u32), (u32, Context)>,
    /// Form of each node plus 1, and its context in the low 2 bits; 0: not met.
    of_node: Vec<u32>,
    values: Values,
}

impl<'h> Forms<'h> {
    pub(crate) fn new(heap: &'h Heap) -> Forms<'h> {
        Forms {
            heap,
            forms: Vec::new(),
            by_text: HashMap::new(),
            by_edge: FastMap::default(),
            of_node: vec![0; heap.n_nodes() as usize],
            values: Values::default(),
        }
    }

    /// The number of the form of a node's best trail.
    pub(crate) fn of(&mut self, node: u32) -> u32 {
        self.with_context(node).0
    }

    /// The form of the best trail of `holder` followed by the step to `held`.
    pub(crate) fn through(&mut self, holder: u32, held: u32) -> u32 {
        let above = self.with_context(holder);
        let (form, context) = self.below(above, holder, held);
        self.said(form, context)
    }

    /// A form as text.
    pub(crate) fn text(&self, form: u32) -> String {
        let mut parts = Vec::new();
        let mut at = form;
        let mut repeats = false;
        loop {
            let form = &self.forms[at as usize];
            repeats |= form.repeats;
            parts.push(form.text.as_str());
            if form.parent == at {
                break;
            }
            at = form.parent;
        }
        parts.reverse();
        if repeats {
            parts.push("…");
        }
        join(&parts)
    }

    fn with_context(&mut self, node: u32) -> (u32, Context) {
        let mut path = Vec::new();
        let mut at = node;
        let mut known = loop {
            if let Some(known) = self.known(at) {
                break known;
            }
            match self.heap.trail_parent(at) {
                Some(above) if !self.is_head(at) => {
                    path.push(at);
                    at = above;
                }
                _ => break self.head(at),
            }
        };
        while let Some(below) = path.pop() {
            known = self.below(known, at, below);
            self.of_node[below as usize] = (known.0 << 2 | known.1 as u32) + 1;
            at = below;
        }
        known
    }

    fn known(&self, node: u32) -> Option<(u32, Context)> {
        let packed = self.of_node[node as usize].checked_sub(1)?;
        Some((packed >> 2, Context::from_index((packed & 3) as u8)))
    }

    /// Whether the text of a trail to `node` is written as a whole, because its first steps make one name:
    /// `local batch in f`, a module, a `threading.local`.
    fn is_head(&self, node: u32) -> bool {
        let Some(above) = self.heap.trail_parent(node) else { return true };
        let kind = self.heap.kind(above);
        let by_thread =
            || self.heap.trail_parent(above).is_some_and(|over| self.heap.kind(over) == TypeKind::Thread);
        kind == TypeKind::StackFrame
            || (kind == TypeKind::Frame && by_thread())
            || (self.heap.kind(node) == TypeKind::Module && kind == TypeKind::Dict)
            || is_thread_local(self.heap, node)
    }

    fn head(&mut self, node: u32) -> (u32, Context) {
        let path = self.heap.path(node);
        let mut context = Context::Plain;
        for pair in path.windows(2) {
            let step = step::between(self.heap, pair[0], pair[1]);
            context = step::context_after(self.heap, &step, context);
        }
        let mut text = write(self.heap, &path, Style::Form).concat();
        if let Some(shorter) = text.strip_suffix(context.unsaid()) {
            text.truncate(shorter.len());
        }
        let form = self.add(None, text);
        self.of_node[node as usize] = (form << 2 | context as u32) + 1;
        (form, context)
    }

    fn below(&mut self, (above, context): (u32, Context), holder: u32, held: u32) -> (u32, Context) {
        let tables = self.heap.tables();
        let step = match context {
            Context::Namespace => step::between(self.heap, holder, held),
            _ => step::between_form(self.heap, holder, held, &mut self.values),
        };
        let shape = tables.shape[holder as usize];
        let n_fixed = tables.shapes[shape as usize].labels.len() as u32;
        let is_value = step.label.kind == heapray_wire::LabelKind::Value;
        let edge = if step.position < n_fixed { step.position } else { u32::MAX - step.label.kind as u32 };
        let key = (above << 2 | context as u32, shape, edge);
        if !is_value && let Some(&known) = self.by_edge.get(&key) {
            return known;
        }
        let text = step::text(self.heap, &step, context, Style::Form);
        let next = step::context_after(self.heap, &step, context);
        let form = if text.is_empty() { above } else { self.add(Some(above), text) };
        if !is_value {
            self.by_edge.insert(key, (form, next));
        }
        (form, next)
    }

    /// The form of a trail that ends in this context.
    fn said(&mut self, form: u32, context: Context) -> u32 {
        match context.unsaid() {
            "" => form,
            text => self.add(Some(form), text.to_owned()),
        }
    }

    fn add(&mut self, parent: Option<u32>, text: String) -> u32 {
        let key = (parent.unwrap_or(u32::MAX), text);
        if let Some(&known) = self.by_text.get(&key) {
            return known;
        }
        let folded = parent.and_then(|parent| self.fold(parent, &key.1));
        let form = folded.unwrap_or_else(|| {
            let own = self.forms.len() as u32;
            self.forms.push(Form { parent: parent.unwrap_or(own), text: key.1.clone(), repeats: false });
            own
        });
        self.by_text.insert(key, form);
        form
    }

    /// Where `text` after `parent` would end a third copy of the same steps: the form with two.
    fn fold(&mut self, parent: u32, text: &str) -> Option<u32> {
        let mut chain = vec![parent];
        while chain.len() < 3 * PERIOD_MAX {
            let last = *chain.last()?;
            let above = self.forms[last as usize].parent;
            if above == last {
                break;
            }
            chain.push(above);
        }
        // The head is no step.
        let is_head = |form: &u32| self.forms[*form as usize].parent == *form;
        chain.retain(|form| !is_head(form));
        let step = |i: usize| match i {
            0 => Some(text),
            _ => chain.get(i - 1).map(|form| self.forms[*form as usize].text.as_str()),
        };
        let period = (1..=PERIOD_MAX)
            .find(|period| (0..2 * period).all(|i| step(i).is_some() && step(i) == step(i + period)))?;
        let kept = chain[period - 1];
        self.forms[kept as usize].repeats = true;
        Some(kept)
    }
}
