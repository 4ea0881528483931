//! Text of `find`.

use super::footer::{footer, length, n_of};
use crate::table::{Align, Table};
use crate::{Style, bytes, sanitize};
use heapray_query::answer::FindAnswer;

/// How many match, and the first of them.
pub fn find(answer: &FindAnswer, style: &Style) -> String {
    let matches = if answer.n_matches == 1 { "matches" } else { "match" };
    let mut text = format!(
        "{} {matches} {}, {} in blocks\n",
        style.strong(&n_of(answer.n_matches, "object")),
        sanitize(&answer.expression),
        bytes(answer.block_bytes)
    );
    let mut table = Table::new(&[
        ("object", Align::Left),
        ("length", Align::Right),
        ("shallow", Align::Right),
        ("retained", Align::Right),
        ("type", Align::Left),
        ("where", Align::Left),
    ]);
    for row in &answer.objects {
        table.row(vec![
            sanitize(&row.object),
            length(row.length),
            bytes(row.shallow_bytes),
            bytes(row.retained_bytes),
            style.type_name(&row.type_name),
            row.trail.as_deref().map_or_else(|| "nothing reaches it".to_owned(), sanitize),
        ]);
    }
    if !table.is_empty() {
        text.push('\n');
        text.push_str(&table.text(style));
    }
    let hidden = answer.n_matches.saturating_sub(answer.objects.len() as u64);
    if hidden > 0 {
        text.push_str(&style.dim(&format!("… and {} (--limit)\n", n_of(hidden, "more object"))));
    }
    text.push('\n');
    text + &footer(&answer.process, &answer.coverage, style)
}
