//! `why`: what keeps objects alive.

use crate::answer::{Cut, TrailGroup, WhyAnswer};
use crate::{QueryError, Session, Subject, Walk, rows, words};
use heapray_heap::{Direction, WhyOptions, why};

impl Session {
    /// Trails, the place to cut, and a picture of both.
    ///
    /// # Errors
    /// Nothing is called so.
    pub fn why(&self, subject: &Subject, walk: Walk) -> Result<WhyAnswer, QueryError> {
        let targets = self.resolve(subject)?;
        let options = WhyOptions {
            max_trails: walk.limit,
            max_depth: walk.max_depth.unwrap_or(0) as usize,
            ..WhyOptions::default()
        };
        let found = why(&self.heap, &targets, &options);
        let whole = self.block_bytes();
        let group = |group| self.group(group, found.targets, whole);
        let mut picture =
            self.picture(&format!("what keeps {subject} alive"), &targets, walk, Direction::Referrers);
        let first = found.groups.first().and_then(|group| group.example.nodes.last());
        let cut_node = match (&found.outermost_cut, first) {
            (Some(cut), _) => Some(cut.node),
            (None, Some(first)) if targets.len() > 1 => self.cut_of(*first).map(|cut| cut.node),
            _ => None,
        };
        self.mark_cut(&mut picture, cut_node);
        Ok(WhyAnswer {
            process: self.process.clone(),
            subject: subject.to_string(),
            n_objects: found.targets,
            block_bytes: found.bytes,
            retained_bytes: found.retained,
            types: rows::types(&found.types),
            object: rows::object(&self.heap, targets[0]),
            nearest_cut: found.nearest_cut.as_ref().map(|cut| self.cut(cut, whole)),
            outermost_cut: found.outermost_cut.as_ref().map(|cut| self.cut(cut, whole)),
            trails: found.independent.iter().map(|trail| rows::trail(&self.heap, trail)).collect(),
            more_trails: found.more,
            groups: found.groups.iter().map(group).collect(),
            referrers: {
                let all = found.referrers.iter().map(|group| group.count).sum();
                found.referrers.iter().map(|group| self.group(group, all, whole)).collect()
            },
            coverage: self.coverage.clone(),
            picture,
        })
    }

    fn cut(&self, cut: &heapray_heap::Cut, whole: u64) -> Cut {
        Cut {
            reference: cut.trail.text.clone(),
            holder: words::holder(cut.trail.holder).to_owned(),
            type_name: cut.type_name.clone(),
            length: self.heap.length(cut.node),
            frees_bytes: cut.frees_bytes,
            share: rows::share(cut.frees_bytes, whole),
        }
    }

    /// The outermost place to cut for one object.
    pub(crate) fn cut_of(&self, node: u32) -> Option<heapray_heap::Cut> {
        let options = WhyOptions { max_trails: 1, ..WhyOptions::default() };
        why(&self.heap, &[node], &options).outermost_cut
    }

    fn group(&self, group: &heapray_heap::TrailGroup, all: u64, whole: u64) -> TrailGroup {
        let cut = group.example.nodes.last().and_then(|node| self.cut_of(*node));
        TrailGroup {
            shape: group.shape.clone(),
            count: group.count,
            share: rows::share(group.count, all),
            block_bytes: group.bytes,
            retained_bytes: group.retained,
            cut: cut.map(|cut| self.cut(&cut, whole)),
            example: rows::trail(&self.heap, &group.example),
        }
    }
}
