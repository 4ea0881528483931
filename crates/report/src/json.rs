//! JSON of any answer. The field names are the contract of `docs/output.md`.

use serde::Serialize;

/// Two-space JSON with a final line end. Numbers that are not finite become `null`.
pub fn to_text<A: Serialize>(answer: &A) -> String {
    let mut text =
        serde_json::to_string_pretty(answer).expect("answers have string keys and no failing parts");
    text.push('\n');
    text
}

/// JSON on one line, for answers that follow each other.
pub fn to_line<A: Serialize>(answer: &A) -> String {
    let mut text = serde_json::to_string(answer).expect("answers have string keys and no failing parts");
    text.push('\n');
    text
}
