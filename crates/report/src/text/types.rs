//! Text of `types`.

use super::footer::{footer, n_of};
use crate::table::{Align, Table};
use crate::{Style, bytes, thousands};
use heapray_query::answer::TypesAnswer;

/// A table of types under a line with the sums.
pub fn types(answer: &TypesAnswer, style: &Style) -> String {
    let mut text = format!(
        "{} of {}, {} in blocks (sys.getsizeof: {})\n\n",
        n_of(answer.n_objects, "object"),
        n_of(answer.n_types, "type"),
        bytes(answer.block_bytes),
        bytes(answer.shallow_bytes)
    );
    let mut table = Table::new(&[
        ("count", Align::Right),
        ("untracked", Align::Right),
        ("shallow", Align::Right),
        ("blocks", Align::Right),
        ("retained", Align::Right),
        ("type", Align::Left),
    ]);
    for line in &answer.types {
        table.row(vec![
            thousands(line.count),
            thousands(line.n_untracked),
            bytes(line.shallow_bytes),
            bytes(line.block_bytes),
            bytes(line.retained_bytes),
            style.type_name(&line.name),
        ]);
    }
    if !table.is_empty() {
        text.push_str(&table.text(style));
    }
    let hidden = answer.n_types.saturating_sub(answer.types.len() as u64);
    if hidden > 0 {
        text.push_str(&style.dim(&format!("… and {}\n", n_of(hidden, "more type"))));
    }
    text.push('\n');
    text + &footer(&answer.process, &answer.coverage, style)
}
