//! From what a user wrote to nodes: addresses, type names, paths from a module, expressions.

use crate::{QueryError, Session, Subject};
use heapray_heap::{Reference, referents};
use heapray_wire::TypeKind;

impl Session {
    /// The nodes that a subject means; never empty.
    ///
    /// # Errors
    /// Nothing is called so; says what to try.
    pub(crate) fn resolve(&self, subject: &Subject) -> Result<Vec<u32>, QueryError> {
        let found = match subject {
            Subject::Address(address) => self.heap.tables().node_at(*address).into_iter().collect(),
            Subject::Node(node) => (*node < self.heap.n_nodes()).then_some(*node).into_iter().collect(),
            Subject::Query(_, query) => query.eval(&self.heap),
            Subject::Path(path) => match self.instances(path) {
                instances if instances.is_empty() => self.path(path).into_iter().collect(),
                instances => instances,
            },
        };
        if found.is_empty() {
            return Err(QueryError::NoSuchObject { subject: subject.to_string(), problem: advice(subject) });
        }
        Ok(found)
    }

    /// All objects of the type of exactly this name.
    fn instances(&self, name: &str) -> Vec<u32> {
        let tables = self.heap.tables();
        let is_named: Vec<bool> = tables.types.iter().map(|row| tables.string(row.name) == name).collect();
        if !is_named.contains(&true) {
            return Vec::new();
        }
        let is_instance = |node: &u32| is_named[tables.type_of(*node) as usize];
        (0..tables.n_nodes()).filter(is_instance).collect()
    }

    /// The object at a path that starts with a module: `package.module.name[3].attribute`.
    fn path(&self, path: &str) -> Option<u32> {
        let parts = split(path)?;
        let tables = self.heap.tables();
        let modules = tables.names.iter().filter(|row| self.heap.kind(row.node) == TypeKind::Module);
        let mut best: Option<(usize, u32)> = None;
        for module in modules {
            let name = tables.string(module.name);
            let n_parts = name.split('.').count();
            if n_parts <= parts.len()
                && joined(&parts[..n_parts]) == name
                && best.is_none_or(|(most, _)| n_parts > most)
            {
                best = Some((n_parts, module.node));
            }
        }
        let (n_parts, module) = best?;
        parts[n_parts..].iter().try_fold(module, |node, part| self.step(node, part))
    }

    /// The object that one part of a path leads to.
    fn step(&self, node: u32, part: &str) -> Option<u32> {
        let direct = referents(&self.heap, node, usize::MAX);
        let text = if part.starts_with('[') { part.replace('"', "'") } else { format!(".{part}") };
        let find = |all: &[Reference], text: &str| all.iter().find(|r| r.text == text).map(|r| r.node);
        find(&direct, &text).or_else(|| {
            let is_module = self.heap.kind(node) == TypeKind::Module;
            let is_namespace = |r: &&Reference| {
                r.text == ".__dict__" || (is_module && self.heap.kind(r.node) == TypeKind::Dict)
            };
            let hidden = direct.iter().find(is_namespace)?;
            let inner = referents(&self.heap, hidden.node, usize::MAX);
            find(&inner, &text).or_else(|| find(&inner, &format!("['{part}']")))
        })
    }
}

/// `a.b[3]['k.x'].c` to `a`, `b`, `[3]`, `['k.x']`, `c`.
fn split(path: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    let mut in_brackets = false;
    for c in path.chars() {
        match c {
            '.' if !in_brackets => parts.push(String::new()),
            '[' if !in_brackets => {
                in_brackets = true;
                parts.push("[".to_owned());
            }
            _ => {
                match (c, quote) {
                    ('\'' | '"', None) => quote = Some(c),
                    (_, Some(open)) if c == open => quote = None,
                    (']', None) => in_brackets = false,
                    _ => {}
                }
                parts.last_mut()?.push(c);
            }
        }
    }
    let whole = !in_brackets && quote.is_none() && parts.iter().all(|part| !part.is_empty());
    whole.then_some(parts)
}

fn joined(parts: &[String]) -> String {
    parts.join(".")
}

fn advice(subject: &Subject) -> String {
    match subject {
        Subject::Address(_) => "nothing starts at this address; `heapray find` lists addresses".to_owned(),
        Subject::Node(_) => "there is no such node".to_owned(),
        Subject::Query(..) => "nothing matches".to_owned(),
        Subject::Path(_) => {
            "no type is called so and no path from a module leads there; try an address from `heapray find 'type~…'`"
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_split_at_dots_and_brackets_outside_quotes() {
        let parts = |path: &str| split(path).map(|parts| parts.join("|"));
        assert_eq!(parts("a.b[3]['k.x]'].c").as_deref(), Some("a|b|[3]|['k.x]']|c"));
        assert_eq!(parts("a..b"), None);
        assert_eq!(parts("a[3"), None);
        assert_eq!(parts(""), None);
    }
}
