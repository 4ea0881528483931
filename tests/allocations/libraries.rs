//! Libraries that come and go: `dlopen` and `dlclose` in a loop are followed, and each library is patched once.

use heapray_tests::{Program, is_full};

use crate::claims::{LIBC, outer_pythons, pythons};
use crate::native::{libraries, prelude};

const LOOP: &str = r#"
import _ctypes
kept = []
def call(plugin, size):
    plugin.plugin_block.restype = c_void_p
    return plugin.plugin_block(c_size_t(size))
for round in range(ROUNDS):
    handle = _ctypes.dlopen(PLUGIN, 2)
    plugin = ctypes.CDLL(PLUGIN, handle=handle)
    kept += [call(plugin, 4000) for _ in range(10)]
    plugin.plugin_free(c_void_p(kept.pop()))
    del plugin
    _ctypes.dlclose(handle)
os._exit(0)
"#;

#[test]
fn libraries_that_come_and_go_are_followed() {
    let rounds = if is_full() { 2000 } else { 150 };
    let text = prelude()
        + &LOOP
            .replace("ROUNDS", &rounds.to_string())
            .replace("PLUGIN", &format!("{:?}", libraries().plugin));
    let line = text.lines().position(|line| line.contains("return plugin.plugin_block")).expect("it is there")
        as u32
        + 1;
    for python in pythons() {
        let recorded = Program::new(python, &text).exact_malloc().record_well();
        let live = recorded.live(recorded.task(), LIBC);
        let sum = live.get(&line).copied().unwrap_or_default();
        assert_eq!(
            (sum.count, sum.bytes),
            (f64::from(rounds * 9), f64::from(rounds * 9) * 4000.0),
            "{}",
            python.version()
        );
    }
}

#[test]
fn each_library_is_patched_once() {
    // As many modules as import in a row; the agent counts how often it made a page writable.
    let text = "import ctypes, decimal, hashlib, json, lzma, bz2, sqlite3, ssl, zlib, socket, select, array, math, random, mmap\n\
                import xml.etree.ElementTree, asyncio, multiprocessing, unicodedata, struct, pickle, csv, datetime, statistics\n\
                print(len({line.split()[-1] for line in open('/proc/self/maps') if '.so' in line}))\n";
    for python in outer_pythons() {
        let Some(recorded) =
            Some(Program::new(python, text).record()).filter(|run| run.answer.status == Some(0))
        else {
            continue; // some interpreters are built without one of these
        };
        let n_objects: i64 = recorded.last_line().parse().expect("a number");
        let n_patched =
            recorded.task().int("patched_objects").expect("the agent says how many objects it patched");
        assert!(n_patched <= n_objects + 5, "{}: {n_patched} of {n_objects}", python.version());
    }
}
