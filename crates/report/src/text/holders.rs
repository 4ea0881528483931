//! Text of `holders`.

use super::footer::{footer, length};
use crate::table::{Align, Table};
use crate::{Style, bytes, percent, sanitize};
use heapray_query::answer::{HolderRow, HoldersAnswer};

/// A table of holders.
pub fn holders(answer: &HoldersAnswer, style: &Style) -> String {
    let mut text = first_line(answer, style);
    let mut table = Table::new(&[
        ("retained", Align::Right),
        ("share", Align::Right),
        ("length", Align::Right),
        ("kind", Align::Left),
        ("type", Align::Left),
        ("holder", Align::Left),
    ]);
    for row in &answer.holders {
        table.row(vec![
            bytes(row.retained_bytes),
            percent(row.share),
            length(row.length),
            sanitize(&row.kind),
            style.type_name(&row.type_name),
            holder(row, style),
        ]);
    }
    if !table.is_empty() {
        text.push_str(&table.text(style));
    }
    text.push('\n');
    text + &footer(&answer.process, &answer.coverage, style)
}

fn first_line(answer: &HoldersAnswer, style: &Style) -> String {
    match answer.holders.first() {
        None => "no holder retains anything worth naming\n".to_owned(),
        Some(row) => format!(
            "{} retains most: {}, {} of all Python objects ({})\n\n",
            style.strong(&sanitize(&row.holder)),
            bytes(row.retained_bytes),
            percent(row.share),
            bytes(answer.block_bytes)
        ),
    }
}

/// The holder, and where most of it lies.
fn holder(row: &HolderRow, style: &Style) -> String {
    let mut text = sanitize(&row.holder);
    if let Some(inner) = &row.accumulates {
        let place = format!("  (mostly {}, {})", sanitize(&inner.place), bytes(inner.retained_bytes));
        text.push_str(&style.dim(&place));
    } else if let Some(element) = row.elements.first() {
        text.push_str(&style.dim(&format!("  (of {})", style.type_name(&element.name))));
    }
    text
}
