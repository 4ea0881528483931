//! Offsets and behaviours of the runtime: interpreters, threads, frames, the collector, code objects, strings.
//!
//! Names follow `xtask/probe/probe.c`, which says for each version what C expression stands behind each.

use super::layout;

layout! {
    /// Where the runtime keeps things. Offsets in bytes from the start of the structure that the name begins with.
    pub struct RuntimeLayout {
        /// `_PyRuntimeState`: newest interpreter.
        pub runtime_interpreters_head: u32,
        /// The thread that ends the runtime (`Py_FinalizeEx`), 0 while none does.
        pub runtime_finalizing: u32,
        /// `PyInterpreterState`: next interpreter.
        pub interp_next: u32,
        /// Its number; 0 is the main interpreter.
        pub interp_id: u32,
        /// Newest thread.
        pub interp_threads_head: u32,
        /// Dict of the `sys` module.
        pub interp_sysdict: u32,
        /// `sys.modules`.
        pub interp_modules: u32,
        /// Dict of the interned strings, whose references are not counted; a C static before 3.12.
        pub interp_interned: Option<u32>,
        /// Array of `atexit_callback *`, each with `func`, `args`, `kwargs`; until 3.13.
        pub interp_atexit_array: Option<u32>,
        /// Its used length, an `int`.
        pub interp_atexit_count: Option<u32>,
        /// Array of owned strings (`_PyUnicode_FromId`).
        pub interp_identifiers: u32,
        /// Its length.
        pub interp_identifiers_count: u32,
        /// Array with this interpreter's state of each static builtin type; since 3.12.
        pub interp_static_types: Option<u32>,
        /// Its length.
        pub interp_static_types_count: Option<u32>,
        /// The same for static types of extension modules; since 3.13.
        pub interp_extension_types: Option<u32>,
        /// Its length.
        pub interp_extension_types_count: Option<u32>,
        /// Size of an element of both.
        pub static_type_size: Option<u32>,
        /// Element: the type.
        pub static_type_type: Option<u32>,
        /// Element: its `tp_dict`.
        pub static_type_dict: Option<u32>,
        /// Element: its `tp_subclasses`.
        pub static_type_subclasses: Option<u32>,
        /// `PyInterpreterState`: the collector's state.
        pub interp_gc: u32,
        /// `_gc_runtime_state`: `gc.isenabled()`, an `int`.
        pub gc_enabled: u32,
        /// `gc.get_debug()`, an `int`.
        pub gc_debug: u32,
        /// First of three `gc_generation`.
        pub gc_generations: u32,
        /// Size of a `gc_generation`; its list head is at 0.
        pub gc_generation_size: u32,
        /// `gc_generation`: threshold, an `int`.
        pub gc_generation_threshold: u32,
        /// `gc_generation`: counter, an `int`.
        pub gc_generation_count: u32,
        /// The permanent `gc_generation`.
        pub gc_permanent: u32,
        /// Collection in progress, an `int`.
        pub gc_collecting: u32,
        /// Size of `_gc_runtime_state`.
        pub gc_size: u32,
        /// `PyThreadState`: next, older thread.
        pub thread_next: u32,
        /// Its interpreter.
        pub thread_interp: u32,
        /// `threading.get_ident()`.
        pub thread_python_id: u32,
        /// Kernel's thread id; since 3.11.
        pub thread_native_id: Option<u32>,
        /// Innermost frame, or the `_PyCFrame` that has it.
        pub thread_frame: u32,
        /// `_PyCFrame`: innermost frame; 3.11 and 3.12.
        pub cframe_frame: Option<u32>,
        /// `PyThreadState`: innermost `_PyCFrame`, a local variable of the interpreter's C function; until 3.12.
        pub thread_cframe: Option<u32>,
        /// `_PyCFrame`: that of the next outer call of the C function.
        pub cframe_previous: Option<u32>,
        /// Function to be called when the thread ends; until 3.12.
        pub thread_on_delete: Option<u32>,
        /// Its argument: a weak reference object, owned; until 3.12.
        pub thread_on_delete_data: Option<u32>,
        /// Frame: the frame that it returns to.
        pub frame_previous: u32,
        /// Code object.
        pub frame_code: u32,
        /// Function, owned; since 3.11.
        pub frame_function: Option<u32>,
        /// Globals dict.
        pub frame_globals: u32,
        /// Builtins dict.
        pub frame_builtins: u32,
        /// Locals mapping of class bodies and `exec`, owned.
        pub frame_locals: u32,
        /// The `PyFrameObject`, owned; since 3.11.
        pub frame_object: Option<u32>,
        /// Trace function of a 3.10 frame object.
        pub frame_trace: Option<u32>,
        /// Generator of a 3.10 frame object, borrowed.
        pub frame_generator: Option<u32>,
        /// `f_state` of a 3.10 frame object, a signed byte.
        pub frame_state: Option<u32>,
        /// `f_lineno` of a 3.10 frame object, valid where not 0.
        pub frame_line: Option<u32>,
        /// Who owns it, a byte; since 3.11.
        pub frame_owner: Option<u32>,
        /// Whether the frame was entered by a call of the interpreter's C function, a byte; 3.11.
        pub frame_is_entry: Option<u32>,
        /// A byte that is zeroed when a frame begins and that nothing reads: what the incremental collector has left;
        /// since 3.14.5 (`Include/internal/pycore_interpframe.h`).
        pub frame_visited: Option<u32>,
        /// Position in the code, see [`Frames`].
        pub frame_instruction: u32,
        /// Top of the evaluation stack, see [`StackTop`].
        pub frame_stack: u32,
        /// Array of locals, cells, free variables, then evaluation stack.
        pub frame_slots: u32,
        /// `PyCodeObject`: `co_flags`.
        pub code_flags: u32,
        /// `co_firstlineno`.
        pub code_first_line: u32,
        /// Depth of the evaluation stack.
        pub code_stack_size: u32,
        /// `co_name`.
        pub code_name: u32,
        /// `co_qualname`; since 3.11.
        pub code_qualname: Option<u32>,
        /// `co_filename`.
        pub code_filename: u32,
        /// Line table, a `bytes`, see [`LineTable`].
        pub code_line_table: u32,
        /// Number of locals, cells and free variables; since 3.11.
        pub code_n_slots: Option<u32>,
        /// Their names, a tuple; since 3.11.
        pub code_slot_names: Option<u32>,
        /// Their kinds, a `bytes`; since 3.11.
        pub code_slot_kinds: Option<u32>,
        /// First instruction; since 3.11.
        pub code_instructions: Option<u32>,
        /// Index of the first instruction that a frame is whole at, an `int` in code units; since 3.11.
        pub code_first_traceable: Option<u32>,
        /// Number of locals; 3.10.
        pub code_n_locals: Option<u32>,
        /// Names of locals, a tuple; 3.10.
        pub code_varnames: Option<u32>,
        /// Names of cell variables, a tuple; 3.10.
        pub code_cellvars: Option<u32>,
        /// Names of free variables, a tuple; 3.10.
        pub code_freevars: Option<u32>,
        /// Instructions, a `bytes`; 3.10.
        pub code_instructions_object: Option<u32>,
        /// `PyObject`: type.
        pub object_type: u32,
        /// `PyVarObject`: number of items.
        pub var_size: u32,
        /// `PyTupleObject`: first item.
        pub tuple_items: u32,
        /// `PyBytesObject`: first byte.
        pub bytes_data: u32,
        /// `PyLongObject`: first digit, 30 bits in 4 bytes.
        pub int_digits: u32,
        /// `PyTypeObject`: name, a C string.
        pub type_name: u32,
        /// `PyTypeObject`: function that ends an object.
        pub type_dealloc: u32,
        /// `PyTypeObject`: flags.
        pub type_flags: u32,
        /// `PyASCIIObject`: length in characters.
        pub str_length: u32,
        /// Its state bits, 4 bytes.
        pub str_state: u32,
        /// Data of a compact ASCII string.
        pub str_ascii_data: u32,
        /// Data of another compact string.
        pub str_compact_data: u32,
        /// Pointer to the data of a string that is not compact.
        pub str_data: u32,
        /// Bits of `str_state`: bytes a character.
        pub str_kind_mask: u32,
        /// Bit of `str_state`: the data follows the header.
        pub str_compact_bit: u32,
        /// Bit of `str_state`: ASCII only.
        pub str_ascii_bit: u32,
        =>
        /// The collector's lists.
        pub gc_lists: GcLists,
        /// How references are counted.
        pub refcounts: Refcounts,
        /// Where the current thread state is kept.
        pub current_thread: CurrentThread,
        /// What a frame is.
        pub frames: Frames,
        /// How a frame says what is on its evaluation stack.
        pub stack_top: StackTop,
        /// What a slot of a frame is.
        pub slots: Slots,
        /// Encoding of line tables.
        pub line_table: LineTable,
        /// Owned references of a `PyInterpreterState`.
        pub interp_roots: &'static [Root],
        /// Owned references of `_PyRuntimeState`.
        pub runtime_roots: &'static [Root],
        /// Owned references of a `PyThreadState`.
        pub thread_roots: &'static [Root],
        /// Where `_Py_DebugOffsets` at the start of `_PyRuntimeState` repeats what this row says; since 3.13.
        pub debug_offsets: &'static [DebugOffset],
    }
}

/// One owned reference, or an array of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// What it is called in a trail.
    pub label: &'static str,
    /// Offset of the first.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// Bytes from one to the next.
    pub stride: u32,
}

/// A number of our row that `_Py_DebugOffsets` repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebugOffset {
    /// Name, as in [`RuntimeLayout::offsets`].
    pub name: &'static str,
    /// Where, in bytes from the start of `_PyRuntimeState`.
    pub at: u32,
}

/// The collector's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GcLists {
    /// Three generations: young, middle, old.
    Generational,
    /// Incremental (3.14.0 to 3.14.4): one young list, two spaces of old objects whose flag is bit 0 of the next
    /// pointer; `gc.get_objects(1)` is one of the spaces, see `Modules/gcmodule.c` there.
    Incremental,
}

/// How references are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refcounts {
    /// A signed word; nothing is immortal (3.10).
    Plain,
    /// A signed word; static objects start at 999 999 999 (3.11, `_PyObject_IMMORTAL_REFCNT`).
    HighStatics,
    /// The low 32 bits; immortal where they are negative (PEP 683; 3.12 and later).
    Low32,
}

/// Where the current thread state is kept, which `_PyThreadState_UncheckedGet` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurrentThread {
    /// In one word of the runtime: it is that of whichever thread holds the interpreter (3.10, 3.11).
    Runtime,
    /// In a variable of each thread, null while the thread is detached (3.12 and later).
    ThreadLocal,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// Every frame is a `PyFrameObject`; `f_lasti` counts code units (3.10).
    Objects,
    /// A `_PyInterpreterFrame`; the instruction is a pointer into the code object (3.11 and later).
    Structs,
}

/// How a frame says what is on its evaluation stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackTop {
    /// An `int`, the depth of the stack; -1 while running (3.10).
    Depth,
    /// An `int`, the index of the next free slot, locals included; -1 while running (3.11 to 3.13).
    Index,
    /// A pointer to the next free slot; stale while running (3.14 and later).
    Pointer,
}

/// What a slot of a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// An owned pointer or null.
    Plain,
    /// A `_PyStackRef`: bits 0 and 1 are 0 for an owned pointer, 1 for one that owns nothing, 3 for an integer
    /// (3.14, `Include/internal/pycore_stackref.h`).
    Tagged,
}

/// Encoding of line tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineTable {
    /// Pairs of byte and line deltas (3.10, `Objects/lnotab_notes.txt`).
    Deltas,
    /// Location entries with columns (3.11 and later, `Objects/locations.md`).
    Locations,
}
