//! `find`: a small typed query over objects, `type=list and len>100 and elem=numpy.ndarray`.

use crate::Heap;

/// What can be asked of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "docs/find.md lists them")]
pub enum Field {
    Type,
    Len,
    Size,
    Bytes,
    Retained,
    Module,
    Referrer,
    Attribute,
    Elem,
    Address,
    Generation,
    Tracked,
    Refcount,
    Name,
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
pub struct Find {}

impl Find {
    /// Parses a query.
    ///
    /// # Errors
    /// The first fault with its column.
    pub fn parse(_query: &str) -> Result<Find, FindError> {
        Ok(Find {})
    }

    /// The matching real objects, by rising node id.
    ///
    /// # Cost
    /// O(nodes), O(edges) where `attribute`, `referrer` or `elem` is asked for.
    pub fn eval(&self, _heap: &Heap) -> Vec<u32> {
        Vec::new()
    }
}
