//! Flame graphs: a self-contained SVG (zoom and search within it), and a page that embeds it.

use crate::clean::shorten;
use crate::flame_change::with_changes;
use crate::format::weights as stack_weights;
use crate::place::{NO_FRAMES, label};
use crate::text::footer::n_of;
use crate::text::note_of_nothing;
use crate::text::recorded::{at, command, estimated, lines as recorded_lines, when};
use crate::{bytes, bytes_signed, percent, sanitize};
use heapray_query::answer::{PlaceRow, StackProfile};
use inferno::flamegraph::color::{BackgroundColor, PaletteMap, parse_hex_color};
use inferno::flamegraph::{Direction, Options, TextTruncateDirection, from_lines};
use std::collections::BTreeMap;

/// A flame graph could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum FlameError {
    /// Nothing weighs anything.
    #[error("nothing to draw: {why}")]
    Empty {
        /// What is nothing, and what to try.
        why: String,
    },
    /// The library refused.
    #[error("cannot draw the flame graph: {0}")]
    Drawing(#[from] std::io::Error),
}

/// Starts the script of the picture, where the picture itself did not.
const START: &str = "addEventListener(\"load\",function(){if(!details)init()})";
/// Longest command in a title, in characters.
const COMMAND_MAX: usize = 60;

/// Which way the flames point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlameDirection {
    /// Callers at the bottom.
    #[default]
    Up,
    /// Callers at the top.
    Down,
}

/// The flame graph of one profile.
///
/// # Errors
/// [`FlameError::Empty`].
pub fn flame(profile: &StackProfile, direction: FlameDirection) -> Result<String, FlameError> {
    let weights = stack_weights(profile);
    if weights.is_empty() {
        return Err(empty(profile));
    }
    let lines: Vec<String> = weights.iter().map(|(stack, bytes)| format!("{stack} {bytes}")).collect();
    let shrunk = if profile.shrunk_bytes < 0 {
        format!(", not drawn: {} of places that shrank", bytes(profile.shrunk_bytes.unsigned_abs()))
    } else {
        String::new()
    };
    let subtitle = format!("{}{shrunk}", total(profile));
    draw(&lines, (title(profile), subtitle), &[profile], direction)
}

/// What is in the second profile, coloured by the difference to the first: red is more, blue is less.
///
/// # Errors
/// [`FlameError::Empty`].
pub fn flame_diff(
    before: &StackProfile,
    after: &StackProfile,
    direction: FlameDirection,
) -> Result<String, FlameError> {
    let mut both: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (stack, bytes) in stack_weights(before) {
        both.entry(stack).or_default().0 += bytes;
    }
    for (stack, bytes) in stack_weights(after) {
        both.entry(stack).or_default().1 += bytes;
    }
    if both.values().all(|(_, after)| *after == 0) {
        return Err(empty(after));
    }
    let lines: Vec<String> =
        both.iter().map(|(stack, (before, after))| format!("{stack} {before} {after}")).collect();
    let delta = after.total.bytes.saturating_sub(before.total.bytes);
    let subtitle = format!(
        "{} -> {} ({}); width: after; red: more than before, blue: less",
        bytes(before.total.bytes.max(0) as u64),
        bytes(after.total.bytes.max(0) as u64),
        bytes_signed(delta)
    );
    let svg = draw(&lines, (format!("difference, {}", title(after)), subtitle), &[before, after], direction)?;
    let stacks: Vec<(&str, u64, u64)> =
        both.iter().map(|(stack, (before, after))| (stack.as_str(), *before, *after)).collect();
    Ok(with_changes(&svg, &stacks, direction))
}

fn empty(profile: &StackProfile) -> FlameError {
    let zero = || format!("{} has no bytes in this window: try another --what, --from or --to", profile.what);
    FlameError::Empty { why: note_of_nothing(profile).unwrap_or_else(zero) }
}

/// A page with the flame graph in it, and what it stands on below; nothing is loaded from elsewhere.
pub fn page(svg: &str, profile: &StackProfile) -> String {
    let body = svg.find("<svg").map_or(svg, |at| &svg[at..]);
    let (body, script) = without_script(body);
    let title = escaped(&title(profile));
    let lines: String =
        recorded_lines(&profile.recording).iter().map(|line| format!("<p>{}</p>\n", escaped(line))).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <style>body{{margin:0 auto;max-width:1600px;padding:12px;font:14px/1.4 system-ui,sans-serif;color:#1f2328;\
         background:#fff}}svg{{display:block;width:100%}}p{{margin:2px 0;color:#57606a}}</style></head>\n\
         <body>\n{body}\n{lines}<script>{script}\n{START}</script></body></html>\n"
    )
}

/// An SVG, and the script that was in it: in a page it stands outside of the picture.
fn without_script(svg: &str) -> (String, String) {
    let cut = svg.split_once("<script type=\"text/ecmascript\">").and_then(|(head, rest)| {
        let (script, tail) = rest.split_once("</script>")?;
        Some((format!("{head}{tail}"), script.replace("<![CDATA[", "").replace("]]>", "")))
    });
    cut.unwrap_or_else(|| (svg.to_owned(), String::new()))
}

fn draw(
    lines: &[String],
    (title, subtitle): (String, String),
    profiles: &[&StackProfile],
    direction: FlameDirection,
) -> Result<String, FlameError> {
    let mut palette = PaletteMap::default();
    for place in profiles.iter().flat_map(|profile| &profile.places) {
        let name = label(place).replace(';', ":");
        if let Some(colour) = parse_hex_color(colour(place, &name)) {
            palette.insert(name, colour);
        }
    }
    for name in ["", NO_FRAMES] {
        if let Some(colour) = parse_hex_color("#dedede") {
            palette.insert(name, colour);
        }
    }
    let mut options = Options::default();
    // They are, by their names alone.
    options.no_sort = true;
    options.title = title;
    options.subtitle = Some(subtitle);
    options.count_name = "bytes".to_owned();
    options.name_type = "Place:".to_owned();
    options.font_type = "monospace".to_owned();
    options.text_truncate_direction = TextTruncateDirection::Right;
    // What did not change is drawn nearly white, so a difference lies on grey.
    let ground = if profiles.len() > 1 { "#e4e7eb" } else { "#ffffff" };
    options.bgcolors = parse_hex_color(ground).map(BackgroundColor::Flat);
    options.deterministic = true;
    options.palette_map = Some(&mut palette);
    options.direction =
        if direction == FlameDirection::Down { Direction::Inverted } else { Direction::Straight };
    let mut svg = Vec::new();
    from_lines(&mut options, lines.iter().map(String::as_str), &mut svg)?;
    Ok(String::from_utf8_lossy(&svg).into_owned())
}

/// `live memory before exit, gunicorn app:app`.
fn title(profile: &StackProfile) -> String {
    let window = &profile.recording.window;
    let span = format!("{} to {}", at(window.from_seconds), at(window.to_seconds));
    let what = match profile.what.as_str() {
        "growth" => format!("growth of live memory, {span}"),
        "temporary" => format!("allocated and freed soon after, {span}"),
        "allocated" => format!("allocated, {span}"),
        _ => format!("live memory {}", when(&profile.recording)),
    };
    let command = shorten(&command(&profile.recording), COMMAND_MAX);
    if command.is_empty() { what } else { format!("{what}: {command}") }
}

/// `419 MB ±12 MB in 400 blocks, sampled every 65.5 kB`.
fn total(profile: &StackProfile) -> String {
    let how = match profile.recording.sample_interval_bytes {
        Some(interval) => format!("sampled every {}", bytes(interval)),
        None => sanitize(&profile.recording.mode),
    };
    let doubt = &profile.recording.doubt;
    let lost = match doubt.lost_events + doubt.lost_frees {
        0 => String::new(),
        lost => format!(", {} lost", n_of(lost, "event")),
    };
    let n = n_of(profile.total.count.max(0) as u64, "block");
    let cost =
        profile.recording.cost.hook_share.map(|share| format!(", {} of the time in hooks", percent(share)));
    let high = if doubt.peak_reads_high { " (reads high)" } else { "" };
    format!("{}{high} in {n}, {how}{}{lost}", estimated(&profile.total), cost.unwrap_or_default())
}

/// The program's own code stands out; packages, the library, native code and what is no code stay apart.
fn colour(place: &PlaceRow, name: &str) -> &'static str {
    let shades: [&str; 4] = match (place.kind.as_str(), origin(place)) {
        ("thread" | "tag" | "start", _) => ["#b7dfb1", "#a9d8a3", "#c3e5be", "#9fd098"],
        ("cut" | "unknown", _) => ["#e5e5e5", "#dedede", "#ebebeb", "#d8d8d8"],
        ("native", _) => ["#d9c7e8", "#cfb9e2", "#e2d3ee", "#c7aedd"],
        (_, Origin::Package) => ["#a8d3ea", "#98cae5", "#b7dbee", "#8bc2e0"],
        (_, Origin::Library) => ["#f4dd94", "#f0d67f", "#f7e5a8", "#ecce6c"],
        (_, Origin::Own) => ["#f2a172", "#ee935f", "#f5ae84", "#ea864d"],
    };
    shades[name.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 4]
}

enum Origin {
    Own,
    Package,
    Library,
}

fn origin(place: &PlaceRow) -> Origin {
    let file = place.file.as_deref().unwrap_or_default();
    if file.contains("/site-packages/") || file.contains("/dist-packages/") {
        Origin::Package
    } else if file.starts_with("<frozen") || file.contains("/lib/python3") || file.contains("/lib64/python3")
    {
        Origin::Library
    } else {
        Origin::Own
    }
}

/// Text for HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
