//! linux: not built yet.
