//! What every answer says about the recording and its own limits.

use super::Allocations;
use super::rows::whole;
use crate::answer::{Recorded, RecordedProcess, RecordedWindow, RecordingCost, RecordingDoubt};
use heapray_capture::Task;
use heapray_profile::{Moment, Span};

impl Allocations {
    /// The head of an answer about a span that stands on so many records.
    pub(super) fn recorded(&self, span: &Span, n_records: i64) -> Recorded {
        let recording = &self.recording;
        let mode = recording.fact_text("mode").unwrap_or("sampled").to_owned();
        let is_estimated = mode != "exact";
        let interval = recording.int("sample_interval").and_then(|bytes| u64::try_from(bytes).ok());
        Recorded {
            command: recording.fact_text("command").map(str::to_owned),
            level: recording.fact_text("level").map(str::to_owned),
            native: recording.int("native").unwrap_or(0) != 0,
            sample_interval_bytes: self.raised_interval().max(interval).filter(|_| is_estimated),
            started_at: recording.float("start_unix_ns").map(|ns| ns / 1e9),
            seconds: self.seconds(),
            is_complete: recording.tasks.iter().all(|task| task.end.is_some()),
            processes: (0..recording.tasks.len()).map(|at| self.process_row(at)).collect(),
            window: self.window(span),
            filters: self.filters(),
            unmatched: self.unmatched(),
            asked_process: self.options.asked_process,
            is_being_written: self.is_being_written(),
            cost: self.cost(),
            paused: self.paused(),
            doubt: self.doubt(n_records, is_estimated),
            mode,
        }
    }

    /// The interval that the recorder raised itself to.
    fn raised_interval(&self) -> Option<u64> {
        let raised = self.recording.tasks.iter().filter_map(|task| task.int("sample_interval"));
        raised.max().and_then(|bytes| u64::try_from(bytes).ok())
    }

    fn process_row(&self, at: usize) -> RecordedProcess {
        let task = &self.recording.tasks[at];
        let seconds = |ns: u64| ns as f64 / 1e9;
        let inherited = task.inherited.iter().flat_map(|inherited| &inherited.rows);
        let inherited = inherited.filter(|row| self.selection.counts_allocator(row.allocator));
        let ended = task.end.as_ref();
        let counts = self.selection.has_task(at);
        let peak_bytes = task.peak.as_ref().map(|peak| peak.bytes).or(task.float("peak_bytes"));
        RecordedProcess {
            number: task.number,
            pid: task.pid(),
            parent: task.parent(),
            python: task.fact_text("python").map(str::to_owned),
            command: task.fact_text("command").map(str::to_owned),
            how: task.fact_text("how").map(str::to_owned),
            from_seconds: seconds(start_ns(task)),
            to_seconds: ended.map(|end| seconds(end.t_ns)),
            end: ended.map(|end| end.reason.clone()),
            end_code: ended.map(|end| end.code),
            peak_bytes: peak_bytes.map(whole),
            peak_seconds: task.peak.as_ref().map(|peak| seconds(peak.t_ns)),
            inherited_bytes: whole(inherited.map(|row| row.bytes).sum()),
            counts,
            live_at_seconds: self.live_at(at).filter(|_| counts).map(seconds),
        }
    }

    /// Spans in which the recording was switched off. The process that was recorded to the last tells all of them.
    fn paused(&self) -> Vec<[f64; 2]> {
        let told = self.recording.tasks.iter().filter_map(|task| task.fact_text("paused"));
        let all = told.max_by_key(|text| text.len()).unwrap_or_default();
        let seconds = |text: &str| text.parse::<u64>().ok().map(|ns| ns as f64 / 1e9);
        let span =
            |text: &str| text.split_once('-').and_then(|(from, to)| Some([seconds(from)?, seconds(to)?]));
        all.split(' ').filter_map(span).collect()
    }

    /// When a process's live memory is of.
    fn live_at(&self, at: usize) -> Option<u64> {
        match self.span.moments[at] {
            Moment::Gone => None,
            Moment::Peak => self.recording.tasks[at].peak.as_ref().map(|peak| peak.t_ns),
            Moment::Boundary(boundary) => {
                let before = boundary.checked_sub(1).and_then(|i| self.recording.slice_times.get(i as usize));
                Some(before.map_or(0, |(_, end)| *end))
            }
        }
    }

    fn window(&self, span: &Span) -> RecordedWindow {
        let moments = self.selection.tasks(&self.recording).map(|(at, task)| (self.span.moments[at], task));
        let mut early = moments.filter(|(moment, task)| match moment {
            Moment::Gone => false,
            Moment::Peak => true,
            Moment::Boundary(boundary) => {
                task.end.is_some() && task.slices.last_index().is_some_and(|last| last + 1 > *boundary)
            }
        });
        let live = match early.next() {
            _ if self.span.to_asked => "moment",
            Some(_) => "before exit",
            None => "end",
        };
        RecordedWindow {
            from_seconds: span.ns.0 as f64 / 1e9,
            to_seconds: span.ns.1 as f64 / 1e9,
            live: live.to_owned(),
        }
    }

    /// Whether live memory is that of a process's high-water mark.
    fn is_of_a_mark(&self) -> bool {
        self.selection.tasks(&self.recording).any(|(at, _)| self.span.moments[at] == Moment::Peak)
    }

    /// The head of an answer that tells of peaks besides.
    pub(super) fn recorded_with_peaks(&self, span: &Span, n_records: i64) -> Recorded {
        let mut about = self.recorded(span, n_records);
        about.doubt.peak_reads_high = about.doubt.is_estimated;
        about
    }

    fn filters(&self) -> Vec<String> {
        let pids: Vec<String> = self.options.processes.iter().map(u32::to_string).collect();
        let processes = (!pids.is_empty()).then(|| format!("process {}", pids.join(" or ")));
        processes.into_iter().chain(self.patterns().into_iter().flatten()).collect()
    }

    /// The lists of patterns in words, in the order of [`heapray_profile::Filter`]; `None` for those that are empty.
    fn patterns(&self) -> [Option<String>; 5] {
        let options = &self.options;
        let lists = [
            ("thread", &options.threads),
            ("tag", &options.tags),
            ("module", &options.modules),
            ("function", &options.functions),
            ("file", &options.files),
        ];
        lists.map(|(name, list)| (!list.is_empty()).then(|| format!("{name} {}", list.join(" or "))))
    }

    /// Patterns that nothing in the recording matches; all of them together where each does, but no stack all.
    fn unmatched(&self) -> Vec<String> {
        let patterns = self.patterns();
        let unmet = self.selection.unmet();
        if !unmet.is_empty() {
            return unmet.iter().filter_map(|list| patterns[*list].clone()).collect();
        }
        if self.selection.has_any() {
            return Vec::new();
        }
        vec![patterns.into_iter().flatten().collect::<Vec<_>>().join(" with ")]
    }

    fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.selection.tasks(&self.recording).map(|(_, task)| task)
    }

    fn sum(&self, name: &str) -> Option<u64> {
        let known = self.tasks().filter_map(|task| task.float(name)).map(|value| value.max(0.0));
        known.reduce(|a, b| a + b).map(|sum| sum as u64)
    }

    fn cost(&self) -> RecordingCost {
        let end = self.recording.end_ns();
        let life =
            |task: &Task| task.end.as_ref().map_or(end, |end| end.t_ns).saturating_sub(start_ns(task)) as f64;
        let life: f64 = self.tasks().map(life).sum();
        let hook_ns = self.sum("hook_ns");
        RecordingCost {
            hook_seconds: hook_ns.map(|ns| ns as f64 / 1e9),
            hook_share: hook_ns.filter(|_| life > 0.0).map(|ns| (ns as f64 / life).clamp(0.0, 1.0)),
            memory_bytes: self.sum("agent_bytes"),
            ring_bytes: self.sum("ring_bytes"),
            file_bytes: self.options.file_bytes,
            n_events: self.sum("events"),
        }
    }

    fn doubt(&self, n_records: i64, is_estimated: bool) -> RecordingDoubt {
        let faults = self.tasks().filter_map(|task| {
            let text = task.fact_text("agent_fault").filter(|fault| !fault.is_empty()).map(str::to_owned);
            let number = task.int("agent_fault").filter(|fault| *fault != 0);
            let fault = text.or_else(|| number.map(|number| format!("fault {number}")))?;
            Some(format!("the agent in process {} stopped: {fault}", task.pid().unwrap_or(0)))
        });
        // What is being written has no end yet.
        let is_unfinished =
            |what: &str| self.is_being_written() && UNFINISHED.iter().any(|start| what.starts_with(start));
        let lost = self.recording.losses.iter().filter(|loss| !is_unfinished(&loss.what));
        RecordingDoubt {
            lost_events: self.sum("lost_events").unwrap_or(0),
            lost_frees: self.sum("lost_frees").unwrap_or(0),
            missed_frees: self.sum("missed_frees").unwrap_or(0),
            reentered: self.sum("reentered").unwrap_or(0),
            n_records: n_records.max(0) as u64,
            is_estimated,
            peak_reads_high: is_estimated && self.is_of_a_mark(),
            notes: faults.chain(lost.map(|loss| format!("at byte {}: {}", loss.offset, loss.what))).collect(),
        }
    }
}

/// How [`heapray_capture::RecordingReader`] begins to tell that the rest of a file is not there.
const UNFINISHED: [&str; 2] = ["the file ends without its end mark", "a frame is cut off"];

fn start_ns(task: &Task) -> u64 {
    task.int("start_ns").and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0)
}
