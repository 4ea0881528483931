//! Whole stacks under the rows of a table.

use crate::Style;
use crate::place::label;
use crate::table::Table;
use heapray_query::answer::PlaceRow;

/// Callers that are shown of a stack; the others are counted.
const CALLERS_MAX: usize = 24;

/// A table with the rest of each row's stack below it, the innermost first.
pub(super) fn blocks<'a>(
    table: &Table,
    stacks: impl Iterator<Item = Option<&'a [PlaceRow]>>,
    style: &Style,
) -> String {
    let text = table.text(style);
    let mut lines = text.lines();
    let mut out = lines.next().map(|heading| format!("{heading}\n")).unwrap_or_default();
    let indent = " ".repeat(table.last_column_at());
    for (line, stack) in lines.zip(stacks) {
        out.push_str(line);
        out.push('\n');
        let callers = stack.map(|stack| &stack[..stack.len().saturating_sub(1)]).unwrap_or_default();
        for caller in callers.iter().rev().take(CALLERS_MAX) {
            out.push_str(&format!("{indent}{}\n", style.dim(&label(caller))));
        }
        let more = callers.len().saturating_sub(CALLERS_MAX);
        if more > 0 {
            out.push_str(&format!("{indent}{}\n", style.dim(&format!("… {more} outer frames"))));
        }
    }
    out
}

/// `handle (app.py:9) < dispatch (flask/app.py:12) < …`: who called, the nearest first.
pub(super) fn callers(stack: &[PlaceRow], n_max: usize) -> String {
    let callers = &stack[..stack.len().saturating_sub(1)];
    let mut names: Vec<String> = callers.iter().rev().take(n_max).map(label).collect();
    if callers.len() > n_max {
        names.push("…".to_owned());
    }
    names.join(" < ")
}
