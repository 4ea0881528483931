//! A trail: the way from a root to an object, step by step.

use serde::Serialize;

/// From a root to an object.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Trail {
    /// The whole way as one writes it in Python: `data_pipeline.buffer[99998]`.
    pub expression: String,
    /// What it starts from: `module`, `frame`, `thread`, `type`, `interpreter`, `native`, `unknown`, `lost`, `garbage`.
    pub root: String,
    /// What kind of place has the object: `module global`, `class attribute`, `closure`, `cache`, …
    pub holder: String,
    /// The expression in parts, the root first; the middle of a very long one is one part.
    pub steps: Vec<String>,
    /// The objects on the way, the root first, the object last; the middle of a very long one is left out.
    pub objects: Vec<TrailObject>,
    /// Number of objects on the way.
    pub n_objects: u64,
}

/// One object on a trail.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TrailObject {
    /// Its address, or `#12` for what is no object.
    pub object: String,
    /// Its type.
    pub type_name: String,
    /// Its own name, where it has one.
    pub name: Option<String>,
    /// What would be freed with it, bytes.
    pub retained_bytes: u64,
}
