//! Text of `leaks` over a recording.

use super::footer::n_of;
use super::recorded::{count, estimated, estimated_change, footer, hidden, size, unmatched, window};
use super::stacks::callers;
use super::top::heading;
use crate::place::label;
use crate::spark::trend;
use crate::table::{Align, Table};
use crate::{Style, duration, percent, rate};
use heapray_query::answer::{SurvivorRow, SurvivorsAnswer};

/// Leaks that are told at length.
const LEAKS_MAX: usize = 5;
/// Callers of a leak.
const CALLERS: usize = 4;

/// The leaks, then all that survived.
pub fn survivors(answer: &SurvivorsAnswer, style: &Style) -> String {
    let mut text = unmatched(&answer.recording, style);
    let leaks = answer.rows.iter().filter(|row| row.is_leak);
    for row in leaks.take(LEAKS_MAX) {
        text.push_str(&leak(row, answer, style));
        text.push('\n');
    }
    if answer.n_leaks == 0 {
        text.push_str(&none(answer, style));
    }
    text.push_str(&format!(
        "{} in {} survived the window, of {} allocated in it; live memory changed by {}\n\n",
        style.strong(&estimated(&answer.survivors)),
        n_of(answer.survivors.count.max(0) as u64, "block"),
        estimated(&answer.allocated),
        estimated_change(&answer.growth)
    ));
    text.push_str(&table(answer).text(style));
    text.push_str(&hidden(answer.n_rows, answer.rows.len(), &answer.by, style));
    text.push('\n');
    text.push_str(&style.dim(&format!("the window is {} (--from, --to)\n", window(&answer.recording))));
    text + &footer(&answer.recording, style)
}

fn none(answer: &SurvivorsAnswer, style: &Style) -> String {
    let verdict = if answer.is_decided {
        "no leak found: no place grew in every part of the window, or in several without falling"
    } else {
        "the window is too short to tell a leak from a warm-up: what follows survived, no more"
    };
    format!("{}\n", style.good(verdict))
}

/// `LEAK  normalize_vectors (data_pipeline.py:17)  grew by 210 MB in 30 s` and the evidence.
fn leak(row: &SurvivorRow, answer: &SurvivorsAnswer, style: &Style) -> String {
    let seconds = answer.recording.window.to_seconds - answer.recording.window.from_seconds;
    let mut text = format!(
        "{}  {}  {} in {} ({}), {} of all that survived\n",
        style.bad("LEAK"),
        style.strong(&label(&row.place)),
        estimated_change(&row.growth),
        duration(seconds),
        rate(row.bytes_per_hour),
        percent(row.share)
    );
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("      {name:<8}{value}\n"));
        }
    };
    let how = if row.pattern == "steps" {
        "in several parts of the window, and never fell"
    } else {
        "in every part of the window"
    };
    line("grew", format!("{}  {how}", trend(&row.trend)));
    line(
        "kept",
        format!(
            "{} ({}), {} of the bytes allocated here",
            size(row.survivors.bytes),
            n_of(row.survivors.count.max(0) as u64, "block"),
            percent(row.kept)
        ),
    );
    line("called", callers(&row.stack, CALLERS));
    text
}

fn table(answer: &SurvivorsAnswer) -> Table {
    let mut table = Table::new(&[
        ("survived", Align::Right),
        ("±", Align::Right),
        ("%", Align::Right),
        ("count", Align::Right),
        ("kept", Align::Right),
        ("growth", Align::Right),
        ("trend", Align::Left),
        ("pattern", Align::Left),
        (heading(&answer.by), Align::Left),
    ]);
    for row in &answer.rows {
        table.row(vec![
            size(row.survivors.bytes),
            super::recorded::error(&row.survivors, ""),
            percent(row.share),
            count(row.survivors.count),
            percent(row.kept),
            crate::bytes_signed(row.growth.bytes),
            trend(&row.trend),
            row.pattern.clone(),
            label(&row.place),
        ]);
    }
    table
}
