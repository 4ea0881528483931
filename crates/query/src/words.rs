//! What the kinds of roots, holders and references are called in answers: the words of `docs/glossary.md`.

use heapray_heap::{HolderKind, RootKind};
use heapray_wire::EdgeStrength;

/// What a trail starts from.
pub(crate) fn root(kind: RootKind) -> &'static str {
    match kind {
        RootKind::Module => "module",
        RootKind::Frame => "frame",
        RootKind::Thread => "thread",
        RootKind::Type => "type",
        RootKind::Interpreter => "interpreter",
        RootKind::Native => "native",
        RootKind::Unknown => "unknown",
        RootKind::Lost => "lost",
        RootKind::Garbage => "garbage",
    }
}

/// What kind of place holds.
pub(crate) fn holder(kind: HolderKind) -> &'static str {
    match kind {
        HolderKind::ModuleGlobal => "module global",
        HolderKind::ClassAttribute => "class attribute",
        HolderKind::Closure => "closure",
        HolderKind::Cache => "cache",
        HolderKind::ThreadLocal => "thread local",
        HolderKind::Task => "task",
        HolderKind::Local => "local",
        HolderKind::Generator => "generator",
        HolderKind::Interpreter => "interpreter",
        HolderKind::Native => "native",
        HolderKind::Unknown => "unknown",
        HolderKind::Lost => "lost",
        HolderKind::Garbage => "garbage",
    }
}

/// How strongly a reference holds.
pub(crate) fn strength(strength: EdgeStrength) -> &'static str {
    match strength {
        EdgeStrength::Owned => "owned",
        EdgeStrength::Borrowed => "borrowed",
        EdgeStrength::Weak => "weak",
        EdgeStrength::Inferred => "inferred",
    }
}
