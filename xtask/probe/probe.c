/* Prints where CPython's structures keep their fields, by the names that crates/cpython/src/layouts uses.
   Compiled by `cargo xtask layouts` against the headers of each interpreter found; run on the host.

   FIELD(name, number)                              one offset or size
   PRIVATE(name)                                    one that the headers do not tell
   ROOT(scope, label, first, count, stride)         an array (or one) of references: see layouts/runtime.rs */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <frameobject.h>
#include <structmember.h>
#include <datetime.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "internal/pycore_runtime.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_pystate.h"
#include "internal/pycore_gc.h"
#include "internal/pycore_object.h"
#include "internal/pycore_context.h"
#include "internal/pycore_hamt.h"
#include "internal/pycore_ast_state.h"
#include "internal/pycore_moduleobject.h"
#if PY_VERSION_HEX >= 0x030b0000
#include "internal/pycore_dict.h"
#include "internal/pycore_frame.h"
#include "internal/pycore_function.h"
#include "internal/pycore_genobject.h"
#include "internal/pycore_typeobject.h"
#include "internal/pycore_code.h"
#include "internal/pycore_unionobject.h"
#endif
#if PY_VERSION_HEX >= 0x030c0000
#include "internal/pycore_typevarobject.h"
#include "internal/pycore_memoryobject.h"
#endif
#if PY_VERSION_HEX >= 0x030e0000
#include "internal/pycore_interpframe_structs.h"
#include "internal/pycore_weakref.h"
#endif

#define PRIVATE(name) printf("private %s\n", name)
#define FIELD(name, number) printf("%s %lld\n", name, (long long)(number))
#define ROOT(scope, label, first, count, stride) \
    printf("root %s %lld %lld %lld %s\n", scope, (long long)(first), (long long)(count), (long long)(stride), label)
#define ONE(scope, label, first) ROOT(scope, label, first, 1, 8)
#define IS(member) offsetof(PyInterpreterState, member)
#define TS(member) offsetof(PyThreadState, member)
#define RT(member) offsetof(_PyRuntimeState, member)
#define SIZE_OF(type, member) sizeof(((type *)0)->member)
#define COUNT_OF(type, member) (SIZE_OF(type, member) / sizeof(((type *)0)->member[0]))
/* Every word of `type.member` from its field `from` to its end. */
#define WORDS_FROM(type, member, from) \
    ((SIZE_OF(type, member) - (offsetof(type, member.from) - offsetof(type, member))) / 8)

static void runtime_fields(void)
{
    FIELD("runtime_interpreters_head", RT(interpreters.head));
    FIELD("runtime_finalizing", RT(_finalizing));
    FIELD("interp_next", IS(next));
    FIELD("interp_id", IS(id));
    FIELD("interp_sysdict", IS(sysdict));
    FIELD("interp_gc", IS(gc));
#if PY_VERSION_HEX < 0x030b0000
    FIELD("interp_threads_head", IS(tstate_head));
#else
    FIELD("interp_threads_head", IS(threads.head));
#endif
#if PY_VERSION_HEX < 0x030c0000
    FIELD("interp_modules", IS(modules));
#else
    FIELD("interp_modules", IS(imports.modules));
    FIELD("interp_interned", IS(cached_objects.interned_strings));
#endif
#if PY_VERSION_HEX >= 0x030e0000
#else
    FIELD("interp_atexit_array", IS(atexit.callbacks));
    FIELD("interp_atexit_count", IS(atexit.ncallbacks));
#endif
    FIELD("interp_identifiers", IS(unicode.ids.array));
    FIELD("interp_identifiers_count", IS(unicode.ids.size));
#if PY_VERSION_HEX >= 0x030d0000
    FIELD("interp_static_types", IS(types.builtins.initialized));
    FIELD("interp_static_types_count", COUNT_OF(PyInterpreterState, types.builtins.initialized));
    FIELD("static_type_size", sizeof(managed_static_type_state));
    FIELD("static_type_type", offsetof(managed_static_type_state, type));
    FIELD("static_type_dict", offsetof(managed_static_type_state, tp_dict));
    FIELD("static_type_subclasses", offsetof(managed_static_type_state, tp_subclasses));
    FIELD("interp_extension_types", IS(types.for_extensions.initialized));
    FIELD("interp_extension_types_count", COUNT_OF(PyInterpreterState, types.for_extensions.initialized));
#elif PY_VERSION_HEX >= 0x030c0000
    FIELD("interp_static_types", IS(types.builtins));
    FIELD("interp_static_types_count", COUNT_OF(PyInterpreterState, types.builtins));
    FIELD("static_type_size", sizeof(static_builtin_state));
    FIELD("static_type_type", offsetof(static_builtin_state, type));
    FIELD("static_type_dict", offsetof(static_builtin_state, tp_dict));
    FIELD("static_type_subclasses", offsetof(static_builtin_state, tp_subclasses));
#endif

    FIELD("gc_enabled", offsetof(struct _gc_runtime_state, enabled));
    FIELD("gc_debug", offsetof(struct _gc_runtime_state, debug));
#if PY_VERSION_HEX >= 0x030e0000 && defined(_PyGC_NEXT_MASK_OLD_SPACE_1)
    FIELD("gc_generations", offsetof(struct _gc_runtime_state, young));
#else
    FIELD("gc_generations", offsetof(struct _gc_runtime_state, generations));
#endif
    FIELD("gc_generation_size", sizeof(struct gc_generation));
    FIELD("gc_generation_threshold", offsetof(struct gc_generation, threshold));
    FIELD("gc_generation_count", offsetof(struct gc_generation, count));
    FIELD("gc_permanent", offsetof(struct _gc_runtime_state, permanent_generation));
    FIELD("gc_collecting", offsetof(struct _gc_runtime_state, collecting));
    FIELD("gc_size", sizeof(struct _gc_runtime_state));

    FIELD("thread_next", TS(next));
    FIELD("thread_interp", TS(interp));
    FIELD("thread_python_id", TS(thread_id));
#if PY_VERSION_HEX >= 0x030b0000
    FIELD("thread_native_id", TS(native_thread_id));
#endif
#if PY_VERSION_HEX < 0x030b0000
    FIELD("thread_frame", TS(frame));
#elif PY_VERSION_HEX < 0x030d0000
    FIELD("thread_frame", TS(cframe));
    FIELD("cframe_frame", offsetof(_PyCFrame, current_frame));
#else
    FIELD("thread_frame", TS(current_frame));
#endif
#if PY_VERSION_HEX < 0x030d0000
    FIELD("thread_cframe", TS(cframe));
#if PY_VERSION_HEX < 0x030b0000
    FIELD("cframe_previous", offsetof(CFrame, previous));
#else
    FIELD("cframe_previous", offsetof(_PyCFrame, previous));
#endif
    FIELD("thread_on_delete", TS(on_delete));
    FIELD("thread_on_delete_data", TS(on_delete_data));
#endif

#if PY_VERSION_HEX < 0x030b0000
#define FRAME(member) offsetof(PyFrameObject, member)
    FIELD("frame_previous", FRAME(f_back));
    FIELD("frame_code", FRAME(f_code));
    FIELD("frame_globals", FRAME(f_globals));
    FIELD("frame_builtins", FRAME(f_builtins));
    FIELD("frame_locals", FRAME(f_locals));
    FIELD("frame_trace", FRAME(f_trace));
    FIELD("frame_generator", FRAME(f_gen));
    FIELD("frame_instruction", FRAME(f_lasti));
    FIELD("frame_stack", FRAME(f_stackdepth));
    FIELD("frame_state", FRAME(f_state));
    FIELD("frame_line", FRAME(f_lineno));
    FIELD("frame_slots", FRAME(f_localsplus));
#else
#define FRAME(member) offsetof(struct _PyInterpreterFrame, member)
    FIELD("frame_previous", FRAME(previous));
    FIELD("frame_globals", FRAME(f_globals));
    FIELD("frame_builtins", FRAME(f_builtins));
    FIELD("frame_locals", FRAME(f_locals));
    FIELD("frame_object", FRAME(frame_obj));
    FIELD("frame_owner", FRAME(owner));
#if PY_VERSION_HEX >= 0x030e05f0
    FIELD("frame_visited", FRAME(visited));
#endif
    FIELD("frame_slots", FRAME(localsplus));
#if PY_VERSION_HEX < 0x030c0000
    FIELD("frame_function", FRAME(f_func));
    FIELD("frame_is_entry", FRAME(is_entry));
#else
    FIELD("frame_function", FRAME(f_funcobj));
#endif
#if PY_VERSION_HEX < 0x030d0000
    FIELD("frame_code", FRAME(f_code));
    FIELD("frame_instruction", FRAME(prev_instr));
#else
    FIELD("frame_code", FRAME(f_executable));
    FIELD("frame_instruction", FRAME(instr_ptr));
#endif
#if PY_VERSION_HEX < 0x030e0000
    FIELD("frame_stack", FRAME(stacktop));
#else
    FIELD("frame_stack", FRAME(stackpointer));
#endif
#endif

#define CODE(member) offsetof(PyCodeObject, member)
    FIELD("code_flags", CODE(co_flags));
    FIELD("code_first_line", CODE(co_firstlineno));
    FIELD("code_stack_size", CODE(co_stacksize));
    FIELD("code_name", CODE(co_name));
    FIELD("code_filename", CODE(co_filename));
    FIELD("code_line_table", CODE(co_linetable));
#if PY_VERSION_HEX < 0x030b0000
    FIELD("code_n_locals", CODE(co_nlocals));
    FIELD("code_varnames", CODE(co_varnames));
    FIELD("code_cellvars", CODE(co_cellvars));
    FIELD("code_freevars", CODE(co_freevars));
    FIELD("code_instructions_object", CODE(co_code));
#else
    FIELD("code_qualname", CODE(co_qualname));
    FIELD("code_n_slots", CODE(co_nlocalsplus));
    FIELD("code_slot_names", CODE(co_localsplusnames));
    FIELD("code_slot_kinds", CODE(co_localspluskinds));
    FIELD("code_instructions", CODE(co_code_adaptive));
    FIELD("code_first_traceable", CODE(_co_firsttraceable));
#endif

    FIELD("object_type", offsetof(PyObject, ob_type));
    FIELD("var_size", offsetof(PyVarObject, ob_size));
    FIELD("tuple_items", offsetof(PyTupleObject, ob_item));
    FIELD("bytes_data", offsetof(PyBytesObject, ob_sval));
#if PY_VERSION_HEX < 0x030c0000
    FIELD("int_digits", offsetof(struct _longobject, ob_digit));
#else
    FIELD("int_digits", offsetof(struct _longobject, long_value.ob_digit));
#endif
    FIELD("type_name", offsetof(PyTypeObject, tp_name));
    FIELD("type_dealloc", offsetof(PyTypeObject, tp_dealloc));
    FIELD("type_flags", offsetof(PyTypeObject, tp_flags));
    FIELD("str_length", offsetof(PyASCIIObject, length));
    FIELD("str_state", offsetof(PyASCIIObject, state));
    FIELD("str_ascii_data", sizeof(PyASCIIObject));
    FIELD("str_compact_data", sizeof(PyCompactUnicodeObject));
    FIELD("str_data", offsetof(PyUnicodeObject, data));
}

static void str_bits(void)
{
    PyASCIIObject str;
    unsigned bits = 0;
#define BITS(name, member, value) \
    memset(&str, 0, sizeof str); str.state.member = value; memcpy(&bits, &str.state, 4); FIELD(name, bits)
    BITS("str_kind_mask", kind, 7);
    BITS("str_compact_bit", compact, 1);
    BITS("str_ascii_bit", ascii, 1);
}

static void interp_roots(void)
{
    ONE("interp", "sys.modules",
#if PY_VERSION_HEX < 0x030c0000
        IS(modules));
    ONE("interp", "modules_by_index", IS(modules_by_index));
    ONE("interp", "importlib", IS(importlib));
    ONE("interp", "import_func", IS(import_func));
#else
        IS(imports.modules));
    ONE("interp", "modules_by_index", IS(imports.modules_by_index));
    ONE("interp", "importlib", IS(imports.importlib));
    ONE("interp", "import_func", IS(imports.import_func));
#endif
    ONE("interp", "sysdict", IS(sysdict));
    ONE("interp", "builtins", IS(builtins));
    ONE("interp", "builtins_copy", IS(builtins_copy));
    ONE("interp", "dict", IS(dict));
#if PY_VERSION_HEX < 0x030d0000
    ONE("interp", "codec_search_path", IS(codec_search_path));
    ONE("interp", "codec_search_cache", IS(codec_search_cache));
    ONE("interp", "codec_error_registry", IS(codec_error_registry));
#else
    ONE("interp", "codec_search_path", IS(codecs.search_path));
    ONE("interp", "codec_search_cache", IS(codecs.search_cache));
    ONE("interp", "codec_error_registry", IS(codecs.error_registry));
#endif
    ONE("interp", "os.register_at_fork(before)", IS(before_forkers));
    ONE("interp", "os.register_at_fork(after_in_parent)", IS(after_forkers_parent));
    ONE("interp", "os.register_at_fork(after_in_child)", IS(after_forkers_child));
    ONE("interp", "warnings.filters", IS(warnings.filters));
    ONE("interp", "warnings.onceregistry", IS(warnings.once_registry));
    ONE("interp", "warnings.defaultaction", IS(warnings.default_action));
#if PY_VERSION_HEX >= 0x030e0000
    ONE("interp", "warnings.context", IS(warnings.context));
#endif
    ONE("interp", "audit hooks", IS(audit_hooks));
    ONE("interp", "gc.garbage", IS(gc.garbage));
    ONE("interp", "gc.callbacks", IS(gc.callbacks));
    ONE("interp", "errnomap", IS(exc_state.errnomap));
#if PY_VERSION_HEX >= 0x030b0000
    ONE("interp", "ExceptionGroup", IS(exc_state.PyExc_ExceptionGroup));
#endif
    ROOT("interp", "_ast types", IS(ast.AST_type), WORDS_FROM(PyInterpreterState, ast, AST_type), 8);
#if PY_VERSION_HEX < 0x030c0000
    ROOT("interp", "type cache", IS(type_cache.hashtable[0].name),
         COUNT_OF(PyInterpreterState, type_cache.hashtable), sizeof(struct type_cache_entry));
#else
    ROOT("interp", "type cache", IS(types.type_cache.hashtable[0].name),
         COUNT_OF(PyInterpreterState, types.type_cache.hashtable), sizeof(struct type_cache_entry));
    ONE("interp", "sysdict_copy", IS(sysdict_copy));
    ROOT("interp", "sys.monitoring callbacks", IS(monitoring_callables),
         SIZE_OF(PyInterpreterState, monitoring_callables) / 8, 8);
    ROOT("interp", "sys.monitoring tools", IS(monitoring_tool_names),
         COUNT_OF(PyInterpreterState, monitoring_tool_names), 8);
    ONE("interp", "object.__reduce__", IS(cached_objects.objreduce));
    ROOT("interp", "typing types", IS(cached_objects.generic_type),
#if PY_VERSION_HEX < 0x030e0000
         6,
#else
         7,
#endif
         8);
#endif
#if PY_VERSION_HEX >= 0x030c0000 && PY_VERSION_HEX < 0x030e0000
    /* str_replace_inf in 3.12, renamed but kept in later 3.13. */
    ONE("interp", "str_replace_inf", IS(cached_objects.interned_strings) + 8);
#endif
#if PY_VERSION_HEX >= 0x030c0000 && PY_VERSION_HEX < 0x030d0000
    ONE("interp", "interpreter_trampoline", IS(interpreter_trampoline));
#endif
#if PY_VERSION_HEX >= 0x030d0000 && PY_VERSION_HEX < 0x030e0000
    ONE("interp", "optimizer", IS(optimizer));
#endif
#if PY_VERSION_HEX >= 0x030e0000
    ONE("interp", "atexit", IS(atexit.callbacks));
#endif
#if PY_VERSION_HEX >= 0x030f0000
    ONE("interp", "lazy_import_func", IS(imports.lazy_import_func));
    ONE("interp", "lazy_imports_filter", IS(imports.lazy_imports_filter));
    ONE("interp", "sys.lazy_modules", IS(imports.lazy_modules));
    ONE("interp", "lazy_pending_submodules", IS(imports.lazy_pending_submodules));
    ONE("interp", "__dict__ descriptor", IS(cached_objects.dict_descriptor));
    ONE("interp", "__weakref__ descriptor", IS(cached_objects.weakref_descriptor));
#endif
#if PY_VERSION_HEX < 0x030b0000
    ROOT("interp", "small ints", IS(small_ints), COUNT_OF(PyInterpreterState, small_ints), 8);
    ONE("interp", "b''", IS(bytes.empty_string));
    ROOT("interp", "single bytes", IS(bytes.characters), 256, 8);
    ONE("interp", "''", IS(unicode.empty_string));
    ROOT("interp", "single characters", IS(unicode.latin1), 256, 8);
    ONE("interp", "()", IS(tuple.free_list));
#endif
}

static void runtime_roots(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    ROOT("runtime", "signal handlers", RT(signals.handlers[0].func), COUNT_OF(_PyRuntimeState, signals.handlers),
         SIZE_OF(_PyRuntimeState, signals.handlers[0]));
    ONE("runtime", "signal.SIG_DFL", RT(signals.default_handler));
    ONE("runtime", "signal.SIG_IGN", RT(signals.ignore_handler));
#endif
}

static void thread_roots(void)
{
    ONE("thread", "dict", TS(dict));
    ONE("thread", "context", TS(context));
    ONE("thread", "async_exc", TS(async_exc));
    ONE("thread", "profile function", TS(c_profileobj));
    ONE("thread", "trace function", TS(c_traceobj));
    ONE("thread", "async_gen_firstiter", TS(async_gen_firstiter));
    ONE("thread", "async_gen_finalizer", TS(async_gen_finalizer));
#if PY_VERSION_HEX < 0x030c0000
    ONE("thread", "exception being raised (type)", TS(curexc_type));
    ONE("thread", "exception being raised", TS(curexc_value));
    ONE("thread", "exception being raised (traceback)", TS(curexc_traceback));
#else
    ONE("thread", "exception being raised", TS(current_exception));
#endif
    ONE("thread", "exception being handled", TS(exc_state.exc_value));
#if PY_VERSION_HEX < 0x030b0000
    ONE("thread", "exception being handled (type)", TS(exc_state.exc_type));
    ONE("thread", "exception being handled (traceback)", TS(exc_state.exc_traceback));
#endif
#if PY_VERSION_HEX >= 0x030d0000
    ONE("thread", "threading.local key", TS(threading_local_key));
    ONE("thread", "threading.local sentinel", TS(threading_local_sentinel));
#endif
#if PY_VERSION_HEX >= 0x030e0000
    ONE("thread", "running event loop", offsetof(_PyThreadStateImpl, asyncio_running_loop));
    ONE("thread", "running task", offsetof(_PyThreadStateImpl, asyncio_running_task));
#if PY_VERSION_HEX >= 0x030f0000
    ONE("thread", "lazy imports", offsetof(_PyThreadStateImpl, lazy_imports));
#endif
#elif PY_VERSION_HEX >= 0x030d0000
    /* _PyThreadStateImpl has no references in 3.13. */
#endif
}

/* Where _Py_DebugOffsets repeats a field of ours. */
static void debug_offsets(void)
{
#if PY_VERSION_HEX >= 0x030d0000
#define DEBUG(name, member) printf("debug %s %lld\n", name, (long long)offsetof(_Py_DebugOffsets, member))
    DEBUG("runtime_interpreters_head", runtime_state.interpreters_head);
    DEBUG("runtime_finalizing", runtime_state.finalizing);
    DEBUG("interp_next", interpreter_state.next);
    DEBUG("interp_id", interpreter_state.id);
    DEBUG("interp_threads_head", interpreter_state.threads_head);
    DEBUG("interp_gc", interpreter_state.gc);
    DEBUG("interp_modules", interpreter_state.imports_modules);
    DEBUG("interp_sysdict", interpreter_state.sysdict);
    DEBUG("gc_size", gc.size);
    DEBUG("gc_collecting", gc.collecting);
    DEBUG("thread_next", thread_state.next);
    DEBUG("thread_interp", thread_state.interp);
    DEBUG("thread_frame", thread_state.current_frame);
    DEBUG("thread_python_id", thread_state.thread_id);
    DEBUG("thread_native_id", thread_state.native_thread_id);
    DEBUG("frame_previous", interpreter_frame.previous);
    DEBUG("frame_code", interpreter_frame.executable);
    DEBUG("frame_instruction", interpreter_frame.instr_ptr);
    DEBUG("frame_slots", interpreter_frame.localsplus);
    DEBUG("frame_owner", interpreter_frame.owner);
    DEBUG("code_filename", code_object.filename);
    DEBUG("code_name", code_object.name);
    DEBUG("code_qualname", code_object.qualname);
    DEBUG("code_line_table", code_object.linetable);
    DEBUG("code_first_line", code_object.firstlineno);
    DEBUG("code_slot_names", code_object.localsplusnames);
    DEBUG("code_slot_kinds", code_object.localspluskinds);
    DEBUG("code_instructions", code_object.co_code_adaptive);
    DEBUG("object_type", pyobject.ob_type);
    DEBUG("type_name", type_object.tp_name);
    DEBUG("type_flags", type_object.tp_flags);
    DEBUG("tuple_items", tuple_object.ob_item);
    DEBUG("var_size", tuple_object.ob_size);
    DEBUG("bytes_data", bytes_object.ob_sval);
    DEBUG("str_state", unicode_object.state);
    DEBUG("str_length", unicode_object.length);
    DEBUG("str_ascii_data", unicode_object.asciiobject_size);
#endif
}

static void object_fields(void)
{
#include "objects.c"
}

int main(void)
{
    printf("version %u\n", (unsigned)PY_VERSION_HEX);
    runtime_fields();
    str_bits();
    interp_roots();
    runtime_roots();
    thread_roots();
    debug_offsets();
    printf("objects\n");
    object_fields();
    return 0;
}
