//! Text of `cycles`.

use super::footer::{footer, n_of};
use crate::table::{Align, Table};
use crate::{Style, bytes, sanitize, thousands};
use heapray_query::answer::{CycleRow, CyclesAnswer};

/// What waits, what can never go, what is held.
pub fn cycles(answer: &CyclesAnswer, style: &Style) -> String {
    let mut text = first_line(answer, style);
    text.push_str(&section("garbage that can never be collected", &answer.uncollectable, style));
    text.push_str(&section("garbage that waits for the collector", &answer.garbage, style));
    text.push_str(&section("cycles that are held from outside", &answer.retained, style));
    text.push('\n');
    text + &footer(&answer.process, &answer.coverage, style)
}

fn first_line(answer: &CyclesAnswer, style: &Style) -> String {
    if answer.n_garbage == 0 {
        return "no garbage: a root reaches every object\n".to_owned();
    }
    let mut line = style.strong(&format!(
        "{} of garbage, {}",
        n_of(answer.n_garbage, "object"),
        bytes(answer.garbage_bytes)
    ));
    if let Some(reason) = &answer.waits_because {
        line.push_str(&format!(", waits because {}", sanitize(reason)));
    }
    line + "\n"
}

fn section(title: &str, rows: &[CycleRow], style: &Style) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("frees", Align::Right),
        ("cycles", Align::Right),
        ("objects", Align::Right),
        ("object", Align::Left),
        ("cycle", Align::Left),
    ]);
    for row in rows {
        table.row(vec![
            bytes(row.frees_bytes),
            thousands(row.n_cycles),
            thousands(row.n_objects),
            sanitize(&row.object),
            cycle(row, style),
        ]);
    }
    format!("\n{}\n{}", style.strong(title), table.text(style))
}

/// One way round, where it is entered, and what is special.
fn cycle(row: &CycleRow, style: &Style) -> String {
    let types: Vec<_> = row.types.iter().take(3).map(|t| style.type_name(&t.name)).collect();
    let mut text = if row.around.is_empty() { types.join(", ") } else { sanitize(&row.around) };
    text.extend(row.entry.as_ref().map(|entry| format!("  entered at {}", sanitize(entry))));
    for (count, what) in [
        (row.n_finalizers, "with a finalizer"),
        (row.n_untraversed, "hidden from the collector"),
        (row.n_frozen, "frozen"),
    ] {
        if count > 0 {
            text.push_str(&style.dim(&format!("  ({} {what})", thousands(count))));
        }
    }
    text
}
