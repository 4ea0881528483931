//! How a place in a program is called, the same in every format: `function (file:line)`.

use crate::sanitize;
use heapray_query::answer::PlaceRow;

/// What stands where no frame is known.
pub(crate) const NO_FRAMES: &str = "[no frames]";

/// A place in one line, safe to show.
pub(crate) fn label(place: &PlaceRow) -> String {
    let function = place.function.as_deref().map(sanitize);
    let file = sanitize(&place.short_file);
    match place.kind.as_str() {
        "thread" => match (&function, place.line) {
            (Some(name), Some(id)) => format!("thread {name} ({id})"),
            (Some(name), None) => format!("thread {name}"),
            (None, Some(id)) => format!("thread {id}"),
            (None, None) => "thread".to_owned(),
        },
        "tag" => format!("[tag: {}]", function.unwrap_or_default()),
        "cut" => format!("[stack cut: {}]", function.unwrap_or_else(|| "unknown why".to_owned())),
        "start" => format!("[{}]", function.unwrap_or_else(|| "thread started here".to_owned())),
        "unknown" => NO_FRAMES.to_owned(),
        _ => code(function, file, place.line),
    }
}

fn code(function: Option<String>, file: String, line: Option<u32>) -> String {
    let at = match line {
        Some(line) if !file.is_empty() => format!("{file}:{line}"),
        _ => file,
    };
    match (function, at.is_empty()) {
        (Some(function), false) => format!("{function} ({at})"),
        (Some(function), true) => function,
        (None, false) => at,
        (None, true) => "[unknown code]".to_owned(),
    }
}

/// A stack as one line of folded stacks: no `;` inside a name.
pub(crate) fn folded<'a>(stack: impl IntoIterator<Item = &'a PlaceRow>) -> String {
    let names: Vec<String> = stack.into_iter().map(|place| label(place).replace(';', ":")).collect();
    if names.is_empty() { NO_FRAMES.to_owned() } else { names.join(";") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(kind: &str, function: &str, file: &str, line: u32) -> PlaceRow {
        PlaceRow {
            kind: kind.into(),
            function: (!function.is_empty()).then(|| function.to_owned()),
            file: (!file.is_empty()).then(|| format!("/srv/{file}")),
            line: (line > 0).then_some(line),
            short_file: file.into(),
        }
    }

    #[test]
    fn places_are_called_as_users_know_them() {
        for (kind, function, file, line, expected) in [
            ("python", "Pool.get", "app.py", 7, "Pool.get (app.py:7)"),
            ("python", "", "app.py", 0, "app.py"),
            ("native", "gemm", "", 0, "gemm"),
            ("native", "gemm", "libblas.so", 0, "gemm (libblas.so)"),
            ("thread", "MainThread", "", 42, "thread MainThread (42)"),
            ("thread", "", "", 42, "thread 42"),
            ("cut", "too deep", "", 0, "[stack cut: too deep]"),
            ("start", "native thread, started here", "", 0, "[native thread, started here]"),
            ("tag", "/orders", "", 0, "[tag: /orders]"),
            ("unknown", "", "", 0, "[no frames]"),
            ("python", "a\n;b", "x.py", 1, "a\\n;b (x.py:1)"),
        ] {
            assert_eq!(label(&place(kind, function, file, line)), expected);
        }
        assert_eq!(folded(&[place("python", "a;b", "x.py", 1)]), "a:b (x.py:1)");
        assert_eq!(folded(&[]), "[no frames]");
    }
}
