//! The verdict over several snapshots, from `diagnose`, as an answer.

use crate::answer::{Figures, Finding, LeaksAnswer, Measured, TypeShare};
use crate::{QueryError, Session};
use heapray_capture::SnapshotFile;
use heapray_diagnose::{Observation, Verdict};
use heapray_heap::GrowthOptions;

/// Growing containers among which the holders' lengths are looked up.
const LENGTHS_MAX: usize = 100;
/// Snapshots to add at most while the verdict is undecided.
pub const EXTRA_SNAPSHOTS: usize = heapray_diagnose::EXTRA_SNAPSHOTS;

/// What counts as a leak.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeaksOptions {
    /// Growth below this is no finding; by default only what is no noise counts.
    pub threshold_bytes_per_hour: Option<u64>,
}

/// Takes snapshots one after the other and judges them together.
#[derive(Debug, Default)]
pub struct Leaks {
    options: LeaksOptions,
    seen: Vec<(Session, f64)>,
}

impl Leaks {
    /// No snapshot yet.
    pub fn new(options: LeaksOptions) -> Self {
        Self { options, seen: Vec::new() }
    }

    /// Adds a snapshot, later than those before. `at_seconds` is when it was taken, from any fixed moment; without
    /// it the time that the snapshot recorded counts.
    ///
    /// # Errors
    /// As [`Session::new`]; another process than before; no time, or one not later than the last.
    pub fn add(
        &mut self,
        file: SnapshotFile,
        process: Option<u32>,
        at_seconds: Option<f64>,
    ) -> Result<(), QueryError> {
        let session = Session::new(file, process)?;
        let incomparable = |problem: &str| Err(QueryError::NotComparable { problem: problem.to_owned() });
        let Some(at) = at_seconds.or(session.process.taken_at) else {
            return incomparable("the snapshot does not say when it was taken");
        };
        if let Some((last, last_at)) = self.seen.last() {
            if let Some(why) = last.contradiction(&session) {
                return incomparable(&format!("the snapshots are not of one process: {why}"));
            }
            if at <= *last_at {
                return incomparable("the snapshot is not later than the one before; give the oldest first");
            }
        }
        self.seen.push((session, at));
        Ok(())
    }

    /// Judges.
    ///
    /// # Errors
    /// Fewer than two snapshots.
    pub fn verdict(&self) -> Result<LeaksAnswer, QueryError> {
        let [(_, first_at), .., (last, last_at)] = &self.seen[..] else {
            return Err(QueryError::TooFewSnapshots { got: self.seen.len() });
        };
        let observations: Vec<Observation<'_>> = self
            .seen
            .iter()
            .map(|(session, at)| Observation { heap: &session.heap, at_seconds: *at })
            .collect();
        let verdict = heapray_diagnose::leaks(&observations);
        let mut answer = LeaksAnswer {
            unexplained_bytes_per_hour: verdict.unexplained_bytes_per_hour,
            process: self.measured(&verdict, last, last_at - first_at),
            coverage: last.coverage.clone(),
            findings: Vec::new(),
        };
        for found in &verdict.findings {
            self.judge(found, &mut answer);
        }
        self.add_lengths(&mut answer.findings);
        Ok(answer)
    }

    /// Looks up how long the holders were and are.
    fn add_lengths(&self, findings: &mut [Finding]) {
        let [(first, _), .., (last, _)] = &self.seen[..] else { return };
        if findings.is_empty() {
            return;
        }
        let options = GrowthOptions { limit: LENGTHS_MAX, ..GrowthOptions::default() };
        let grown = heapray_heap::growth(&first.heap, &last.heap, &options);
        for finding in findings {
            let holders = grown.holders.iter().filter(|row| row.stable_name == finding.holder);
            let mut lengths = holders.filter_map(|row| row.length_before.zip(row.length_after));
            let containers = grown.containers.iter().filter(|row| row.trail.text == finding.holder);
            let others = containers.map(|row| (row.length_before, row.length_after)).next();
            finding.length = lengths.next().or(others);
        }
    }

    /// Takes a finding over, or dismisses it where it is below the threshold asked for.
    fn judge(&self, found: &heapray_diagnose::Finding, answer: &mut LeaksAnswer) {
        let threshold = self.options.threshold_bytes_per_hour.unwrap_or(0) as f64;
        if found.bytes_per_hour >= threshold {
            answer.findings.push(finding(found));
            return;
        }
        answer.unexplained_bytes_per_hour += found.bytes_per_hour;
        answer.process.dismissed.push(format!("{} grows, but less than the threshold", found.holder));
    }

    fn measured(&self, verdict: &Verdict, last: &Session, seconds: f64) -> Measured {
        let figures: Vec<Figures> = verdict.figures.iter().map(figures).collect();
        let per_hour = |of: fn(&Figures) -> Option<i64>| {
            let (from, to) = (of(figures.first()?)?, of(figures.last()?)?);
            (seconds > 0.0).then(|| (to - from) as f64 / seconds * 3_600.0)
        };
        Measured {
            process: last.process.clone(),
            n_snapshots: self.seen.len() as u64,
            seconds,
            bytes_per_hour: verdict.process_bytes_per_hour,
            rss_bytes_per_hour: per_hour(|row| row.rss_bytes),
            python_bytes_per_hour: per_hour(|row| Some(row.held_bytes + row.garbage_bytes + row.lost_bytes)),
            dismissed: verdict.dismissed.clone(),
            undecided: verdict.undecided,
            figures,
        }
    }
}

fn figures(row: &heapray_diagnose::Figures) -> Figures {
    Figures {
        seconds: row.elapsed_seconds,
        rss_bytes: row.rss_bytes,
        held_bytes: row.held_bytes,
        garbage_bytes: row.garbage_bytes,
        lost_bytes: row.lost_bytes,
        native_bytes: row.native_bytes,
        free_bytes: row.free_bytes,
        n_objects: row.objects,
    }
}

fn finding(found: &heapray_diagnose::Finding) -> Finding {
    let share =
        |t: &heapray_diagnose::TypeGrowth| TypeShare { name: t.name.clone(), count: t.count, bytes: t.bytes };
    Finding {
        kind: found.kind.to_string(),
        holder: found.holder.clone(),
        root: found.root.clone(),
        trail: found.trail.clone(),
        types: found.types.iter().map(share).collect(),
        bytes_per_hour: found.bytes_per_hour,
        interval: found.interval,
        share: found.share,
        confidence: found.confidence,
        allocated_at: found.allocated_at.clone(),
        advice: found.advice.clone(),
        source: found.source.clone(),
        length: None,
        objects_per_hour: found.objects_per_hour,
    }
}
