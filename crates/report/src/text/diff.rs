//! Text of `diff`.

use super::recorded::{
    count, doubt, error, estimated, estimated_change, hidden, size, unmatched, what, when,
};
use super::stacks;
use super::top::heading;
use crate::place::label;
use crate::table::{Align, Table};
use crate::{Style, bytes_signed, thousands_signed};
use heapray_query::answer::{DiffAnswer, Recorded};

/// The sum, and the places with the largest differences.
pub fn diff(answer: &DiffAnswer, style: &Style) -> String {
    let mut text = [&answer.before, &answer.after].map(|about| unmatched(about, style)).concat();
    text += &format!(
        "{}: {} -> {}, {}\n",
        name(&answer.what),
        estimated(&answer.total_before),
        estimated(&answer.total_after),
        style.strong(&estimated_change(&answer.delta))
    );
    text.push('\n');
    let mut table = Table::new(&[
        ("change", Align::Right),
        ("±", Align::Right),
        ("before", Align::Right),
        ("after", Align::Right),
        ("count", Align::Right),
        ("change", Align::Right),
        (heading(&answer.by), Align::Left),
    ]);
    for row in &answer.rows {
        let state = match (row.before.count, row.after.count) {
            (0, _) => "  new",
            (_, 0) => "  gone",
            _ => "",
        };
        table.row(vec![
            bytes_signed(row.delta.bytes),
            error(&row.delta, ""),
            size(row.before.bytes),
            size(row.after.bytes),
            count(row.after.count),
            thousands_signed(row.delta.count),
            format!("{}{}", label(&row.place), style.dim(state)),
        ]);
    }
    if answer.by == "stack" {
        text.push_str(&stacks::blocks(&table, answer.rows.iter().map(|row| row.stack.as_deref()), style));
    } else if answer.n_rows == 0 {
        text.push_str("no place differs\n");
    } else {
        text.push_str(&table.text(style));
    }
    text.push_str(&hidden(answer.n_rows, answer.rows.len(), &answer.by, style));
    for (name, about) in [("before", &answer.before), ("after", &answer.after)] {
        text.push_str(&style.dim(&format!("\n{name}: {}", moment(about))));
        text.push('\n');
        text.push_str(&doubt(about, style));
    }
    text
}

fn name(what: &str) -> &'static str {
    match what {
        "peak" => "live at the high-water mark",
        "growth" => "growth",
        "temporary" => "freed soon after",
        "allocated" => "allocated",
        _ => "live",
    }
}

fn moment(about: &Recorded) -> String {
    format!("{}, {}", what(about), when(about))
}
