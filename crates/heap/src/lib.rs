//! heap: not built yet.
