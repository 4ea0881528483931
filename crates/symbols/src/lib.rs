//! symbols: not built yet.
