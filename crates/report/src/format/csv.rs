//! Comma-separated values (RFC 4180), a row a site.

use super::rows::{NUMBERS, TEXTS, rows};
use heapray_query::answer::StackProfile;

/// A heading and a row per site.
pub fn csv(profile: &StackProfile) -> String {
    let heading: Vec<&str> = TEXTS.iter().chain(&NUMBERS).copied().collect();
    let mut text = heading.join(",") + "\r\n";
    for row in rows(profile) {
        let texts = row.texts.iter().map(|text| quoted(text));
        let cells: Vec<String> = texts.chain(row.numbers.iter().map(i64::to_string)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

/// Quoted where it has to be. A text that a spreadsheet would take for a formula gets a mark in front.
fn quoted(text: &str) -> String {
    let text =
        if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_and_no_formula() {
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("=cmd()"), "'=cmd()");
        assert_eq!(quoted("plain (x.py:1)"), "plain (x.py:1)");
    }
}
