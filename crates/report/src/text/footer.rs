//! The doubt at the end of every answer: whose snapshot it is, what it explains, what it left out; and the
//! phrases that several answers share.

use crate::{Style, bytes, percent, sanitize, thousands};
use heapray_query::answer::{Coverage, Process, TypeShare};

/// `process 4242, Python 3.12.1, gunicorn …`.
pub(super) fn process(process: &Process) -> String {
    let mut parts = vec![match process.pid {
        Some(pid) => format!("process {pid}"),
        None => "unknown process".to_owned(),
    }];
    parts.extend(process.python.as_ref().map(|python| format!("Python {}", sanitize(python))));
    parts.extend(process.rss_bytes.map(|rss| format!("RSS {}", bytes(rss.max(0) as u64))));
    parts.extend(process.command.as_ref().map(|command| sanitize(command)));
    parts.join(", ")
}

/// The last lines of an answer.
pub(super) fn footer(about: &Process, coverage: &Coverage, style: &Style) -> String {
    let mut lines = vec![process(about), seen(coverage)];
    lines.extend(coverage.lost.iter().map(|lost| format!("lost: {}", sanitize(lost))));
    lines.iter().map(|line| style.dim(line) + "\n").collect()
}

/// `2,416,068 objects read, 99.8 % of references explained, skipped: 3 torn dicts`.
pub(super) fn seen(coverage: &Coverage) -> String {
    let mut line = format!("{} read", n_of(coverage.n_objects, "object"));
    if let Some(part) = coverage.references_explained {
        line.push_str(&format!(", {} of references explained", percent(part)));
    }
    if !coverage.skipped.is_empty() {
        let skipped: Vec<_> = coverage
            .skipped
            .iter()
            .map(|skipped| format!("{} {}", thousands(skipped.count), sanitize(&skipped.what)))
            .collect();
        line.push_str(&format!(", skipped: {}", skipped.join(", ")));
    }
    line
}

/// `1 object`, `2,000 objects`.
pub(crate) fn n_of(count: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// `98,304 numpy.ndarray (768 MB), 12 list (3 kB)`.
pub(super) fn types(types: &[TypeShare], sign: &str, style: &Style) -> String {
    let parts: Vec<_> = types
        .iter()
        .map(|t| format!("{sign}{} {} ({})", thousands(t.count), style.type_name(&t.name), bytes(t.bytes)))
        .collect();
    parts.join(", ")
}

/// `99,812 items`, or nothing.
pub(super) fn length(length: Option<u64>) -> String {
    length.map(thousands).unwrap_or_default()
}
