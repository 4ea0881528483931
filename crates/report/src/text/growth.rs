//! Text of `growth`.

use super::footer::{self, footer, n_of};
use crate::table::{Align, Table};
use crate::{Style, bytes_signed, duration, percent, rate, sanitize, thousands, thousands_signed};
use heapray_query::answer::{GrowthAnswer, HolderGrowth, RegionGrowth};

/// The sum, then holders, containers and types that grew.
pub fn growth(answer: &GrowthAnswer, style: &Style) -> String {
    let mut text = summary(answer, style);
    section(&mut text, "under these holders", holders(answer, style), style);
    section(&mut text, "in these containers", containers(answer, style), style);
    section(&mut text, "of these types", types(answer, style), style);
    for (what, region) in [("garbage that waits", &answer.garbage), ("lost references", &answer.lost)] {
        text.push_str(&self::region(what, region, style));
    }
    text.push('\n');
    text + &footer(&answer.after, &answer.coverage, style)
}

fn summary(answer: &GrowthAnswer, style: &Style) -> String {
    let mut line = format!("Python objects: {}", bytes_signed(answer.delta_bytes));
    if let Some(seconds) = answer.seconds {
        line.push_str(&format!(" in {}", duration(seconds)));
    }
    if let Some(per_hour) = answer.bytes_per_hour {
        line.push_str(&format!(" ({})", rate(per_hour)));
    }
    line = style.strong(&line);
    line.push_str(&format!(", {} born, {} died\n", thousands(answer.n_born), thousands(answer.n_died)));
    line
}

fn section(text: &mut String, title: &str, table: Table, style: &Style) {
    if !table.is_empty() {
        text.push_str(&format!("\n{}\n{}", style.strong(title), table.text(style)));
    }
}

fn holders(answer: &GrowthAnswer, style: &Style) -> Table {
    let mut table = Table::new(&[
        ("growth", Align::Right),
        ("share", Align::Right),
        ("objects", Align::Right),
        ("length", Align::Right),
        ("kind", Align::Left),
        ("holder", Align::Left),
    ]);
    for row in &answer.holders {
        table.row(vec![
            bytes_signed(row.delta_bytes),
            percent(row.share),
            thousands_signed(row.n_delta),
            lengths(row),
            sanitize(&row.kind),
            format!("{}  {}", sanitize(&row.holder), style.dim(&style.type_name(&row.type_name))),
        ]);
    }
    table
}

fn lengths(row: &HolderGrowth) -> String {
    match (row.n_before, row.n_after) {
        (Some(before), Some(after)) => format!("{} -> {}", thousands(before), thousands(after)),
        (None, Some(after)) => thousands(after),
        _ => String::new(),
    }
}

fn containers(answer: &GrowthAnswer, style: &Style) -> Table {
    let mut table = Table::new(&[
        ("length before", Align::Right),
        ("after", Align::Right),
        ("retained", Align::Right),
        ("type", Align::Left),
        ("container", Align::Left),
    ]);
    for row in &answer.containers {
        table.row(vec![
            thousands(row.n_before),
            thousands(row.n_after),
            bytes_signed(row.delta_bytes),
            style.type_name(&row.type_name),
            sanitize(&row.container),
        ]);
    }
    table
}

fn types(answer: &GrowthAnswer, style: &Style) -> Table {
    let mut table = Table::new(&[
        ("growth", Align::Right),
        ("count before", Align::Right),
        ("after", Align::Right),
        ("born", Align::Right),
        ("died", Align::Right),
        ("type", Align::Left),
    ]);
    for row in &answer.types {
        table.row(vec![
            bytes_signed(row.delta_bytes),
            thousands(row.n_before),
            thousands(row.n_after),
            thousands(row.n_born),
            thousands(row.n_died),
            style.type_name(&row.name),
        ]);
    }
    table
}

fn region(what: &str, region: &RegionGrowth, style: &Style) -> String {
    if region.n_after == 0 && region.n_before == 0 {
        return String::new();
    }
    let types = footer::types(&region.types, "+", style);
    let types = if types.is_empty() { types } else { format!(": {types}") };
    format!(
        "\n{what}: {} -> {}, {}{types}\n",
        thousands(region.n_before),
        n_of(region.n_after, "object"),
        bytes_signed(region.delta_bytes)
    )
}
