//! Text of `top` and `peak`.

use super::recorded::{
    count, error, estimated, estimated_change, footer, hidden, per_second, size, unmatched, when, window,
};
use super::stacks;
use crate::place::label;
use crate::spark::trend;
use crate::table::{Align, Table};
use crate::{Style, bytes_signed, duration, percent};
use heapray_query::answer::{TopAnswer, TopRow};

/// The place that holds, grows or allocates most, and the table.
pub fn top(answer: &TopAnswer, style: &Style) -> String {
    let mut text = unmatched(&answer.recording, style) + &first_line(answer, style) + "\n";
    let is_peak = answer.process.is_some();
    let mut table = Table::new(&[
        ("size", Align::Right),
        ("±", Align::Right),
        ("%", Align::Right),
        ("growth", Align::Right),
        ("rate", Align::Right),
        ("count", Align::Right),
        ("trend", Align::Left),
        (heading(&answer.by), Align::Left),
    ]);
    for row in &answer.rows {
        let of_window = |text: String| if is_peak { String::new() } else { text };
        table.row(vec![
            size(row.live.bytes),
            error(&row.live, ""),
            percent(row.share),
            of_window(bytes_signed(row.growth.bytes)),
            of_window(per_second(row.bytes_per_second)),
            count(row.live.count),
            of_window(trend(&row.trend)),
            label(&row.place),
        ]);
    }
    if answer.by == "stack" {
        text.push_str(&stacks::blocks(&table, answer.rows.iter().map(|row| row.stack.as_deref()), style));
    } else {
        text.push_str(&table.text(style));
    }
    text.push_str(&hidden(answer.n_rows, answer.rows.len(), &answer.by, style));
    text.push('\n');
    text.push_str(&style.dim(&explained(answer, is_peak)));
    text.push_str(&style.dim(&native_threads(answer)));
    text.push_str(&style.dim(&reserved(answer)));
    text + &footer(&answer.recording, style)
}

/// The heading of the last column.
pub(super) fn heading(by: &str) -> &'static str {
    match by {
        "function" => "function",
        "file" => "file",
        "stack" | "traceback" => "stack, innermost first",
        _ => "line",
    }
}

fn first_line(answer: &TopAnswer, style: &Style) -> String {
    let total = estimated(&answer.live);
    let is_of_live = !matches!(answer.sort.as_str(), "growth" | "rate");
    if answer.n_rows == 0 || (is_of_live && answer.live.count == 0) {
        return format!("nothing is live {}\n", when(&answer.recording));
    }
    let Some(row) = answer.rows.first() else {
        return format!("{total} live {}\n", when(&answer.recording));
    };
    let place = style.strong(&label(&row.place));
    match answer.sort.as_str() {
        "growth" if row.growth.bytes > 0 => growth_line(answer, row, &place),
        "growth" => format!("nothing grew; {total} live {}\n", when(&answer.recording)),
        "rate" => format!(
            "{place} allocates most: {}, {} of all\n",
            per_second(row.bytes_per_second),
            share(row.allocated.bytes, answer.allocated.bytes)
        ),
        "count" => format!(
            "{place} holds most blocks: {}, {} of the {} live {}\n",
            count(row.live.count),
            share(row.live.count, answer.live.count),
            count(answer.live.count),
            when(&answer.recording)
        ),
        _ => format!(
            "{place} holds most: {}, {} of the {total} live {}\n",
            estimated(&row.live),
            percent(row.share),
            when(&answer.recording)
        ),
    }
}

fn growth_line(answer: &TopAnswer, row: &TopRow, place: &str) -> String {
    let window = &answer.recording.window;
    // Where other places shrank, the whole may be less than its part.
    let all = if answer.growth.bytes >= row.growth.bytes {
        format!(", {} of all growth", share(row.growth.bytes, answer.growth.bytes))
    } else {
        String::new()
    };
    format!(
        "{place} grew most{}: {} in {}{all}\n",
        if row.growth.bytes <= row.growth.bytes_error { ", if any place did" } else { "" },
        estimated_change(&row.growth),
        duration(window.to_seconds - window.from_seconds)
    )
}

fn share(part: i64, all: i64) -> String {
    percent(if all > 0 { (part as f64 / all as f64).clamp(0.0, 1.0) } else { 0.0 })
}

/// Whose work a native thread does is not known: it is said what of the table that is.
fn native_threads(answer: &TopAnswer) -> String {
    match answer.native_threads.bytes {
        0 => String::new(),
        _ => format!(
            "{} by native threads, under the lines that started these, whoever they work for\n",
            estimated(&answer.native_threads)
        ),
    }
}

/// Who uses memory of an allocator inside a library is not known either.
fn reserved(answer: &TopAnswer) -> String {
    match answer.reserved.bytes {
        0 => String::new(),
        _ => format!(
            "{} in use of address space that allocators inside libraries reserved (jemalloc, mimalloc), under the lines at which \
             they did, whoever uses it\n",
            estimated(&answer.reserved)
        ),
    }
}

fn explained(answer: &TopAnswer, is_peak: bool) -> String {
    if is_peak {
        return match answer
            .process
            .and_then(|number| answer.recording.processes.iter().find(|p| p.number == number))
        {
            Some(process) if answer.recording.processes.iter().filter(|p| p.counts).count() > 1 => {
                format!(
                    "the peak of process {}, the highest (--process PID for another)\n",
                    process.pid.unwrap_or(0)
                )
            }
            _ => String::new(),
        };
    }
    let charge = if answer.charge == "own" { "" } else { "; each place with all that it called" };
    format!(
        "growth {}, rate and trend are of {}{charge}\n",
        estimated_change(&answer.growth),
        window(&answer.recording)
    )
}
