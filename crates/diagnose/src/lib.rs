//! diagnose: not built yet.
