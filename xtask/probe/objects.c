/* The offsets of ObjectLayout: one FIELD(name, expression) per field, under the versions that have it.
   PRIVATE(name): a structure that no header declares; the oracle tests on live objects stand for it.
   Included into main() of probe.c; headers are included there. */
    FIELD("type_heap_name", offsetof(PyHeapTypeObject, ht_name));
    FIELD("type_heap_keys", offsetof(PyHeapTypeObject, ht_cached_keys));
    FIELD("type_heap_module", offsetof(PyHeapTypeObject, ht_module));
#if PY_VERSION_HEX >= 0x030b0000
    FIELD("type_heap_tpname", offsetof(PyHeapTypeObject, _ht_tpname));
#endif
    FIELD("type_heap_size", sizeof(PyHeapTypeObject));
    FIELD("type_static_size", sizeof(PyTypeObject));
#if PY_VERSION_HEX >= 0x030b0000
    FIELD("keys_n_entries", offsetof(struct _dictkeysobject, dk_nentries));
    FIELD("keys_usable", offsetof(struct _dictkeysobject, dk_usable));
    FIELD("keys_indices", offsetof(struct _dictkeysobject, dk_indices));
    FIELD("values_first", offsetof(struct _dictvalues, values));
#else
    /* Objects/dict-common.h */
    PRIVATE("keys_n_entries");
    PRIVATE("keys_usable");
    PRIVATE("keys_indices");
    PRIVATE("values_first");
#endif
#if PY_VERSION_HEX >= 0x030d0000
    FIELD("values_valid", offsetof(struct _dictvalues, valid));
    FIELD("values_embedded", offsetof(struct _dictvalues, embedded));
    FIELD("values_capacity", offsetof(struct _dictvalues, capacity));
#endif
    FIELD("str_utf8_length", offsetof(PyCompactUnicodeObject, utf8_length));
#if PY_VERSION_HEX < 0x030c0000
    FIELD("str_wstr", offsetof(PyASCIIObject, wstr));
    FIELD("str_wstr_length", offsetof(PyCompactUnicodeObject, wstr_length));
#endif
    FIELD("str_full_size", sizeof(PyUnicodeObject));
#if PY_VERSION_HEX >= 0x030b0000
    FIELD("generator_state", offsetof(PyGenObject, gi_frame_state));
    FIELD("generator_frame", offsetof(PyGenObject, gi_iframe));
    FIELD("frame_object_frame", offsetof(PyFrameObject, f_frame));
    FIELD("frame_object_data", offsetof(PyFrameObject, _f_frame_data));
#endif
    FIELD("code_extra", offsetof(PyCodeObject, co_extra));
#if PY_VERSION_HEX >= 0x030c0000
    FIELD("code_cached", offsetof(PyCodeObject, _co_cached));
#endif
#if PY_VERSION_HEX < 0x030b0000
    FIELD("code_cell2arg", offsetof(PyCodeObject, co_cell2arg));
    FIELD("code_opcache", offsetof(PyCodeObject, co_opcache_map));
    FIELD("code_opcache_size", offsetof(PyCodeObject, co_opcache_size));
#endif
    FIELD("module_state", offsetof(PyModuleObject, md_state));
#if PY_VERSION_HEX < 0x030f0000
    FIELD("module_def", offsetof(PyModuleObject, md_def));
#else
    FIELD("module_state_size", offsetof(PyModuleObject, md_state_size));
    FIELD("bytearray_object", offsetof(PyByteArrayObject, ob_bytes_object));
    FIELD("frozendict_hash", offsetof(PyFrozenDictObject, ma_hash));
#endif
    /* Modules/_io/stringio.c */
    PRIVATE("stringio_buffer");
#if PY_VERSION_HEX >= 0x030d0000
    /* Modules/_queuemodule.c */
    PRIVATE("queue_ring");
#endif
