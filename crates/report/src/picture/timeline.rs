//! A timeline as SVG: resident and live bytes as lines, the rate of allocation as bars below. Self-contained.

use super::font::FAMILIES;
use crate::bytes;
use crate::clean::shorten;
use crate::text::recorded::{at, command};
use heapray_query::answer::{TimelineAnswer, TimelinePoint};
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 30.0;
/// Top and height of the upper chart, and of the lower one.
const MEMORY: (f64, f64) = (64.0, 250.0);
const RATE: (f64, f64) = (350.0, 90.0);
const HEIGHT: f64 = 480.0;
/// Lines of a grid.
const GRID: u32 = 4;
/// Marks on the axis of time.
const MARKS: u32 = 6;

/// Name, colour, and values of a line.
type Line = (&'static str, &'static str, Vec<Option<f64>>);

/// The whole file.
pub fn timeline(answer: &TimelineAnswer) -> String {
    let points = &answer.points;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"{FAMILIES}\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    let title = shorten(&command(&answer.recording), 110);
    text(&mut out, (LEFT, 24.0), &title, "font-size=\"15\" font-weight=\"bold\" fill=\"#1f2328\"");
    let lines = lines(points);
    legend(&mut out, &lines);
    let most = lines.iter().flat_map(|(_, _, values)| values.iter().flatten()).copied().fold(0.0, f64::max);
    grid(&mut out, MEMORY, nice(most), "");
    for (name, colour, values) in &lines {
        line(&mut out, points, (name, colour, values), nice(most));
    }
    let rates: Vec<f64> = points.iter().map(|point| point.bytes_per_second.max(0.0)).collect();
    let top = nice(rates.iter().copied().fold(0.0, f64::max));
    text(&mut out, (LEFT, RATE.0 - 8.0), "allocated per second", "fill=\"#57606a\"");
    grid(&mut out, RATE, top, "/s");
    bars(&mut out, points, &rates, top);
    axis(&mut out, points);
    out.push_str("</svg>\n");
    out
}

fn lines(points: &[TimelinePoint]) -> Vec<Line> {
    let of = |of: fn(&TimelinePoint) -> Option<i64>| {
        points.iter().map(|point| of(point).map(|bytes| bytes as f64)).collect::<Vec<_>>()
    };
    let all: [Line; 3] = [
        ("resident", "#3b5fa8", of(|point| point.rss_bytes)),
        ("live, as recorded", "#d9541e", of(|point| Some(point.live_max_bytes))),
        ("limit of the control group", "#8a8f98", limit(points)),
    ];
    all.into_iter().filter(|(_, _, values)| values.iter().any(Option::is_some)).collect()
}

/// The limit, where memory comes near it: else the chart would be its empty space.
fn limit(points: &[TimelinePoint]) -> Vec<Option<f64>> {
    let most = points.iter().filter_map(|point| point.rss_bytes).max().unwrap_or(0);
    let near = |limit: i64| limit / 3 < most;
    points.iter().map(|point| point.cgroup_limit_bytes.filter(|l| near(*l)).map(|l| l as f64)).collect()
}

fn legend(out: &mut String, lines: &[Line]) {
    let mut x = LEFT;
    for (name, colour, _) in lines {
        let _ = writeln!(out, "<path d=\"M{x:.1} 44 h22\" stroke=\"{colour}\" stroke-width=\"2.5\"/>");
        text(out, (x + 28.0, 48.0), name, "fill=\"#1f2328\"");
        x += 54.0 + 7.0 * name.len() as f64;
    }
}

/// Horizontal lines with their values.
fn grid(out: &mut String, (top, height): (f64, f64), most: f64, unit: &str) {
    for i in 0..=GRID {
        let part = f64::from(i) / f64::from(GRID);
        let y = top + height * (1.0 - part);
        let colour = if i == 0 { "#8a8f98" } else { "#e4e7eb" };
        let _ = writeln!(out, "<path d=\"M{LEFT} {y:.1} H{:.1}\" stroke=\"{colour}\"/>", WIDTH - RIGHT);
        let words = if i == 0 { "0".to_owned() } else { format!("{}{unit}", bytes((most * part) as u64)) };
        text(out, (LEFT - 8.0, y + 4.0), &words, "text-anchor=\"end\" fill=\"#57606a\"");
    }
}

fn line(
    out: &mut String,
    points: &[TimelinePoint],
    (name, colour, values): (&str, &str, &[Option<f64>]),
    most: f64,
) {
    let (top, height) = MEMORY;
    let mut path = String::new();
    let mut pen_up = true;
    for (point, value) in points.iter().zip(values) {
        let Some(value) = value else {
            pen_up = true;
            continue;
        };
        let y = top + height * (1.0 - value / most);
        let x = x_of(points, point.to_seconds);
        let _ = write!(path, "{}{x:.1} {y:.1} ", if pen_up { 'M' } else { 'L' });
        pen_up = false;
    }
    let _ = writeln!(
        out,
        "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"><title>{name}</title></path>",
        path.trim_end()
    );
}

fn bars(out: &mut String, points: &[TimelinePoint], rates: &[f64], most: f64) {
    let (top, height) = RATE;
    for (point, rate) in points.iter().zip(rates) {
        let (x, to) = (x_of(points, point.from_seconds), x_of(points, point.to_seconds));
        let tall = height * rate / most;
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" fill=\"#f2b48c\">\
             <title>{} to {}: {}/s</title></rect>",
            top + height - tall,
            (to - x - 0.5).max(0.5),
            at(point.from_seconds),
            at(point.to_seconds),
            bytes(rate.round() as u64)
        );
    }
}

fn axis(out: &mut String, points: &[TimelinePoint]) {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    let y = RATE.0 + RATE.1 + 18.0;
    for i in 0..=MARKS {
        let part = f64::from(i) / f64::from(MARKS);
        let seconds = first.from_seconds + (last.to_seconds - first.from_seconds) * part;
        text(out, (x_of(points, seconds), y), &at(seconds), "text-anchor=\"middle\" fill=\"#57606a\"");
    }
}

fn x_of(points: &[TimelinePoint], seconds: f64) -> f64 {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return LEFT };
    let length = (last.to_seconds - first.from_seconds).max(1e-9);
    LEFT + (WIDTH - LEFT - RIGHT) * ((seconds - first.from_seconds) / length).clamp(0.0, 1.0)
}

/// The next number above that makes good marks; never 0.
fn nice(most: f64) -> f64 {
    let most = most.max(1.0);
    let power = 10_f64.powf(most.log10().floor());
    let step = [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 6.0, 8.0, 10.0].iter().find(|step| most <= *step * power);
    step.unwrap_or(&10.0) * power
}

fn text(out: &mut String, (x, y): (f64, f64), words: &str, more: &str) {
    let safe = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" {more}>{safe}</text>");
}

#[cfg(test)]
mod tests {
    use super::nice;

    #[test]
    fn marks_lie_above_what_they_measure() {
        for (most, expected) in [(0.0, 1.0), (7.1, 8.0), (100.0, 100.0), (101e6, 120e6), (9.5e9, 10e9)] {
            assert_eq!(nice(most), expected);
        }
    }
}
