//! Text of `leaks`: the culprit in the first line, the evidence below it, the doubt last.

use super::footer::{self, seen};
use crate::{Style, bytes, duration, percent, rate, rate_interval, sanitize, thousands};
use heapray_query::answer::{Figures, Finding, LeaksAnswer, Measured};

/// The verdict.
pub fn leaks(answer: &LeaksAnswer, style: &Style) -> String {
    let mut text = String::new();
    if answer.findings.is_empty() {
        text.push_str(&none(answer, style));
    }
    for finding in &answer.findings {
        text.push_str(&self::finding(finding, style));
        text.push('\n');
    }
    text.push_str(&measured(answer, style));
    text.push_str(&style.dim(&seen(&answer.coverage)));
    text.push('\n');
    for lost in &answer.coverage.lost {
        text.push_str(&style.dim(&format!("lost: {}\n", sanitize(lost))));
    }
    text
}

/// `LEAK  data_pipeline.buffer  (reference, module data_pipeline)  holds 96 % of the growth` and its evidence.
fn finding(finding: &Finding, style: &Style) -> String {
    let verb = if finding.kind == "reference" { "holds" } else { "is" };
    let mut text = format!(
        "{}  {}  ({})  {verb} {} of the growth\n",
        style.bad("LEAK"),
        style.strong(&sanitize(&finding.holder)),
        about(finding),
        percent(finding.share)
    );
    text.push_str(&format!("      {}\n", rates(finding)));
    let gained = footer::types(&finding.types, "+", style);
    row(&mut text, "gained", &gained);
    if let Some((before, after)) = finding.length {
        row(&mut text, "length", &format!("{} -> {}", thousands(before), thousands(after)));
    }
    for (i, step) in finding.trail.iter().enumerate() {
        row(&mut text, if i == 0 { "trail" } else { "" }, &sanitize(step));
    }
    row(&mut text, "source", &finding.source.as_deref().map(sanitize).unwrap_or_default());
    for (i, site) in finding.allocated_at.iter().enumerate() {
        row(&mut text, if i == 0 { "made at" } else { "" }, &sanitize(site));
    }
    row(&mut text, "check", &sanitize(&finding.advice));
    row(&mut text, "sure", &format!("{} ({})", percent(finding.confidence), certainty(finding.confidence)));
    text
}

/// The kind and the root, the root only where it says something new.
fn about(finding: &Finding) -> String {
    if finding.root.is_empty() {
        return sanitize(&finding.kind);
    }
    format!("{}, {}", sanitize(&finding.kind), sanitize(&finding.root))
}

fn rates(finding: &Finding) -> String {
    let bytes = rate_interval(finding.bytes_per_hour, finding.interval);
    if finding.objects_per_hour >= 1.0 {
        return format!("{bytes}, {} objects/h", thousands(finding.objects_per_hour as u64));
    }
    bytes
}

fn certainty(confidence: f64) -> &'static str {
    match confidence {
        c if c >= 0.9 => "grew steadily in every window",
        c if c >= 0.6 => "likely; more snapshots would tell",
        _ => "weak; take more snapshots, further apart",
    }
}

/// One labelled line; none without text.
fn row(text: &mut String, label: &str, value: &str) {
    if !value.is_empty() {
        text.push_str(&format!("      {label:<8}{value}\n"));
    }
}

fn none(answer: &LeaksAnswer, style: &Style) -> String {
    let process = &answer.process;
    let verdict = if process.undecided {
        "no leak found yet: something grows, but slower and slower or by chance; ask again later"
    } else {
        "no leak found"
    };
    format!("{}: {}\n", style.good(verdict), window(process))
}

/// `3 snapshots over 60 s, RSS 512 MB -> 533 MB (+1.25 GB/h), Python objects 400 MB -> 420 MB (+1.2 GB/h)`.
fn window(process: &Measured) -> String {
    let mut parts =
        vec![format!("{} snapshots over {}", thousands(process.n_snapshots), duration(process.seconds))];
    if let (Some(first), Some(last)) = (process.figures.first(), process.figures.last()) {
        let held = |figures: &Figures| {
            Some(figures.held_bytes.saturating_add(figures.garbage_bytes).saturating_add(figures.lost_bytes))
        };
        for (what, from, to, per_hour) in [
            ("RSS", first.rss_bytes, last.rss_bytes, process.rss_bytes_per_hour),
            ("Python objects", held(first), held(last), process.python_bytes_per_hour),
        ] {
            parts.extend(change(what, from, to, per_hour));
        }
    }
    parts.join(", ")
}

fn change(what: &str, from: Option<i64>, to: Option<i64>, per_hour: Option<f64>) -> Option<String> {
    let size = |number: i64| bytes(number.max(0) as u64);
    let rate = per_hour.map(|per_hour| format!(" ({})", rate(per_hour))).unwrap_or_default();
    Some(format!("{what} {} -> {}{rate}", size(from?), size(to?)))
}

fn measured(answer: &LeaksAnswer, style: &Style) -> String {
    let mut text = String::new();
    if !answer.findings.is_empty() {
        text.push_str(&format!("measured: {}\n", window(&answer.process)));
    }
    text.push_str(&format!("unexplained growth: {}\n", rate(answer.unexplained_bytes_per_hour)));
    for (i, note) in answer.process.dismissed.iter().enumerate() {
        let label = if i == 0 { "no leak:" } else { "        " };
        text.push_str(&style.dim(&format!("{label} {}\n", sanitize(note))));
    }
    text.push_str(&style.dim(&footer::process(&answer.process.process)));
    text.push('\n');
    text
}
