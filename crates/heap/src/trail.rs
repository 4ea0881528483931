//! The way from a root to an object, and its text. Finding it is `tree`'s, naming one step is `step`'s.

/// What a trail starts from, best names first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RootKind {
    /// A module that `sys.modules` holds.
    Module,
    /// A local variable of a running frame.
    Frame,
    /// A thread's own fields: its context, its exception, its dict of `threading.local`s.
    Thread,
    /// A type that no module names.
    Type,
    /// A field of the interpreter other than its modules.
    Interpreter,
    /// Static memory, C stack or heap block of native code.
    Native,
    /// The reference count says that something holds it; nothing found says what.
    Unknown,
    /// Nothing refers to it although it is counted: a lost reference.
    Lost,
    /// Unreachable, waits for the collector.
    Garbage,
}

/// What a user would call the thing that holds: the last place of a trail that has a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HolderKind {
    /// `module.name`.
    ModuleGlobal,
    /// `module.Class.name`.
    ClassAttribute,
    /// A variable or default value of a function.
    Closure,
    /// `functools.lru_cache`.
    Cache,
    /// `threading.local`.
    ThreadLocal,
    /// An asyncio task.
    Task,
    /// A local variable of a running frame.
    Local,
    /// A local variable of a suspended generator or coroutine.
    Generator,
    /// A field of the interpreter or of a thread: context variables, `atexit`, `gc.callbacks`.
    Interpreter,
    /// Native code.
    Native,
    /// Unknown: an unexplained reference count.
    Unknown,
    /// Nobody: a lost reference.
    Lost,
    /// Nobody: garbage.
    Garbage,
}

/// One way from a root to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    /// Node ids from the root to the object, both included, however long.
    pub nodes: Vec<u32>,
    /// What it starts from.
    pub root: RootKind,
    /// What kind of holder has the object, see [`HolderKind`].
    pub holder: HolderKind,
    /// The text in parts, first the root: `data_pipeline`, `.buffer`, `[99998]`. At most 32: where the trail is
    /// longer, its middle is one step `… (999,998 more)`.
    pub steps: Vec<String>,
    /// The steps joined: `data_pipeline.buffer[99998]`.
    pub text: String,
}

impl crate::Heap {
    /// The best trail of a node.
    pub fn trail(&self, node: u32) -> Trail {
        Trail {
            nodes: self.path(node),
            root: RootKind::Unknown,
            holder: HolderKind::Unknown,
            steps: Vec::new(),
            text: String::new(),
        }
    }

    /// The nodes of the best trail, root first.
    pub fn path(&self, node: u32) -> Vec<u32> {
        let mut nodes = vec![node];
        let mut at = node;
        while let Some(above) = self.trail_parent(at) {
            nodes.push(above);
            at = above;
        }
        nodes.reverse();
        nodes
    }
}
