//! Since when a forked process answers for what it inherited.
//!
//! A block that was there at a fork belongs to several processes and counts once: in the first of those that are looked at. That
//! is the process which allocated it or passed it on, as long as it lives, then the first that it forked, and those that this one
//! forked, then the second, and so on. So what a program held when it became a daemon (forked, and ended) goes on counting, in
//! the daemon.
//!
//! Two processes share the blocks that were born before their lines parted: before either line was forked from the last process
//! that is an ancestor of both. What was born in the very slice of that fork is taken for shared.

use crate::Selection;
use crate::moment::{end_ns, start_ns};
use crate::span::slice_at;
use heapray_capture::{Recording, Task};

/// Since when each process answers for what it inherited.
pub(crate) struct Heirs<'a> {
    recording: &'a Recording,
    /// Per task: its parent, if what it inherited from there is known.
    parents: Vec<Option<usize>>,
    /// Per task: the slice in which it began.
    firsts: Vec<u32>,
    /// Per task: when it ceased to hold anything, ns; `u64::MAX` where it did not, 0 where it is not looked at.
    gone_ns: Vec<u64>,
}

/// Since when one process answers for what it inherited, by birth.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns {
    /// Births up to a slice, falling, and the first boundary at which such blocks count, rising.
    steps: Vec<(u32, u32)>,
}

impl Turns {
    /// A boundary that never comes.
    pub(crate) const NEVER: u32 = u32::MAX;

    /// The first boundary at which inherited blocks that were born in a slice count; 0: from the start on.
    pub(crate) fn since(&self, birth: u32) -> u32 {
        let fitting = self.steps.partition_point(|(to, _)| *to >= birth);
        fitting.checked_sub(1).map_or(0, |last| self.steps[last].1)
    }

    /// The last boundary at which some begin to count.
    pub(crate) fn last(&self) -> Option<u32> {
        self.steps.iter().map(|(_, since)| *since).filter(|since| *since != Self::NEVER).max()
    }
}

impl<'a> Heirs<'a> {
    /// The heirs among the processes of a selection; `gone_ns` says when one ceased to hold anything, if it did. O(tasks).
    pub(crate) fn new(
        recording: &'a Recording,
        selection: &Selection,
        gone_ns: &dyn Fn(usize, &Task) -> Option<u64>,
    ) -> Self {
        let tasks = || recording.tasks.iter().enumerate();
        let parent = |(at, task): (usize, &Task)| {
            let number = task.inherited.as_ref()?.parent;
            let parent = recording.tasks.binary_search_by_key(&number, |task| task.number).ok()?;
            (parent < at).then_some(parent)
        };
        let gone = |(at, task): (usize, &Task)| {
            if selection.has_task(at) { gone_ns(at, task).unwrap_or(u64::MAX) } else { 0 }
        };
        Self {
            recording,
            parents: tasks().map(parent).collect(),
            firsts: tasks().map(|(_, task)| slice_at(recording, start_ns(task))).collect(),
            gone_ns: tasks().map(gone).collect(),
        }
    }

    /// The turns of one process. O(1) where its parent outlives it, else O(tasks × depth of the tree).
    pub(crate) fn turns(&self, at: usize) -> Turns {
        let Some(parent) = self.parents[at] else { return Turns::default() };
        let ended = end_ns(self.recording, &self.recording.tasks[at]);
        if self.gone_ns[parent] >= ended {
            return Turns { steps: vec![(u32::MAX, Turns::NEVER)] };
        }
        let looked_at = (0..self.gone_ns.len()).filter(|elder| self.gone_ns[*elder] > 0);
        let mut held: Vec<(u32, u64)> =
            looked_at.filter_map(|elder| Some((self.shared_to(elder, at)?, self.gone_ns[elder]))).collect();
        held.sort_unstable_by_key(|(to, _)| std::cmp::Reverse(*to));
        let mut steps: Vec<(u32, u32)> = Vec::new();
        for (to, gone_ns) in held {
            let since = self.boundary(at, gone_ns, ended);
            if steps.last().is_none_or(|(_, last)| since > *last) {
                steps.push((to, since));
            }
        }
        Turns { steps }
    }

    /// The first boundary of the process at `at` behind the end of another.
    fn boundary(&self, at: usize, gone_ns: u64, ended: u64) -> u32 {
        if gone_ns >= ended {
            return Turns::NEVER;
        }
        let behind = slice_at(self.recording, gone_ns) + 1;
        if behind > self.firsts[at] { behind } else { 0 }
    }

    /// The last slice whose births `at` shares with one whose turn is earlier; `None`: they share none, or it is later.
    fn shared_to(&self, elder: usize, at: usize) -> Option<u32> {
        let (mut one, mut other) = (elder, at);
        let (mut one_forked, mut other_forked) = (None, None);
        let mut to = u32::MAX;
        // Parents stand before their children, so who stands further back climbs.
        while one != other {
            let (back, forked) =
                if one > other { (&mut one, &mut one_forked) } else { (&mut other, &mut other_forked) };
            to = to.min(self.firsts[*back]);
            *forked = Some(*back);
            *back = self.parents[*back]?;
        }
        // An ancestor was forked by none on the way (`None` is least), and nobody is earlier than itself.
        (one_forked < other_forked).then_some(to)
    }
}

#[cfg(test)]
mod tests {
    use heapray_capture::synthetic::RecordingBuilder;

    use crate::{Filter, Paths, Selection, Time, figures, series, span};

    const SECOND: u64 = 1_000_000_000;

    /// Holds 1 MB, becomes a daemon by two forks in its third second, and idles for a minute; the daemon frees a quarter.
    #[test]
    fn a_daemon_answers_for_what_the_program_held() {
        let mut b = RecordingBuilder::exact();
        let site = (b.stack(&["load /srv/x.py:1"]), 8);
        let first = b.task(7, None);
        let blocks = [250_000; 4].map(|size| b.alloc(first, site, size));
        b.advance(SECOND);
        b.advance(SECOND);
        let second = b.task(8, Some(first));
        let daemon = b.task(9, Some(second));
        b.end(second, "exited", 0);
        b.end(first, "exited", 0);
        b.advance(SECOND);
        b.free_in(daemon, blocks[0]);
        (0..60).for_each(|_| b.advance(SECOND));
        let mut recording = b.recording();
        for parent in &mut recording.tasks[..2] {
            parent.end.as_mut().expect("it ended").t_ns = SECOND / 2 * 5;
        }
        let live = |tasks: &[usize]| {
            let filter = Filter { tasks: tasks.to_vec(), ..Filter::default() };
            let selection = Selection::new(&recording, &filter, &Paths::default());
            let window = span(&recording, &selection, Some(Time::Ns(0)), None);
            figures(&recording, &selection, &window).iter().map(|site| site.figures.live.bytes).sum::<f64>()
        };
        assert_eq!((live(&[]), live(&[2]), live(&[1, 2])), (750_000.0, 750_000.0, 750_000.0));
        let selection = Selection::new(&recording, &Filter::default(), &Paths::default());
        let window = span(&recording, &selection, Some(Time::Ns(0)), None);
        let points = series(&recording, &selection, &window, usize::MAX);
        let bytes: Vec<f64> = points.iter().take(5).map(|point| point.live_bytes).collect();
        assert_eq!(bytes, [1e6, 1e6, 1e6, 750_000.0, 750_000.0]);
    }
}
