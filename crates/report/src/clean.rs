//! Makes names from another process safe to show: no control character, no change of direction, no line end.

/// Longest name shown, in characters; longer ones lose their middle.
const CHARS_MAX: usize = 300;

/// Replaces what could move a cursor, change colours, hide or reorder text by its escape (`\x1b`, `\u{202e}`),
/// and cuts the middle out of very long texts.
pub fn sanitize(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in shortened(text).chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            _ if (c as u32) < 0x20 || c as u32 == 0x7f => safe.push_str(&format!("\\x{:02x}", c as u32)),
            _ if is_unsafe(c) => safe.push_str(&format!("\\u{{{:x}}}", c as u32)),
            _ => safe.push(c),
        }
    }
    safe
}

/// C1 controls, marks of direction and width that show nothing, line separators, and what XML 1.0 forbids.
fn is_unsafe(c: char) -> bool {
    matches!(c as u32,
        0x80..=0x9f | 0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
        | 0xfeff | 0xfff9..=0xfffb | 0xfffe..=0xffff | 0xe0000..=0xe007f)
}

fn shortened(text: &str) -> String {
    shorten(text, CHARS_MAX)
}

/// Cuts the middle out of a text of more than `chars_max` characters; its end, where names differ, stays longer.
pub(crate) fn shorten(text: &str, chars_max: usize) -> String {
    let n_chars = text.chars().count();
    if n_chars <= chars_max {
        return text.to_owned();
    }
    let kept = chars_max.saturating_sub(1);
    let head = kept / 3;
    let tail = kept - head;
    let mut short: String = text.chars().take(head).collect();
    short.push('…');
    short.extend(text.chars().skip(n_chars - tail));
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_cannot_reach_a_terminal() {
        assert_eq!(
            sanitize("a\x1b[31mred\nline\x07\u{202e}x\u{85}"),
            "a\\x1b[31mred\\nline\\x07\\u{202e}x\\u{85}"
        );
        assert_eq!(sanitize("tab\there\rthere\u{7f}"), "tab\\there\\rthere\\x7f");
    }

    #[test]
    fn honest_names_stay() {
        for name in ["data_pipeline.buffer['schlüssel']", "日本語", "a — b ×3", "C:\\x"] {
            assert_eq!(sanitize(name), name);
        }
    }

    #[test]
    fn long_names_keep_both_ends() {
        let long = format!("begin{}end", "x".repeat(5000));
        let safe = sanitize(&long);
        assert!(safe.starts_with("begin") && safe.ends_with("end") && safe.contains('…'));
        assert_eq!(safe.chars().count(), CHARS_MAX);
        assert_eq!(shorten("abcdefghij", 5), "a…hij");
    }
}
