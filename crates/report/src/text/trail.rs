//! One trail as text: its expression on one line, its objects on the lines below.

use crate::{Style, bytes, sanitize};
use heapray_query::answer::{ObjectRow, Trail, TrailObject};

/// Most objects of a trail that are listed.
const OBJECTS_MAX: usize = 12;

/// The objects of a trail, one line each, from the root down.
pub(super) fn objects(trail: &Trail, indent: &str, style: &Style) -> String {
    let named = from_root(trail);
    let skipped = (trail.objects.len() - named.len()) as u64;
    let (head, tail) = split(named);
    let left_out = trail.n_objects.saturating_sub(skipped + (head.len() + tail.len()) as u64);
    let mut lines: Vec<String> = head.iter().map(|object| line(object, indent, style)).collect();
    if left_out > 0 {
        lines.push(format!("{indent}… {} more …\n", crate::thousands(left_out)));
    }
    lines.extend(tail.iter().map(|object| line(object, indent, style)));
    lines.concat()
}

/// The objects that the expression names: the interpreter and `sys.modules` go without saying.
fn from_root(trail: &Trail) -> &[TrailObject] {
    let is_module = |object: &TrailObject| trail.root == "module" && object.type_name == "module";
    let first = trail.objects.iter().position(is_module).unwrap_or(0);
    &trail.objects[first..]
}

fn split(objects: &[TrailObject]) -> (&[TrailObject], &[TrailObject]) {
    if objects.len() <= OBJECTS_MAX {
        return (objects, &[]);
    }
    (&objects[..OBJECTS_MAX / 2], &objects[objects.len() - OBJECTS_MAX / 2..])
}

fn line(object: &TrailObject, indent: &str, style: &Style) -> String {
    let name = object.name.as_deref().map(|name| format!(" {}", sanitize(name))).unwrap_or_default();
    let what = format!("{}{name}", style.type_name(&object.type_name));
    format!("{indent}{:>9}  {what}  {}\n", bytes(object.retained_bytes), style.dim(&object.object))
}

/// `list at 0x7f12… (99,812 items)`.
pub(super) fn object(row: &ObjectRow, style: &Style) -> String {
    let mut text = format!("{} at {}", style.type_name(&row.type_name), sanitize(&row.object));
    if let Some(name) = &row.name {
        text = format!("{} {} at {}", style.type_name(&row.type_name), sanitize(name), sanitize(&row.object));
    }
    if let Some(length) = row.length {
        text.push_str(&format!(" ({} items)", crate::thousands(length)));
    }
    text
}
