//! Text of `stats`.

use super::footer::n_of;
use super::recorded::{at, count, error, estimated, footer, per_second, size, unmatched, when};
use crate::table::{Align, Table};
use crate::{Style, duration, percent, sanitize, thousands};
use heapray_query::answer::{RecordedProcess, SizeRow, StatsAnswer};

/// Width of the longest bar.
const BAR: usize = 40;

/// Totals, then allocators, sizes, processes.
pub fn stats(answer: &StatsAnswer, style: &Style) -> String {
    let window = &answer.recording.window;
    let mut text = unmatched(&answer.recording, style);
    text += &format!(
        "{} in {} allocated in {} ({}), {} of it live {}\n",
        style.strong(&estimated(&answer.allocated)),
        n_of(answer.allocated.count.max(0) as u64, "block"),
        duration(window.to_seconds - window.from_seconds),
        per_second(answer.bytes_per_second),
        style.strong(&estimated(&answer.live)),
        when(&answer.recording)
    );
    text.push_str(&format!(
        "{} in {} freed in the second (or slice) that they were allocated in; {}, {}\n",
        estimated(&answer.temporary),
        n_of(answer.temporary.count.max(0) as u64, "block"),
        n_of(answer.n_sites, "site"),
        n_of(answer.n_stacks, "stack")
    ));
    section(&mut text, "by allocator", allocators(answer), style);
    section(&mut text, "by size, all blocks of the recording", sizes(&answer.sizes), style);
    let (shown, n_others) = told_apart(&answer.recording.processes);
    section(&mut text, "by process", processes(&shown), style);
    text.push_str(&others(n_others));
    text.push('\n');
    text + &footer(&answer.recording, style)
}

fn section(text: &mut String, title: &str, table: Table, style: &Style) {
    if !table.is_empty() {
        text.push_str(&format!("\n{}\n{}", style.strong(title), table.text(style)));
    }
}

fn allocators(answer: &StatsAnswer) -> Table {
    let mut table = Table::new(&[
        ("allocated", Align::Right),
        ("±", Align::Right),
        ("%", Align::Right),
        ("blocks", Align::Right),
        ("live", Align::Right),
        ("blocks", Align::Right),
        ("allocator", Align::Left),
    ]);
    for row in &answer.allocators {
        table.row(vec![
            size(row.allocated.bytes),
            error(&row.allocated, ""),
            percent(row.share),
            count(row.allocated.count),
            size(row.live.bytes),
            count(row.live.count),
            sanitize(&row.allocator),
        ]);
    }
    table
}

fn sizes(rows: &[SizeRow]) -> Table {
    let most = rows.iter().map(|row| row.share).fold(0.0, f64::max);
    let mut table = Table::new(&[
        ("from", Align::Right),
        ("below", Align::Right),
        ("blocks", Align::Right),
        ("%", Align::Right),
        ("", Align::Left),
    ]);
    for row in rows {
        let bar = if most > 0.0 { (row.share / most * BAR as f64).round() as usize } else { 0 };
        table.row(vec![
            binary(row.from_bytes),
            binary(row.to_bytes),
            count(row.count),
            percent(row.share),
            "█".repeat(bar),
        ]);
    }
    table
}

/// Bounds of buckets are powers of two, so they are shown in binary units.
fn binary(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut step = 0;
    let mut value = bytes;
    while value >= 1_024 && step + 1 < UNITS.len() {
        value /= 1_024;
        step += 1;
    }
    format!("{} {}", thousands(value), UNITS[step])
}

fn processes(shown: &[&RecordedProcess]) -> Table {
    let mut table = Table::new(&[
        ("process", Align::Right),
        ("recorded", Align::Left),
        ("end", Align::Left),
        ("peak", Align::Right),
        ("at", Align::Right),
        ("inherited", Align::Right),
        ("command", Align::Left),
    ]);
    for row in shown {
        let to = row.to_seconds.map_or_else(|| "…".to_owned(), at);
        table.row(vec![
            row.pid.map_or_else(|| format!("#{}", row.number), |pid| pid.to_string()),
            format!("{} to {to}", at(row.from_seconds)),
            end(row.end.as_deref(), row.end_code),
            row.peak_bytes.map(size).unwrap_or_default(),
            row.peak_seconds.map(at).unwrap_or_default(),
            if row.inherited_bytes > 0 { size(row.inherited_bytes) } else { String::new() },
            row.command.as_deref().map(sanitize).unwrap_or_default(),
        ]);
    }
    table
}

/// Up to this many processes are all told apart.
const ALL_SHOWN: usize = 8;

/// The processes to be told apart, and how many are not: a shell script that starts Python runs dozens of programs.
pub(super) fn told_apart(processes: &[RecordedProcess]) -> (Vec<&RecordedProcess>, usize) {
    let has_python = |process: &&RecordedProcess| process.python.is_some() || process.to_seconds.is_none();
    let shown: Vec<_> = processes.iter().filter(has_python).collect();
    match processes.len() <= ALL_SHOWN || shown.is_empty() {
        true => (processes.iter().collect(), 0),
        false => (shown.clone(), processes.len() - shown.len()),
    }
}

/// A line for processes that are not told apart.
pub(super) fn others(n: usize) -> String {
    match n {
        0 => String::new(),
        1 => "and 1 process that ran no Python (--json tells of it)\n".to_owned(),
        n => format!("and {} processes that ran no Python (--json tells of all)\n", thousands(n as u64)),
    }
}

/// `exited 0`, `killed 9`, `detached`.
pub(super) fn end(reason: Option<&str>, code: Option<i32>) -> String {
    match (reason, code) {
        (None, _) => "runs".to_owned(),
        (Some(reason @ ("exited" | "killed")), Some(code)) => format!("{reason} {code}"),
        (Some(reason), _) => sanitize(reason),
    }
}
