//! Finds CPython in a process: which version, where its state lies, which interpreters it runs.
//!
//! A version number only proposes rows of the table; a row is taken when the process bears it out: the lists of
//! interpreters, threads and collected objects lead where they should, `sys.modules` is a dict, and, where the
//! runtime carries `_Py_DebugOffsets`, they say the same.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::code::at;
use crate::layouts::{self, LAYOUTS, Layout, RuntimeLayout, SUPPORTED};
use crate::{Memory, gc, object, strings};

/// A CPython runtime that we can read.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// Where everything lies in this version.
    pub layout: &'static Layout,
    /// `sys.hexversion`.
    pub version_hex: u32,
    /// Address of `_PyRuntime`.
    pub address: u64,
    /// Addresses of the interpreter states, newest first as CPython links them, the main interpreter last.
    pub interpreters: Vec<u64>,
}

/// Why a process cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {found}; supported is {supported}")]
pub struct Unsupported {
    /// What the process is, as far as could be seen.
    pub found: String,
    /// What heapray reads.
    pub supported: &'static str,
}

/// Most interpreters listed.
const INTERPRETER_LIMIT: usize = 1 << 12;

/// `_Py_Debug_Cookie`, the first bytes of `_PyRuntimeState` since 3.13.
const DEBUG_COOKIE: &[u8; 8] = b"xdebugpy";

impl Runtime {
    /// Recognises the runtime. `symbol` answers the address of a global symbol of the process
    /// (from `.dynsym` at least; asked for `_PyRuntime`, `Py_Version` and the marks of other builds).
    ///
    /// Errors: anything but a CPython 3.10 to 3.15 release build with a GIL on x86-64, and one that has not started
    /// or has ended.
    pub fn find<M: Memory>(mem: &M, symbol: &dyn Fn(&str) -> Option<u64>) -> Result<Runtime, Unsupported> {
        let address = symbol("_PyRuntime").ok_or_else(|| unsupported(without_runtime(symbol)))?;
        let says = Says::read(mem, symbol, address);
        if let Some(found) = says.refusal(symbol) {
            return Err(unsupported(found));
        }
        let fits = |layout: &&'static Layout| interpreters(mem, &layout.runtime, address).is_some();
        let layout = match says.version {
            Some(version) => layouts::for_version(version).find(fits),
            None => LAYOUTS.iter().find(fits),
        };
        let layout = layout.ok_or_else(|| unsupported(says.unfit(mem, address)))?;
        let interpreters = interpreters(mem, &layout.runtime, address).unwrap_or_default();
        let mut runtime =
            Runtime { layout, version_hex: says.version.unwrap_or(layout.first), address, interpreters };
        runtime.ask_sys(mem, says.version.is_some())?;
        Ok(runtime)
    }

    /// Takes the version from `sys.hexversion`, which must be readable unless the runtime stated its version elsewhere,
    /// and refuses what `sys.abiflags` marks as another build.
    fn ask_sys<M: Memory>(&mut self, mem: &M, is_stated: bool) -> Result<(), Unsupported> {
        let version = self.sys_item(mem, "hexversion").and_then(|int| self.small_int(mem, int));
        match version {
            Some(version) if (self.layout.first..=self.layout.last).contains(&version) => {
                self.version_hex = version
            }
            Some(version) => return Err(unsupported(format!("CPython {}", version_text(version)))),
            // 3.9 looks like 3.10 as far as the layout was checked; only its word tells.
            None if !is_stated => {
                return Err(unsupported("CPython 3.7 to 3.10 without sys.hexversion".into()));
            }
            None => {}
        }
        let flags = self.sys_item(mem, "abiflags").and_then(|flags| strings::read(mem, self, flags, 16));
        let version = version_text(self.version_hex);
        match flags.unwrap_or_default() {
            flags if flags.contains('t') => Err(unsupported(format!("free-threaded CPython {version}"))),
            flags if flags.contains('d') => Err(unsupported(format!("a debug build of CPython {version}"))),
            _ => Ok(()),
        }
    }

    /// An attribute of the main interpreter's `sys` module.
    fn sys_item<M: Memory>(&self, mem: &M, name: &str) -> Option<u64> {
        let main = *self.interpreters.last()?;
        let sysdict = mem.u64(at(main, self.layout.runtime.interp_sysdict)?)?;
        object::dict_lookup_str(mem, self, sysdict, name)
    }

    /// The value of an `int` of one digit.
    fn small_int<M: Memory>(&self, mem: &M, int: u64) -> Option<u32> {
        mem.u32(at(int, self.layout.runtime.int_digits)?)
    }
}

/// What the runtime says of itself before any row is tried.
struct Says {
    version: Option<u32>,
    is_free_threaded: bool,
}

impl Says {
    fn read<M: Memory>(mem: &M, symbol: &dyn Fn(&str) -> Option<u64>, address: u64) -> Says {
        let exported = symbol("Py_Version").and_then(|version| mem.u32(version));
        if mem.array(address) != Some(*DEBUG_COOKIE) {
            return Says { version: exported, is_free_threaded: false };
        }
        // `_Py_DebugOffsets`: cookie, version, free_threaded; Include/internal/pycore_runtime.h, 3.13.
        let version =
            at(address, 8).and_then(|field| mem.u64(field)).and_then(|word| u32::try_from(word).ok());
        let free_threaded = at(address, 16).and_then(|field| mem.u64(field));
        Says { version: version.or(exported), is_free_threaded: free_threaded == Some(1) }
    }

    /// What to refuse without a look at the layout.
    fn refusal(&self, symbol: &dyn Fn(&str) -> Option<u64>) -> Option<String> {
        let version = self.version.map_or_else(String::new, |version| format!(" {}", version_text(version)));
        if self.is_free_threaded {
            return Some(format!("free-threaded CPython{version}"));
        }
        // Only builds that count all references (Py_REF_DEBUG, part of Py_DEBUG) have it: Objects/object.c.
        if symbol("_Py_NegativeRefcount").is_some() {
            return Some(format!("a debug build of CPython{version}"));
        }
        let is_known = self.version.is_none_or(|version| layouts::for_version(version).next().is_some());
        (!is_known).then(|| format!("CPython{version}"))
    }

    /// What to say where no row fits.
    fn unfit<M: Memory>(&self, mem: &M, address: u64) -> String {
        let Some(version) = self.version else {
            return "CPython 3.7 to 3.9, or one that has not started or has ended".into();
        };
        let text = version_text(version);
        let head = layouts::for_version(version)
            .next()
            .and_then(|layout| mem.u64(at(address, layout.runtime.runtime_interpreters_head)?));
        match head {
            Some(0) => format!("CPython {text} that has not started or has ended"),
            _ => format!(
                "CPython {text} with an unknown layout (a modified build, or one that is just starting)"
            ),
        }
    }
}

fn unsupported(found: String) -> Unsupported {
    Unsupported { found, supported: SUPPORTED }
}

/// What a process without `_PyRuntime` is.
fn without_runtime(symbol: &dyn Fn(&str) -> Option<u64>) -> String {
    let has = |name| symbol(name).is_some();
    if has("pypy_main_startup") || has("pypy_setup_home") {
        "PyPy".into()
    } else if has("PyString_Type") {
        "CPython 2".into()
    } else if has("PyUnicode_Type") || has("Py_GetVersion") {
        "CPython 3.6 or older".into()
    } else {
        "a process without CPython's symbol _PyRuntime (not a Python, or one stripped of its dynamic symbols)"
            .into()
    }
}

/// `3.12.1`, or `3.15.0a3` for a pre-release; `PY_VERSION_HEX` in `Include/patchlevel.h`.
fn version_text(version: u32) -> String {
    let [major, minor, micro, rest] = version.to_be_bytes();
    let level = match rest >> 4 {
        0xa => "a",
        0xb => "b",
        0xc => "rc",
        _ => return format!("{major}.{minor}.{micro}"),
    };
    format!("{major}.{minor}.{micro}{level}{}", rest & 15)
}

/// The interpreters, where `layout` is borne out by all of them.
fn interpreters<M: Memory>(mem: &M, layout: &RuntimeLayout, address: u64) -> Option<Vec<u64>> {
    if !debug_offsets_agree(mem, layout, address) {
        return None;
    }
    let mut found = Vec::new();
    let mut interp = mem.u64(at(address, layout.runtime_interpreters_head)?)?;
    while interp != 0 {
        if found.len() == INTERPRETER_LIMIT || found.contains(&interp) || !is_interpreter(mem, layout, interp)
        {
            return None;
        }
        found.push(interp);
        interp = mem.u64(at(interp, layout.interp_next)?)?;
    }
    (!found.is_empty()).then_some(found)
}

/// Whether `_Py_DebugOffsets` says of each field what our row says.
fn debug_offsets_agree<M: Memory>(mem: &M, layout: &RuntimeLayout, address: u64) -> bool {
    if layout.debug_offsets.is_empty() {
        return true;
    }
    let ours = layout.offsets();
    layout.debug_offsets.iter().all(|theirs| {
        let row = ours.iter().find(|(name, _)| *name == theirs.name).and_then(|(_, offset)| *offset);
        let said = at(address, theirs.at).and_then(|field| mem.u64(field));
        row.is_some() && said == row.map(u64::from)
    })
}

/// Whether an interpreter state lies at `interp`.
fn is_interpreter<M: Memory>(mem: &M, layout: &RuntimeLayout, interp: u64) -> bool {
    let word = |base: u64, offset: u32| at(base, offset).and_then(|field| mem.u64(field));
    let has_thread = match word(interp, layout.interp_threads_head) {
        Some(0) => true,
        Some(thread) => word(thread, layout.thread_interp) == Some(interp),
        None => false,
    };
    let is_dict = |offset| word(interp, offset).is_some_and(|object| is_dict(mem, layout, object));
    has_thread
        && gc::fits(mem, layout, interp)
        && is_dict(layout.interp_sysdict)
        && is_dict(layout.interp_modules)
}

/// Whether the object at `object` is a `dict` by the name of its type, whose own type is `type`, whose type is itself.
fn is_dict<M: Memory>(mem: &M, layout: &RuntimeLayout, object: u64) -> bool {
    let type_of = |object: u64| at(object, layout.object_type).and_then(|field| mem.u64(field));
    let is_named = |class: u64, name: &str| {
        let text = at(class, layout.type_name).and_then(|field| mem.c_string(mem.u64(field)?, 16));
        text.as_deref() == Some(name)
    };
    let Some(class) = type_of(object) else { return false };
    let Some(meta) = type_of(class) else { return false };
    type_of(meta) == Some(meta) && is_named(class, "dict") && is_named(meta, "type")
}
