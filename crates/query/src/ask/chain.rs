//! `chain`: the shortest way from a module to an object.

use crate::answer::ChainAnswer;
use crate::{QueryError, Session, Subject, rows};
use heapray_heap::{Chain, chain};

impl Session {
    /// The chain to the subject (the first object, where it means several), or what holds it instead.
    ///
    /// # Errors
    /// Nothing is called so.
    pub fn chain(&self, subject: &Subject) -> Result<ChainAnswer, QueryError> {
        let node = self.resolve(subject)?[0];
        let (from_module, trail) = match chain(&self.heap, node) {
            Chain::Module(trail) => (true, trail),
            Chain::NoModule(trail) => (false, trail),
        };
        let mut picture = self.line(&format!("chain to {subject}"), &trail.nodes);
        self.mark_cut(&mut picture, self.cut_of(node).map(|cut| cut.node));
        Ok(ChainAnswer {
            process: self.process.clone(),
            subject: subject.to_string(),
            object: rows::object(&self.heap, node),
            from_module,
            picture,
            trail: rows::trail(&self.heap, &trail),
            coverage: self.coverage.clone(),
        })
    }
}
