//! Text of `timeline`.

use super::recorded::{at, footer, per_second, size, unmatched};
use crate::spark::spark;
use crate::table::{Align, Table};
use crate::{Style, percent};
use heapray_query::answer::{TimelineAnswer, TimelinePoint};

/// Rows of the table.
const ROWS_MAX: usize = 24;

/// Three lines, and a table of some moments.
pub fn timeline(answer: &TimelineAnswer, style: &Style) -> String {
    let points = &answer.points;
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return "nothing is recorded in this window\n\n".to_owned() + &footer(&answer.recording, style);
    };
    let mut text = unmatched(&answer.recording, style);
    let rss = |point: &TimelinePoint| point.rss_bytes.map(|bytes| bytes as f64);
    if let Some((peak, when)) = answer.rss_peak {
        let from_to =
            ends(points.iter().find_map(|p| p.rss_bytes), points.iter().rev().find_map(|p| p.rss_bytes));
        let words = format!("{from_to}, peak {} at {}", size(peak), at(when));
        line(&mut text, "resident", points.iter().map(rss), &words);
    }
    if let Some((peak, when)) = answer.live_peak {
        let words = format!(
            "{}, most {} at {}",
            ends(Some(first.live_bytes), Some(last.live_bytes)),
            size(peak),
            at(when)
        );
        line(&mut text, "live", points.iter().map(|point| Some(point.live_max_bytes as f64)), &words);
    }
    if let Some((peak, when)) = answer.rate_peak {
        let words = format!("most {} at {}", per_second(peak), at(when));
        line(&mut text, "allocated", points.iter().map(|point| Some(point.bytes_per_second)), &words);
    }
    text.push_str(&format!("{:11}{}\n\n", "", style.dim(&axis(first, last, points.len()))));
    text.push_str(&table(points).text(style));
    text.push('\n');
    text + &footer(&answer.recording, style)
}

fn line(text: &mut String, name: &str, values: impl Iterator<Item = Option<f64>>, words: &str) {
    text.push_str(&format!("{name:>9}  {}  {words}\n", spark(values)));
}

/// Begin and end below the lines.
fn axis(first: &TimelinePoint, last: &TimelinePoint, width: usize) -> String {
    let (begin, end) = (at(first.from_seconds), at(last.to_seconds));
    let gap = width.saturating_sub(begin.chars().count() + end.chars().count()).max(1);
    format!("{begin}{}{end}", " ".repeat(gap))
}

fn ends(from: Option<i64>, to: Option<i64>) -> String {
    format!("{} -> {}", size(from.unwrap_or(0)), size(to.unwrap_or(0)))
}

fn table(points: &[TimelinePoint]) -> Table {
    let mut table = Table::new(&[
        ("until", Align::Right),
        ("resident", Align::Right),
        ("live", Align::Right),
        ("most", Align::Right),
        ("allocated", Align::Right),
        ("freed", Align::Right),
        ("of limit", Align::Right),
        ("processes", Align::Right),
    ]);
    let step = points.len().div_ceil(ROWS_MAX).max(1);
    let several = points.iter().any(|point| point.n_processes > 1);
    for chunk in points.chunks(step) {
        let point = &chunk[chunk.len() - 1];
        let mean = |of: fn(&TimelinePoint) -> f64| chunk.iter().map(of).sum::<f64>() / chunk.len() as f64;
        let limit = point.cgroup_bytes.zip(point.cgroup_limit_bytes);
        table.row(vec![
            at(point.to_seconds),
            point.rss_bytes.map(size).unwrap_or_default(),
            size(point.live_bytes),
            chunk.iter().map(|point| point.live_max_bytes).max().map(size).unwrap_or_default(),
            per_second(mean(|point| point.bytes_per_second)),
            per_second(mean(|point| point.freed_bytes_per_second)),
            limit.map(|(used, limit)| percent(used as f64 / limit as f64)).unwrap_or_default(),
            if several { point.n_processes.to_string() } else { String::new() },
        ]);
    }
    table
}
