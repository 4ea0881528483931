//! The C libraries that test programs load, compiled once per run of the tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use heapray_tests::Scratch;

/// The compiled libraries.
pub(crate) struct Libraries {
    _folder: Scratch,
    /// Allocator functions, mappings and threads to call by ctypes.
    pub(crate) blocks: String,
    /// To preload: counts.
    pub(crate) count: String,
    /// To load and unload.
    pub(crate) plugin: String,
    /// Processes that never see Python.
    pub(crate) forked: String,
    /// Pools of threads that never see Python.
    pub(crate) pools: String,
    /// A parallel region of OpenMP.
    pub(crate) openmp: String,
    /// Functions that call back.
    pub(crate) through: String,
    /// Functions with debug information.
    pub(crate) lined: String,
    /// The same, with compressed debug information.
    pub(crate) lined_packed: String,
}

/// The libraries; compiles them at the first call.
pub(crate) fn libraries() -> &'static Libraries {
    static LIBRARIES: OnceLock<Libraries> = OnceLock::new();
    LIBRARIES.get_or_init(|| {
        let folder = Scratch::new();
        let built = |to: &str, name: &str, options: &[&str]| {
            let to = folder.file(&format!("{to}.so"));
            compile(name, options, &to);
            to.into_os_string().into_string().expect("the temporary folder is UTF-8")
        };
        let [blocks, count, forked, plugin, pools, through] =
            ["blocks", "count", "forked", "plugin", "pools", "through"]
                .map(|name| built(name, name, &["-pthread"]));
        let openmp = built("openmp", "openmp", &["-fopenmp"]);
        let (lined, lined_packed) =
            (built("lined", "lined", &["-g"]), built("lined_packed", "lined", &["-g", "-gz"]));
        Libraries {
            _folder: folder,
            blocks,
            count,
            forked,
            plugin,
            pools,
            openmp,
            through,
            lined,
            lined_packed,
        }
    })
}

fn compile(name: &str, options: &[&str], to: &Path) {
    let source: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "allocations/native", &format!("{name}.c")].iter().collect();
    let status = Command::new("cc")
        .args(["-O1", "-shared", "-fPIC"])
        .args(options)
        .arg("-o")
        .args([to, &source])
        .status()
        .expect("a C compiler is installed");
    assert!(status.success(), "{name}.c compiles");
}

/// Python that loads blocks.so as `lib`, with the types of its functions.
pub(crate) fn prelude() -> String {
    format!(
        "import ctypes, gc, json, os, sys, threading, time\n\
         from ctypes import c_int, c_size_t, c_void_p\n\
         lib = ctypes.CDLL({:?})\n\
         for name in 'block moved mapping reserved lazily remapped'.split(): getattr(lib, name).restype = c_void_p\n\
         lib.block.argtypes = [c_int, c_size_t]\n\
         lib.blocks.argtypes = [c_int, c_int, c_size_t, c_size_t, c_void_p]\n\
         lib.moved.argtypes = [c_void_p, c_size_t]\n\
         lib.dropped.argtypes = [c_void_p]\n\
         lib.drop_all.argtypes = [c_void_p, c_size_t]\n\
         lib.mapping.argtypes = lib.reserved.argtypes = lib.lazily.argtypes = [c_size_t]\n\
         lib.remapped.argtypes = [c_void_p, c_size_t, c_size_t]\n\
         lib.unmapped.argtypes = lib.opened.argtypes = lib.given_back.argtypes = [c_void_p, c_size_t]\n\
         lib.native_threads.argtypes = lib.unannounced_threads.argtypes = [c_int, c_size_t, c_size_t, c_void_p]\n\
         lib.errno_after.argtypes = [c_int, c_size_t]\n\
         def line(): return sys._getframe(1).f_lineno\n",
        libraries().blocks
    )
}
