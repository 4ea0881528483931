//! Text of `temporary`.

use super::footer::n_of;
use super::recorded::{count, error, estimated, footer, hidden, per_second, size, unmatched};
use super::stacks;
use super::top::heading;
use crate::place::label;
use crate::table::{Align, Table};
use crate::{Style, duration, percent};
use heapray_query::answer::TemporaryAnswer;

/// Where allocations are in vain, most bytes first.
pub fn temporary(answer: &TemporaryAnswer, style: &Style) -> String {
    let mut text = unmatched(&answer.recording, style);
    text += &match answer.rows.first() {
        None if answer.n_rows > 0 => {
            format!("{} freed soon after it was allocated\n\n", estimated(&answer.temporary))
        }
        None => "nothing was freed soon after it was allocated\n".to_owned(),
        Some(row) => format!(
            "{} allocates most to free it soon after: {}, {}\n\n",
            style.strong(&label(&row.place)),
            estimated(&row.temporary),
            per_second(row.bytes_per_second)
        ),
    };
    let mut table = Table::new(&[
        ("temporary", Align::Right),
        ("±", Align::Right),
        ("rate", Align::Right),
        ("blocks", Align::Right),
        ("average", Align::Right),
        ("of its bytes", Align::Right),
        (heading(&answer.by), Align::Left),
    ]);
    for row in &answer.rows {
        table.row(vec![
            size(row.temporary.bytes),
            error(&row.temporary, ""),
            per_second(row.bytes_per_second),
            count(row.temporary.count),
            size(row.average_bytes),
            percent(row.share),
            label(&row.place),
        ]);
    }
    if answer.by == "stack" {
        text.push_str(&stacks::blocks(&table, answer.rows.iter().map(|row| row.stack.as_deref()), style));
    } else if !table.is_empty() {
        text.push_str(&table.text(style));
    }
    text.push_str(&hidden(answer.n_rows, answer.rows.len(), &answer.by, style));
    text.push('\n');
    text.push_str(&style.dim(&format!(
        "in all {} of {} allocated ({}); soon: within the slice of time that they were allocated in, {} at most\n",
        estimated(&answer.temporary),
        estimated(&answer.allocated),
        n_of(answer.temporary.count.max(0) as u64, "block"),
        duration(answer.slice_seconds)
    )));
    text + &footer(&answer.recording, style)
}
