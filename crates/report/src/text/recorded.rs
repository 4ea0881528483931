//! The doubt at the end of every answer about a recording: what was recorded, of when the figures are, what recording
//! cost, what is missing; and the phrases that these answers share.

use super::footer::n_of;
use crate::{Style, bytes, bytes_signed, duration, percent, sanitize, short_time, thousands};
use heapray_query::answer::{Estimate, Recorded, RecordedProcess, StackProfile};

/// Pauses that are told at most.
const PAUSES_MAX: usize = 4;
/// Processes that are listed; the others are counted.
const PROCESSES_MAX: usize = 8;
/// Notes that are listed.
const NOTES_MAX: usize = 5;

/// The first lines of an answer to a question that matches nothing: it is no answer.
pub(super) fn unmatched(about: &Recorded, style: &Style) -> String {
    nothing_matches(about).map_or_else(String::new, |line| style.bad(&line) + "\n\n")
}

/// What of a question matches nothing, and what to try.
pub(crate) fn nothing_matches(about: &Recorded) -> Option<String> {
    let patterns: Vec<String> = about.unmatched.iter().map(|pattern| sanitize(pattern)).collect();
    (!patterns.is_empty()).then(|| {
        format!(
            "nothing in the recording matches {}: look at the names with `heapray top --by stack --split-threads`; \
             patterns have * and ?",
            patterns.join(", nor ")
        )
    })
}

/// What there is to say of an export in which nothing weighs anything; `None` where something does.
pub fn note_of_nothing(profile: &StackProfile) -> Option<String> {
    let is_empty = profile.stacks.iter().all(|stack| stack.weight.bytes == 0 && stack.weight.count == 0);
    let why = || {
        format!("{} is 0 in this window: try another --what, --from or --to, or fewer filters", profile.what)
    };
    is_empty.then(|| nothing_matches(&profile.recording).unwrap_or_else(why))
}

/// What a profile lacks, a line each, for formats that have no place for it; empty where nothing is lost.
pub fn losses(profile: &StackProfile) -> String {
    lost(&profile.recording, &Style::default())
}

/// The last lines of an answer.
pub(super) fn footer(about: &Recorded, style: &Style) -> String {
    let dim: String = lines(about).iter().map(|line| style.dim(line) + "\n").collect();
    dim + &lost(about, style)
}

/// The recording in some lines, losses aside.
pub(crate) fn lines(about: &Recorded) -> Vec<String> {
    let mut lines = vec![what(about), processes(about)];
    lines.extend(aside(about));
    lines.extend(error_bars(about));
    lines.extend(peaks(about));
    lines.extend(cost(about));
    lines
}

/// The doubt alone, without what was recorded.
pub(super) fn doubt(about: &Recorded, style: &Style) -> String {
    let lines = error_bars(about).into_iter().chain(peaks(about)).chain(cost(about));
    lines.map(|line| style.dim(&line) + "\n").collect::<String>() + &lost(about, style)
}

fn error_bars(about: &Recorded) -> Option<String> {
    (about.doubt.is_estimated && about.doubt.n_records > 0).then(|| {
        let n = n_of(about.doubt.n_records, "sample");
        format!("± is half the 90 % interval of an estimate; this one stands on {n}")
    })
}

/// The error bar of a peak does not hold what was.
fn peaks(about: &Recorded) -> Option<String> {
    about.doubt.peak_reads_high.then(|| {
        "a peak is the moment at which the estimate was highest, so it reads high: by more than the error bar where \
         blocks come and go"
            .to_owned()
    })
}

/// `gunicorn app:app: sampled every 65.5 kB for 61 s, still going on`.
pub(super) fn what(about: &Recorded) -> String {
    let command = command(about);
    let command = if command.is_empty() { "recording".to_owned() } else { command };
    let mut how = match about.sample_interval_bytes {
        Some(interval) => format!("sampled every {}", bytes(interval)),
        None => sanitize(&about.mode),
    };
    if let Some(level) = about.level.as_ref().filter(|_| about.mode == "exact") {
        how.push_str(&format!(" (level {})", sanitize(level)));
    }
    if about.native {
        how.push_str(", native frames");
    }
    let end = match (about.is_complete, about.is_being_written) {
        (true, _) => "",
        (false, true) => ", still being written",
        (false, false) => ", not ended",
    };
    let filters = about.filters.iter().map(|filter| format!(", only {}", sanitize(filter)));
    format!("{command}: {how}, {}{end}{}", duration(about.seconds), filters.collect::<String>())
}

/// The command, its program without the directory.
pub(crate) fn command(about: &Recorded) -> String {
    let command = about.command.as_deref().unwrap_or_default();
    let (program, rest) = command.split_once(' ').unwrap_or((command, ""));
    let program = program.rsplit('/').next().unwrap_or(program);
    sanitize(format!("{program} {rest}").trim_end())
}

fn processes(about: &Recorded) -> String {
    let counting: Vec<&RecordedProcess> = about.processes.iter().filter(|process| process.counts).collect();
    let shown: Vec<String> =
        counting.iter().take(PROCESSES_MAX).map(|process| process_name(process)).collect();
    let more = match counting.len().saturating_sub(PROCESSES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let word = if counting.len() == 1 { "process" } else { "processes" };
    format!("{word} {}{more}", shown.join(", "))
}

fn process_name(process: &RecordedProcess) -> String {
    let name = process.pid.map_or_else(|| format!("#{}", process.number), |pid| pid.to_string());
    let python = process.python.as_ref().map(|python| format!(" (Python {})", sanitize(python)));
    name + &python.unwrap_or_default()
}

/// When the recording was switched off.
fn pauses(about: &Recorded) -> Option<String> {
    let spans = about.paused.iter().take(PAUSES_MAX);
    let spans: Vec<String> =
        spans.map(|[from, to]| format!("{} to {}", duration(*from), duration(*to))).collect();
    let more = match about.paused.len().saturating_sub(PAUSES_MAX) {
        0 => String::new(),
        more => format!(" and {more} times more"),
    };
    (!spans.is_empty()).then(|| format!("switched off, so nothing is recorded of {}{more}", spans.join(", ")))
}

/// What a reader would else wonder about: processes that are gone, memory that came with a fork or before an attach.
fn aside(about: &Recorded) -> Vec<String> {
    let mut lines = Vec::new();
    let counting = || about.processes.iter().filter(|process| process.counts);
    if let Some(pid) = about.asked_process.filter(|_| about.processes.len() > 1) {
        lines.push(format!(
            "of all processes of the recording that process {pid} is in (--process {pid} for it alone)"
        ));
    }
    if about.window.live == "before exit" {
        lines.push(
            "live memory is that shortly before exit: an interpreter frees its objects as it ends".to_owned(),
        );
    }
    if about.window.live == "fullest border" {
        lines.push(
            "the high-water mark lies outside of the window: its fullest moment is that of the borders of its slices"
                .to_owned(),
        );
    }
    let n_gone = counting().filter(|process| process.live_at_seconds.is_none()).count();
    if n_gone > 0 {
        let holds =
            if n_gone == 1 { "process ended earlier and holds" } else { "processes ended earlier and hold" };
        lines.push(format!(
            "{} {holds} nothing any more (--process PID asks about one)",
            thousands(n_gone as u64)
        ));
    }
    let inherited: i64 = counting().map(|process| process.inherited_bytes).sum();
    if inherited > 0 && counting().count() > 1 {
        lines.push(format!(
            "forked processes inherited {}, counted once: in the parent while it lives (--process PID counts it)",
            size(inherited)
        ));
    }
    lines.extend(pauses(about));
    if counting().any(|process| process.how.as_deref() == Some("attached")) {
        lines.push("attached: what was allocated before is not in it".to_owned());
    }
    lines
}

fn cost(about: &Recorded) -> Option<String> {
    let cost = &about.cost;
    let mut parts = Vec::new();
    if let Some(seconds) = cost.hook_seconds {
        let share = cost.hook_share.map(|share| format!(" ({} of the time)", percent(share)));
        parts.push(format!("{} in hooks{}", short_time(seconds), share.unwrap_or_default()));
    }
    parts.extend(cost.memory_bytes.filter(|bytes| *bytes > 0).map(|n| format!("{} of memory", bytes(n))));
    parts.extend(cost.ring_bytes.filter(|bytes| *bytes > 0).map(|n| format!("{} sent", bytes(n))));
    parts.extend(cost.n_events.map(|n| n_of(n, "event")));
    parts.extend(cost.file_bytes.map(|n| format!("file {}", bytes(n))));
    (!parts.is_empty()).then(|| format!("recording cost {}", parts.join(", ")))
}

/// Losses are no small print.
fn lost(about: &Recorded, style: &Style) -> String {
    let doubt = &about.doubt;
    let mut text = String::new();
    if doubt.lost_events > 0 {
        let what = format!("lost: {}: figures are too low\n", n_of(doubt.lost_events, "event"));
        text.push_str(&style.bad(&what));
    }
    if doubt.lost_frees > 0 {
        let what = format!("lost: {}: some blocks look alive and are not\n", n_of(doubt.lost_frees, "free"));
        text.push_str(&style.bad(&what));
    }
    if doubt.missed_frees > 0 {
        let what = format!("{} noticed only when the address came back\n", n_of(doubt.missed_frees, "free"));
        text.push_str(&style.dim(&what));
    }
    if doubt.reentered > 0 {
        text.push_str(
            &style.dim(&format!("{} inside hooks unrecorded\n", n_of(doubt.reentered, "allocation"))),
        );
    }
    for note in doubt.notes.iter().take(NOTES_MAX) {
        let what = format!("lost: {}\n", sanitize(note));
        text.push_str(&if about.is_complete { style.bad(&what) } else { style.dim(&what) });
    }
    let more = doubt.notes.len().saturating_sub(NOTES_MAX);
    if more > 0 {
        text.push_str(&style.dim(&format!("lost: … and {more} more (--json)\n")));
    }
    text
}

/// Bytes that are no change.
pub(super) fn size(number: i64) -> String {
    bytes(number.max(0) as u64)
}

/// `419 MB`, `419 MB ±12 MB`.
pub(crate) fn estimated(estimate: &Estimate) -> String {
    size(estimate.bytes) + &error(estimate, " ")
}

/// `+419 MB ±12 MB`.
pub(super) fn estimated_change(estimate: &Estimate) -> String {
    bytes_signed(estimate.bytes) + &error(estimate, " ")
}

/// `±12 MB`, nothing where there is no error.
pub(super) fn error(estimate: &Estimate, before: &str) -> String {
    if estimate.bytes_error > 0 { format!("{before}±{}", size(estimate.bytes_error)) } else { String::new() }
}

/// Blocks.
pub(super) fn count(number: i64) -> String {
    thousands(number.max(0) as u64)
}

/// `7.0 MB/s`.
pub(super) fn per_second(bytes_per_second: f64) -> String {
    format!("{}/s", bytes(bytes_per_second.max(0.0).round() as u64))
}

/// A moment of the recording.
pub(crate) fn at(seconds: f64) -> String {
    match seconds {
        _ if !seconds.is_finite() => "? s".to_owned(),
        _ if seconds < 600.0 => format!("{seconds:.1} s"),
        _ => {
            let whole = seconds.round() as u64;
            let (hours, minutes, seconds) = (whole / 3_600, whole / 60 % 60, whole % 60);
            if hours > 0 {
                format!("{hours}:{minutes:02}:{seconds:02}")
            } else {
                format!("{minutes}:{seconds:02}")
            }
        }
    }
}

/// What live memory is of: ` at 60.0 s`, ` at its peak at 12.0 s`, ` before exit`.
pub(crate) fn when(about: &Recorded) -> String {
    let end = at(about.window.to_seconds);
    match about.window.live.as_str() {
        "peak" => format!("at the high-water mark, {end}"),
        "fullest border" => format!("at the fullest moment of the window, {end}"),
        "before exit" => "before exit".to_owned(),
        "end" if about.is_being_written => format!("now, at {end}"),
        _ => format!("at {end}"),
    }
}

/// `30.0 s to 60.0 s`.
pub(super) fn window(about: &Recorded) -> String {
    format!("{} to {}", at(about.window.from_seconds), at(about.window.to_seconds))
}

/// `… and 1,203 more lines (--limit)`.
pub(super) fn hidden(n_rows: u64, n_shown: usize, what: &str, style: &Style) -> String {
    match n_rows.saturating_sub(n_shown as u64) {
        0 => String::new(),
        hidden => style.dim(&format!("… and {} (--limit)\n", n_of(hidden, &format!("more {what}")))),
    }
}
