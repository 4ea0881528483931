//! What `why`, `refs` and `chain` are asked about.

use crate::QueryError;
use heapray_heap::Find;
use std::fmt;
use std::str::FromStr;

/// One object or many.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// The object at this address.
    Address(u64),
    /// The node of this number, as answers print what is no object: `#12`.
    Node(u32),
    /// A path or a type name: `data_pipeline.buffer[3].payload`, `numpy.ndarray`. The path is tried first.
    Path(String),
    /// All objects that an expression selects.
    Query(String, Find),
}

impl FromStr for Subject {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let text = text.trim();
        if let Some(address) = text.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok()) {
            return Ok(Self::Address(address));
        }
        if let Some(node) = text.strip_prefix('#').and_then(|number| number.parse().ok()) {
            return Ok(Self::Node(node));
        }
        if is_path(text) {
            return Ok(Self::Path(text.to_owned()));
        }
        Ok(Self::Query(text.to_owned(), Find::parse(text)?))
    }
}

/// No operator outside brackets, and no space: `a.b['x=y'][3]` is a path, `type=list` is none.
fn is_path(text: &str) -> bool {
    let mut depth = 0_u32;
    let mut outside = String::new();
    for c in text.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => outside.push(c),
            _ => {}
        }
    }
    !outside.is_empty() && !outside.contains(|c: char| "=!~<>()\"' ".contains(c))
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address:#x}"),
            Self::Node(node) => write!(f, "#{node}"),
            Self::Path(path) => f.write_str(path),
            Self::Query(text, _) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_apart() {
        assert_eq!("0x7f10".parse(), Ok(Subject::Address(0x7f10)));
        assert_eq!("#12".parse(), Ok(Subject::Node(12)));
        assert_eq!("a.b[3]['x=y']".parse(), Ok(Subject::Path("a.b[3]['x=y']".into())));
        assert!(matches!("type=list".parse(), Ok(Subject::Query(..))));
        assert!("".parse::<Subject>().is_err());
    }
}
