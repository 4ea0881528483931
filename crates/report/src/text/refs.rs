//! Text of `refs`.

use super::footer::{footer, length, n_of};
use super::trail::object;
use crate::table::{Align, Table};
use crate::{Style, bytes, sanitize, thousands};
use heapray_query::answer::{RefRow, RefsAnswer};

/// The object, then a table of what it refers to.
pub fn refs(answer: &RefsAnswer, style: &Style) -> String {
    let mut text = format!(
        "{}: {}, retains {}\n",
        style.strong(&object(&answer.object, style)),
        n_of(answer.n_references, "reference"),
        bytes(answer.object.retained_bytes)
    );
    if let Some(trail) = &answer.object.trail {
        text.push_str(&format!("at {}\n", sanitize(trail)));
    }
    let mut table = Table::new(&[
        ("reference", Align::Left),
        ("count", Align::Right),
        ("retained", Align::Right),
        ("blocks", Align::Right),
        ("length", Align::Right),
        ("strength", Align::Left),
        ("object", Align::Left),
        ("type", Align::Left),
    ]);
    for row in &answer.references {
        table.row(cells(row, style));
    }
    if !table.is_empty() {
        text.push('\n');
        text.push_str(&table.text(style));
    }
    let listed: u64 = answer.references.iter().map(|row| row.count).sum();
    if answer.n_references > listed {
        let hidden = n_of(answer.n_references - listed, "more reference");
        text.push_str(&style.dim(&format!("… and {hidden} (--limit)\n")));
    }
    text.push('\n');
    text + &footer(&answer.process, &answer.coverage, style)
}

fn cells(row: &RefRow, style: &Style) -> Vec<String> {
    let strength = if row.strength == "owned" { String::new() } else { sanitize(&row.strength) };
    let name = row.object.name.as_deref().map(|name| format!(" {}", sanitize(name))).unwrap_or_default();
    vec![
        sanitize(&row.label),
        if row.count == 1 { String::new() } else { format!("×{}", thousands(row.count)) },
        bytes(row.object.retained_bytes),
        bytes(row.block_bytes),
        length(row.object.length),
        strength,
        sanitize(&row.object.object),
        style.type_name(&row.object.type_name) + &name,
    ]
}
