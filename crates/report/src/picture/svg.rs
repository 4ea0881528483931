//! SVG: one group with a tooltip per node and edge; everything inline, no script, no reference to elsewhere.

use super::font::{FAMILIES, Face};
use super::layout::{Direction, Point, Route, Size};
use super::scene::{BODY, CORNER, HEADING, LABEL, LINE_HEIGHT, Scene, scene};
use super::words;
use crate::sanitize;
use heapray_query::answer::{Picture, PictureEdge, PictureNode, Role};
use std::fmt::Write;

/// Height of the heading above the drawing.
const TITLE_HEIGHT: f64 = 34.0;
/// Height of the legend below it.
const LEGEND_HEIGHT: f64 = 30.0;
/// Width that heading and legend want.
const WIDTH_MIN: f64 = 520.0;

/// The whole file.
pub fn svg(picture: &Picture) -> String {
    let scene = scene(picture);
    let title = crate::clean::shorten(&sanitize(&picture.title), 120);
    let title_width = super::font::width(&title, HEADING) + 40.0;
    let width = scene.placed.size.width.max(WIDTH_MIN).max(title_width).ceil();
    let height = (scene.placed.size.height + TITLE_HEIGHT + LEGEND_HEIGHT).ceil();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"{FAMILIES}\">\n"
    );
    let _ = writeln!(out, "<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>");
    text(&mut out, &title, Point { x: 16.0, y: 23.0 }, HEADING, "fill=\"#1f2328\"");
    let left = (width - scene.placed.size.width) / 2.0;
    let _ = writeln!(out, "<g transform=\"translate({left:.1} {TITLE_HEIGHT})\">");
    for (i, edge) in picture.edges.iter().enumerate() {
        draw_edge(&mut out, edge, &scene, i);
    }
    for (i, node) in picture.nodes.iter().enumerate() {
        draw_node(&mut out, node, &scene, i);
    }
    out.push_str("</g>\n");
    legend(&mut out, picture, height - LEGEND_HEIGHT / 2.0);
    out.push_str("</svg>\n");
    out
}

/// Fill, stroke, text colour.
fn look(role: Role) -> (&'static str, &'static str, &'static str) {
    match role {
        Role::Object => ("#f6f7f9", "#8a8f98", "#1f2328"),
        Role::Target => ("#fdecec", "#c62828", "#c62828"),
        Role::Module => ("#dcf3dc", "#2e7d32", "#1b4d1e"),
        Role::Frame => ("#e3ecfb", "#3b5fa8", "#203766"),
        Role::Native => ("#fde8d0", "#b45309", "#6b3206"),
        Role::Root => ("#ece7f6", "#6d4aa2", "#41296a"),
        Role::More => ("#ffffff", "#8a8f98", "#6b7078"),
    }
}

fn draw_node(out: &mut String, node: &PictureNode, scene: &Scene, i: usize) {
    let (at, size) = (scene.placed.nodes[i], scene.boxes[i]);
    let (fill, stroke, ink) = look(node.role);
    let dash = if node.role == Role::More { " stroke-dasharray=\"4 3\"" } else { "" };
    let thick = if node.role == Role::Target { 2.2 } else { 1.3 };
    let paint = format!("fill=\"{fill}\" stroke=\"{stroke}\" stroke-width=\"{thick}\"{dash}");
    let _ = writeln!(out, "<g><title>{}</title>", escaped(&words::tooltip(node).join("\n")));
    if node.count > 1 && node.role != Role::More {
        for by in [6.0, 3.0] {
            shape(out, node.role, Point { x: at.x + by, y: at.y + by }, size, &paint);
        }
    }
    shape(out, node.role, at, size, &paint);
    let lines = &scene.lines[i];
    let height: f64 = (0..lines.len()).map(|line| face(line).size * LINE_HEIGHT).sum();
    let mut y = at.y - height / 2.0;
    for (line, words) in lines.iter().enumerate() {
        let face = face(line);
        y += face.size * LINE_HEIGHT;
        let baseline = Point { x: at.x, y: y - face.size * 0.34 };
        text(out, words, baseline, face, &format!("text-anchor=\"middle\" fill=\"{ink}\""));
    }
    out.push_str("</g>\n");
}

fn face(line: usize) -> Face {
    if line == 0 { HEADING } else { BODY }
}

fn shape(out: &mut String, role: Role, at: Point, size: Size, paint: &str) {
    let (x, y) = (at.x - size.width / 2.0, at.y - size.height / 2.0);
    let (w, h) = (size.width, size.height);
    let _ = match role {
        Role::Native => polygon(out, &octagon(x, y, size), paint),
        Role::Frame => polygon(out, &hexagon(x, y, size), paint),
        _ => {
            let r = match role {
                Role::Root => h / 2.0,
                Role::Module => 0.0,
                _ => 6.0,
            };
            writeln!(out, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w}\" height=\"{h}\" rx=\"{r}\" {paint}/>")
        }
    };
}

fn octagon(x: f64, y: f64, size: Size) -> Vec<Point> {
    let (w, h, c) = (size.width, size.height, CORNER.min(size.height / 3.0));
    [(c, 0.0), (w - c, 0.0), (w, c), (w, h - c), (w - c, h), (c, h), (0.0, h - c), (0.0, c)]
        .map(|(dx, dy)| Point { x: x + dx, y: y + dy })
        .to_vec()
}

fn hexagon(x: f64, y: f64, size: Size) -> Vec<Point> {
    let (w, h) = (size.width, size.height);
    [(CORNER, 0.0), (w - CORNER, 0.0), (w, h / 2.0), (w - CORNER, h), (CORNER, h), (0.0, h / 2.0)]
        .map(|(dx, dy)| Point { x: x + dx, y: y + dy })
        .to_vec()
}

fn polygon(out: &mut String, corners: &[Point], paint: &str) -> std::fmt::Result {
    let points: Vec<_> = corners.iter().map(|at| format!("{:.1},{:.1}", at.x, at.y)).collect();
    writeln!(out, "<polygon points=\"{}\" {paint}/>", points.join(" "))
}

fn draw_edge(out: &mut String, edge: &PictureEdge, scene: &Scene, i: usize) {
    let (colour, width, dash) = match edge {
        PictureEdge { cut: true, .. } => ("#d32f2f", 3.0, " stroke-dasharray=\"8 5\""),
        PictureEdge { dominates: true, .. } => ("#33373d", 3.0, ""),
        _ => ("#7a7f87", 1.3, ""),
    };
    let route = &scene.placed.edges[i];
    let words = &scene.labels[i];
    let _ = writeln!(out, "<g><title>{}</title>", escaped(words));
    if let Some((path, tip)) = path(scene, edge, route, 5.0 + 2.0 * width) {
        let stroke = format!("stroke=\"{colour}\" stroke-width=\"{width}\"{dash}");
        let _ = writeln!(out, "<path d=\"{path}\" fill=\"none\" {stroke}/>");
        let _ = polygon(out, &tip, &format!("fill=\"{colour}\""));
    }
    if let Some(at) = route.label {
        let ink = if edge.cut { "#d32f2f" } else { "#30343a" };
        draw_label(out, words, at, ink);
    }
    out.push_str("</g>\n");
}

/// On the line, on a white ground.
fn draw_label(out: &mut String, words: &str, at: Point, ink: &str) {
    let size = Size { width: super::font::width(words, LABEL) + 6.0, height: LABEL.size * LINE_HEIGHT };
    let _ = writeln!(
        out,
        "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#ffffff\"/>",
        at.x - size.width / 2.0,
        at.y - size.height / 2.0,
        size.width,
        size.height
    );
    let baseline = Point { x: at.x, y: at.y + LABEL.size * 0.36 };
    text(out, words, baseline, LABEL, &format!("text-anchor=\"middle\" fill=\"{ink}\""));
}

/// The path of an edge up to its arrow head, and the corners of that.
fn path(scene: &Scene, edge: &PictureEdge, route: &Route, head: f64) -> Option<(String, Vec<Point>)> {
    let [first, .., before, last] = route.points[..] else {
        return route.points.is_empty().then(|| loop_path(scene, edge, head));
    };
    let down = scene.direction == Direction::Down;
    let back = if down { before.y - last.y } else { before.x - last.x }.signum();
    let neck = if down {
        Point { x: last.x, y: last.y + back * head }
    } else {
        Point { x: last.x + back * head, y: last.y }
    };
    let mut data = format!("M{:.1} {:.1}", first.x, first.y);
    let mut at = first;
    let inner = &route.points[1..route.points.len() - 1];
    for to in inner.iter().chain(std::iter::once(&neck)) {
        curve(&mut data, at, *to, down);
        at = *to;
    }
    Some((data, arrow(neck, last, head * 0.42)))
}

/// A curve that leaves and arrives straight.
fn curve(data: &mut String, from: Point, to: Point, down: bool) {
    let middle = Point { x: (from.x + to.x) / 2.0, y: (from.y + to.y) / 2.0 };
    let (a, b) = if down {
        (Point { x: from.x, y: middle.y }, Point { x: to.x, y: middle.y })
    } else {
        (Point { x: middle.x, y: from.y }, Point { x: middle.x, y: to.y })
    };
    let _ = write!(data, " C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}", a.x, a.y, b.x, b.y, to.x, to.y);
}

/// A reference of an object to itself: a bow at its upper right corner.
fn loop_path(scene: &Scene, edge: &PictureEdge, head: f64) -> (String, Vec<Point>) {
    let (at, size) = (scene.placed.nodes[edge.from], scene.boxes[edge.from]);
    let (x, top) = (at.x + size.width / 2.0 - 18.0, at.y - size.height / 2.0);
    let (neck, tip) = (Point { x: x + 8.0, y: top - head }, Point { x: x + 8.0, y: top });
    let data = format!(
        "M{:.1} {top:.1} C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}",
        x - 6.0,
        x - 6.0,
        top - 16.0,
        x + 8.0,
        top - 18.0,
        neck.x,
        neck.y
    );
    (data, arrow(neck, tip, head * 0.42))
}

fn arrow(neck: Point, tip: Point, half: f64) -> Vec<Point> {
    let length = ((tip.x - neck.x).powi(2) + (tip.y - neck.y).powi(2)).sqrt().max(1e-6);
    let (dx, dy) = ((tip.x - neck.x) / length * half, (tip.y - neck.y) / length * half);
    vec![tip, Point { x: neck.x - dy, y: neck.y + dx }, Point { x: neck.x + dy, y: neck.y - dx }]
}

/// What the marks mean, as far as they occur.
fn legend(out: &mut String, picture: &Picture, y: f64) {
    let mut x = 16.0;
    let marks = [
        (
            picture.edges.iter().any(|e| e.cut),
            "#d32f2f",
            " stroke-dasharray=\"8 5\"",
            "cut here and the target is freed",
        ),
        (picture.edges.iter().any(|e| e.dominates), "#33373d", "", "the only way (dominator)"),
    ];
    for (_, colour, dash, meaning) in marks.iter().filter(|mark| mark.0) {
        let _ = writeln!(
            out,
            "<path d=\"M{x} {y} h34\" stroke=\"{colour}\" stroke-width=\"3\"{dash} fill=\"none\"/>"
        );
        text(out, meaning, Point { x: x + 40.0, y: y + 4.0 }, LABEL, "fill=\"#57606a\"");
        x += 40.0 + super::font::width(meaning, LABEL) + 24.0;
    }
}

fn text(out: &mut String, words: &str, at: Point, face: Face, more: &str) {
    let weight = if face.bold { " font-weight=\"bold\"" } else { "" };
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{}\"{weight} {more}>{}</text>",
        at.x,
        at.y,
        face.size,
        escaped(words)
    );
}

/// Text for XML; control characters are gone already.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}
