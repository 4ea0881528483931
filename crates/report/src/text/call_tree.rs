//! Text of `tree`.

use super::footer::n_of;
use super::recorded::{estimated, footer, size, unmatched, when, window};
use crate::place::{NO_FRAMES, label};
use crate::{Style, percent};
use heapray_query::answer::{TreeAnswer, TreeRow};

/// Who called whom; a chain of single calls is not indented.
pub fn tree(answer: &TreeAnswer, style: &Style) -> String {
    let mut text = unmatched(&answer.recording, style) + &first_line(answer, style) + "\n";
    let shapes = shapes(&answer.rows);
    if !answer.rows.is_empty() {
        text.push_str(&style.dim("    all      bytes        own"));
        text.push('\n');
    }
    for (row, shape) in answer.rows.iter().zip(&shapes) {
        let own = if row.own_bytes > 0 { size(row.own_bytes) } else { String::new() };
        text.push_str(&format!(
            "{:>7} {:>10} {own:>10}  {}{}\n",
            percent(row.share),
            size(row.total.bytes),
            style.dim(&shape.prefix),
            if row.own_bytes * 2 > row.total.bytes {
                style.strong(&label(&row.place))
            } else {
                label(&row.place)
            }
        ));
        if row.n_hidden > 0 && row.hidden_bytes > 0 {
            let what = format!("… {} more below, {}", row.n_hidden, size(row.hidden_bytes));
            text.push_str(&format!("{:31}{}\n", "", style.dim(&format!("{}{what}", shape.below))));
        }
    }
    if answer.unknown.bytes > 0 {
        text.push_str(&format!("{:>18} {:>10}  {NO_FRAMES}\n", size(answer.unknown.bytes), ""));
    }
    if answer.shrunk_bytes < 0 {
        let shrunk = size(-answer.shrunk_bytes);
        text.push_str(&style.dim(&format!("not in it: places that shrank, by {shrunk} in all\n")));
    }
    text.push('\n');
    text + &footer(&answer.recording, style)
}

fn first_line(answer: &TreeAnswer, style: &Style) -> String {
    let total = style.strong(&estimated(&answer.total));
    let n = n_of(answer.total.count.max(0) as u64, "block");
    match answer.what.as_str() {
        "growth" => format!("{total} grew, {n}, from {}\n", window(&answer.recording)),
        "allocated" => format!("{total} allocated, {n}, from {}\n", window(&answer.recording)),
        "temporary" => {
            format!("{total} allocated and freed soon after, {n}, from {}\n", window(&answer.recording))
        }
        _ => format!("{total} live {}, {n}\n", when(&answer.recording)),
    }
}

/// What stands before a row, and before what is below it.
struct Shape {
    prefix: String,
    below: String,
}

fn shapes(rows: &[TreeRow]) -> Vec<Shape> {
    let mut n_children = vec![0_u32; rows.len()];
    for parent in rows.iter().filter_map(|row| row.parent) {
        n_children[parent as usize] += 1;
    }
    let n_roots = rows.iter().filter(|row| row.parent.is_none()).count() as u32;
    // Rows come callers first, so the last child of each is the last row that names it.
    let mut left = n_children.clone();
    let mut left_roots = n_roots;
    let mut shapes: Vec<Shape> = Vec::with_capacity(rows.len());
    for row in rows {
        let (siblings, behind, above) = match row.parent {
            None => (n_roots, &mut left_roots, ""),
            Some(parent) => (
                n_children[parent as usize],
                &mut left[parent as usize],
                shapes[parent as usize].below.as_str(),
            ),
        };
        *behind -= 1;
        let is_last = *behind == 0;
        let (mark, rail) = match (siblings, is_last) {
            (1, _) => ("", ""),
            (_, false) => ("├ ", "│ "),
            (_, true) => ("└ ", "  "),
        };
        let shape = Shape { prefix: format!("{above}{mark}"), below: format!("{above}{rail}") };
        shapes.push(shape);
    }
    shapes
}
