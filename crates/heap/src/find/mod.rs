//! `find`: a small typed query over objects, `type=list and len>100 and elem=numpy.ndarray`.
//!
//! Text to tokens is `lexer`'s, tokens to a tree `parser`'s, the tree over a heap `eval`'s. No query panics, and
//! none recurses deeper than [`DEPTH_MAX`].

mod eval;
mod lexer;
mod parser;

use wildmatch::WildMatch;

use crate::Heap;
use parser::Expr;

/// Deepest nesting of parentheses and `not`.
pub(crate) const DEPTH_MAX: usize = 64;

/// What can be asked of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// Type name, qualified or its last part: `numpy.ndarray`, `ndarray`, `app.*`.
    Type,
    /// As `Type`, or that of a class it derives from.
    Isinstance,
    /// Number of elements of a container.
    Len,
    /// `sys.getsizeof`, bytes.
    Size,
    /// Bytes of its blocks.
    Bytes,
    /// Retained bytes.
    Retained,
    /// Name of the module through which its best trail goes.
    Module,
    /// Type of an object that holds it.
    Referrer,
    /// Name by which something holds it: attribute, variable, named dict key.
    Attribute,
    /// Type of an element (of a dict: of a value).
    Elem,
    /// Address in the target.
    Address,
    /// The collector's generation, 0 to 2; untracked objects have none.
    Generation,
    /// Whether the collector tracks it.
    Tracked,
    /// Whether it is in the permanent generation (`gc.freeze`).
    Frozen,
    /// Whether only the census of blocks found it, and nothing refers to it.
    Orphan,
    /// Whether no root reaches it.
    Garbage,
    /// Whether the collector calls a finalizer on it.
    Finalizer,
    /// Whether it is immortal.
    Immortal,
    /// Reference count; immortal objects have none.
    Refcount,
    /// Its own name: of modules, types, functions, short identifiers.
    Name,
}

impl Field {
    const NAMES: [(&'static str, Field); 23] = [
        ("type", Field::Type),
        ("isinstance", Field::Isinstance),
        ("len", Field::Len),
        ("size", Field::Size),
        ("bytes", Field::Bytes),
        ("block", Field::Bytes),
        ("retained", Field::Retained),
        ("module", Field::Module),
        ("referrer", Field::Referrer),
        ("attribute", Field::Attribute),
        ("attr", Field::Attribute),
        ("elem", Field::Elem),
        ("address", Field::Address),
        ("at", Field::Address),
        ("generation", Field::Generation),
        ("tracked", Field::Tracked),
        ("frozen", Field::Frozen),
        ("orphan", Field::Orphan),
        ("garbage", Field::Garbage),
        ("finalizer", Field::Finalizer),
        ("immortal", Field::Immortal),
        ("refcount", Field::Refcount),
        ("name", Field::Name),
    ];

    fn from_name(name: &str) -> Option<Field> {
        Field::NAMES.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }

    fn is_text(self) -> bool {
        matches!(
            self,
            Field::Type
                | Field::Isinstance
                | Field::Module
                | Field::Referrer
                | Field::Attribute
                | Field::Elem
                | Field::Name
        )
    }

    /// Whether it is true or false of an object, and so needs no value.
    fn is_flag(self) -> bool {
        matches!(
            self,
            Field::Tracked
                | Field::Frozen
                | Field::Orphan
                | Field::Garbage
                | Field::Finalizer
                | Field::Immortal
        )
    }
}

/// Whether a qualified type name, or its last part, matches a pattern: `*` stands for any text, `?` for any character.
pub(crate) fn matches_type(pattern: &str, name: &str) -> bool {
    let pattern = WildMatch::new(pattern);
    pattern.matches(name) || pattern.matches(crate::step::short(name))
}

/// What is wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at column {column} of `{query}`{}", if help.is_empty() { String::new() } else { format!("; {help}") })]
pub struct FindError {
    /// What is wrong.
    pub message: String,
    /// Column, from 1, in characters.
    pub column: usize,
    /// The query.
    pub query: String,
    /// What to write instead; may be empty.
    pub help: String,
}

/// A parsed query.
#[derive(Clone, Debug, PartialEq)]
pub struct Find {
    expr: Expr,
}

impl Find {
    /// Parses a query: comparisons `field op value` and bare flags (`garbage`), joined by `and`, `or`, `not` and
    /// parentheses. Operators are `=`, `!=`, `>`, `>=`, `<`, `<=` and `~` (part of a text, or a glob); numbers take
    /// units (`10MB`, `1.5GiB`, `20k`) and `0x`. The whole language is told in `docs/find.md`.
    ///
    /// # Errors
    /// The first fault with its column.
    ///
    /// ```
    /// use heapray_heap::Find;
    /// assert!(Find::parse("type=list and len>100 and elem=numpy.ndarray").is_ok());
    /// assert_eq!(Find::parse("colour=red").map_err(|error| error.column), Err(1));
    /// ```
    pub fn parse(query: &str) -> Result<Find, FindError> {
        parser::parse(query).map(|expr| Find { expr })
    }

    /// The matching real objects, by rising node id.
    ///
    /// # Cost
    /// O(nodes), O(edges) where `attribute`, `referrer` or `elem` is asked for.
    pub fn eval(&self, heap: &Heap) -> Vec<u32> {
        eval::eval(&self.expr, heap)
    }
}
