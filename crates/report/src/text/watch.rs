//! Text of `watch`: one block a tick.

use super::recorded::{at, count, error, estimated, footer, size, unmatched};
use super::stacks;
use super::top::heading;
use crate::place::label;
use crate::table::{Align, Table};
use crate::{Style, bytes_signed, thousands_signed};
use heapray_query::answer::{Estimate, WatchAnswer};

/// What changed since the tick before.
pub fn watch(answer: &WatchAnswer, style: &Style) -> String {
    let since = if answer.tick == 0 {
        "the first look: everything is new".to_owned()
    } else {
        format!(
            "{} and {} blocks in {}",
            bytes_signed(answer.size_diff),
            thousands_signed(answer.count_diff),
            at(answer.seconds)
        )
    };
    let mut text = if answer.tick == 0 { unmatched(&answer.recording, style) } else { String::new() };
    text += &format!(
        "{}  {} live, {since}\n",
        style.strong(&at(answer.recording.window.to_seconds)),
        estimated(&answer.live)
    );
    let mut table = Table::new(&[
        ("size", Align::Right),
        ("±", Align::Right),
        ("size diff", Align::Right),
        ("count", Align::Right),
        ("count diff", Align::Right),
        ("average", Align::Right),
        (heading(&answer.by), Align::Left),
    ]);
    for row in &answer.rows {
        let size_error = Estimate { bytes_error: row.size_error, ..Estimate::default() };
        table.row(vec![
            size(row.size),
            error(&size_error, ""),
            bytes_signed(row.size_diff),
            count(row.count),
            thousands_signed(row.count_diff),
            size(row.average),
            label(&row.place),
        ]);
    }
    if answer.by == "traceback" {
        text.push_str(&stacks::blocks(&table, answer.rows.iter().map(|row| row.stack.as_deref()), style));
    } else if !table.is_empty() {
        text.push_str(&table.text(style));
    }
    let doubt = &answer.recording.doubt;
    if answer.tick > 0 && doubt.lost_events + doubt.lost_frees > 0 {
        let lost = format!("lost: {} events, {} frees\n", doubt.lost_events, doubt.lost_frees);
        text.push_str(&style.bad(&lost));
    }
    if answer.tick == 0 {
        text.push('\n');
        text.push_str(&footer(&answer.recording, style));
    }
    text.push('\n');
    text
}
