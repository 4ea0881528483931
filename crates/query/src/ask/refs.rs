//! `refs`: what an object refers to, runs of alike references folded.

use crate::answer::{RefRow, RefsAnswer};
use crate::{QueryError, Session, Subject, Walk, rows, words};
use heapray_heap::{Direction, Reference, referents};

impl Session {
    /// References of the subject (the first object, where it means several), and a picture of them.
    ///
    /// # Errors
    /// Nothing is called so.
    pub fn refs(&self, subject: &Subject, walk: Walk) -> Result<RefsAnswer, QueryError> {
        let node = self.resolve(subject)?[0];
        let all = referents(&self.heap, node, usize::MAX);
        let runs = all.chunk_by(|a, b| self.alike(a, b));
        Ok(RefsAnswer {
            process: self.process.clone(),
            subject: subject.to_string(),
            object: rows::object(&self.heap, node),
            references: runs.take(walk.limit).map(|run| self.row(run)).collect(),
            n_references: all.len() as u64,
            coverage: self.coverage.clone(),
            picture: self.picture(&format!("what {subject} refers to"), &[node], walk, Direction::Referents),
        })
    }

    /// Neighbours that a reader need not tell apart: elements of one type.
    fn alike(&self, a: &Reference, b: &Reference) -> bool {
        let tables = self.heap.tables();
        let is_element = |r: &Reference| r.text.starts_with('[') && !r.text.contains('\'');
        is_element(a)
            && is_element(b)
            && a.label.strength == b.label.strength
            && tables.type_of(a.node) == tables.type_of(b.node)
    }

    fn row(&self, run: &[Reference]) -> RefRow {
        let largest = run
            .iter()
            .max_by_key(|r| (self.heap.retained(r.node), std::cmp::Reverse(r.node)))
            .expect("chunk_by gives no empty run");
        let (first, last) = (&run[0], &run[run.len() - 1]);
        let label = match run.len() {
            1 => first.text.clone(),
            _ => format!("{}…{}", first.text.trim_end_matches(']'), last.text.trim_start_matches('[')),
        };
        RefRow {
            label,
            count: run.len() as u64,
            strength: words::strength(first.label.strength).to_owned(),
            object: rows::object(&self.heap, largest.node),
            block_bytes: run.iter().map(|r| self.heap.tables().block(r.node)).fold(0, u64::saturating_add),
        }
    }
}
