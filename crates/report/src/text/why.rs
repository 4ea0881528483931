//! Text of `why`: where to cut first, then trails, then what else there is to know.

use super::footer::{self, footer, n_of};
use super::trail::{object, objects};
use crate::table::{Align, Table};
use crate::{Style, bytes, percent, sanitize, thousands};
use heapray_query::answer::{Cut, Trail, TrailGroup, WhyAnswer};

/// What keeps it alive.
pub fn why(answer: &WhyAnswer, style: &Style) -> String {
    let mut text = verdict(answer, style);
    if answer.n_objects > 1 {
        text.push_str(&format!("      types   {}\n", footer::types(&answer.types, "", style)));
    }
    text.push_str(&trails(answer, style));
    if answer.n_objects > 1 {
        text.push_str(&groups("trails of all by form", &answer.groups, style));
    } else if !answer.referrers.is_empty() {
        text.push_str(&groups("referrers by form", &answer.referrers, style));
    }
    text.push('\n');
    text + &footer(&answer.process, &answer.coverage, style)
}

/// `HELD  data_pipeline.buffer  (module global, list, 99,812 items)  cut it and 768 MB go`.
fn verdict(answer: &WhyAnswer, style: &Style) -> String {
    let subject = if answer.n_objects == 1 {
        object(&answer.object, style)
    } else {
        format!("{} ({})", n_of(answer.n_objects, "object"), sanitize(&answer.subject))
    };
    let mut text = match answer.outermost_cut.as_ref().or(answer.nearest_cut.as_ref()) {
        Some(cut) => format!("{}  {}\n", style.bad("HELD"), cut_line(cut, style)),
        None => unheld(answer, style),
    };
    let retains = bytes(answer.retained_bytes);
    let retains =
        if answer.n_objects == 1 { format!("retains {retains}") } else { format!("retain {retains}") };
    text.push_str(&format!("      what    {subject}, {retains}\n"));
    if let (Some(nearest), Some(outermost)) = (&answer.nearest_cut, &answer.outermost_cut)
        && nearest.reference != outermost.reference
    {
        text.push_str(&format!(
            "      or cut  {} and {} go\n",
            sanitize(&nearest.reference),
            bytes(nearest.frees_bytes)
        ));
    }
    text
}

fn cut_line(cut: &Cut, style: &Style) -> String {
    let mut about = vec![sanitize(&cut.holder), style.type_name(&cut.type_name)];
    about.extend(cut.length.map(|length| format!("{} items", thousands(length))));
    format!(
        "{}  ({})  cut it and {} go ({})",
        style.strong(&sanitize(&cut.reference)),
        about.join(", "),
        bytes(cut.frees_bytes),
        percent(cut.share)
    )
}

/// No single reference holds all that was asked about: nothing does, or several do.
fn unheld(answer: &WhyAnswer, style: &Style) -> String {
    match answer.trails.first().map(|trail| trail.root.as_str()) {
        None => format!("{}  nothing holds it\n", style.strong("FREE")),
        Some("garbage") => {
            format!("{}  no root reaches it: it waits for the collector\n", style.strong("GARBAGE"))
        }
        Some("lost") => format!(
            "{}  its reference count says that something holds it, but nothing refers to it: C code lost a reference\n",
            style.bad("LOST")
        ),
        Some(_) if answer.n_objects > 1 => several(answer, style),
        Some(_) if answer.trails.len() > 1 || answer.more_trails => format!(
            "{}  from several places: no single cut frees it, each of the trails below must be cut\n",
            style.bad("HELD")
        ),
        Some(_) => format!("{}  by a root itself\n", style.bad("HELD")),
    }
}

/// Many objects in several places: the place of most of them.
fn several(answer: &WhyAnswer, style: &Style) -> String {
    let Some(group) = answer.groups.first() else {
        return format!("{}  from several places\n", style.bad("HELD"));
    };
    let what = match &group.cut {
        Some(cut) => cut_line(cut, style),
        None => style.strong(&sanitize(&group.shape)),
    };
    let share = percent(group.share);
    format!("{}  {what}, that is {share} of them; see the other forms below\n", style.bad("HELD"))
}

fn trails(answer: &WhyAnswer, style: &Style) -> String {
    let mut text = String::new();
    if answer.n_objects > 1
        && let Some(group) = answer.groups.first()
    {
        return trail(&group.example, "trail", style);
    }
    for (i, trail) in answer.trails.iter().enumerate() {
        let label = if i == 0 { "trail" } else { "and" };
        text.push_str(&self::trail(trail, label, style));
    }
    match (answer.trails.len(), answer.more_trails) {
        (_, true) => text.push_str("      …       more independent trails exist (--limit)\n"),
        (2.., false) => {
            text.push_str("      note    the trails share no holder: cutting one leaves the others\n")
        }
        _ => {}
    }
    text
}

fn trail(trail: &Trail, label: &str, style: &Style) -> String {
    format!(
        "      {label:<6}  {}  {}\n{}",
        style.strong(&sanitize(&trail.expression)),
        style.dim(&format!("({}, {})", sanitize(&trail.root), sanitize(&trail.holder))),
        objects(trail, "              ", style)
    )
}

fn groups(title: &str, groups: &[TrailGroup], style: &Style) -> String {
    let mut table = Table::new(&[
        ("count", Align::Right),
        ("share", Align::Right),
        ("retained", Align::Right),
        ("form", Align::Left),
    ]);
    for group in groups {
        table.row(vec![
            thousands(group.count),
            percent(group.share),
            bytes(group.retained_bytes),
            sanitize(&group.shape),
        ]);
    }
    if table.is_empty() {
        return String::new();
    }
    format!("\n{}\n{}", style.strong(title), table.text(style))
}
