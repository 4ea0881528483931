//! What a program holds when it ends counts, to the last block, and neither what its interpreter frees then nor who ended before.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use heapray_tests::{Program, heapray};
use serde_json::Value;

use crate::claims::{outer_pythons, pythons};

/// Shorter than a slice; what is kept fits into an agent's window.
const KEEPS: &str = "
def keeps(): return [bytes(967) for _ in range(900)]
def drops(): return [bytes(967) for _ in range(900)]
kept = keeps()
drops()
";

/// Blocks and bytes that are alive below a function.
fn live(answer: &Value) -> (u64, u64) {
    let of = |name| answer["live"][name].as_u64().unwrap_or_else(|| panic!("{name} in {answer}"));
    (of("count"), of("bytes"))
}

#[test]
fn a_program_that_ends_held_all_that_it_kept() {
    for python in pythons() {
        for options in [&["--mode", "exact"][..], &["--mode", "exact", "--level", "malloc"]] {
            let recorded = Program::new(python, KEEPS).options(options).record_well();
            let who = format!("{} {options:?}", python.version());
            let (count, bytes) = live(&recorded.ask(&["top", "--function", "keeps"]));
            // The blocks and the list, and what its function is made of.
            assert!((901..904).contains(&count), "{who}: {count} blocks");
            assert!((900 * 1000..900 * 1000 + 16_000).contains(&bytes), "{who}: {bytes} bytes");
            assert!(live(&recorded.ask(&["top", "--function", "drops"])).0 < 3, "{who}");
            let soon = recorded.ask(&["temporary", "--function", "keeps"]);
            let soon = soon["temporary"]["bytes"].as_u64().unwrap_or_else(|| panic!("{soon}"));
            assert!(soon < 100_000, "{who}: {soon} bytes freed soon, more than lists that grow");
        }
    }
}

/// One child at a time, each with 2 MB.
const ONE_BY_ONE: &str = "
import os
def child():
    held = [bytes(20000) for _ in range(100)]
    os._exit(len(held) - 100)
for _ in range(6):
    if os.fork() == 0: child()
    os.wait()
";

#[test]
fn children_that_ended_one_by_one_were_never_alive_together() {
    for python in outer_pythons() {
        let recorded = Program::new(python, ONE_BY_ONE).exact().record_well();
        let (_, bytes) = live(&recorded.ask(&["top", "--function", "child"]));
        assert!(bytes < 2_100_000, "{}: {bytes} bytes", python.version());
    }
}

const WAITS: &str = "
import sys
def holds(): return [bytes(700) for _ in range(300)]
held = holds()
print('ready', flush=True)
sys.stdin.readline()
";

/// How long a busy machine may take to show it.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn what_an_idle_program_holds_is_seen_while_it_waits() {
    for python in outer_pythons() {
        let program = Program::new(python, WAITS).exact();
        let mut child = program.command_recorded().stdin(Stdio::piped()).spawn().expect("heapray starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        assert_eq!(lines.next().expect("a line").expect("UTF-8"), "ready");
        let file = program.file();
        let began = Instant::now();
        loop {
            let answer =
                heapray(["top".as_ref(), file.as_os_str(), "--function=holds".as_ref(), "--json".as_ref()]);
            let count = if answer.status == Some(0) { live(&answer.json()).0 } else { 0 };
            if count >= 301 {
                assert!(count < 304, "{}: {count} blocks", python.version());
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{}: {count} of 301 blocks", python.version());
        }
        stdin.write_all(b"go\n").expect("the program reads");
        assert_eq!(child.wait().expect("heapray can be waited for").code(), Some(0));
        // And once more at the end: each counts once.
        let answer =
            heapray(["top".as_ref(), file.as_os_str(), "--function=holds".as_ref(), "--json".as_ref()]);
        let count = live(&answer.json()).0;
        assert!((301..304).contains(&count), "{}: {count} blocks at the end", python.version());
    }
}

/// A program that embeds Python: it begins it a second time, or goes on without it.
const EMBEDS: &str = r##"
import os, subprocess, sys, sysconfig
folder = os.path.dirname(os.path.abspath(__file__))
library = os.path.join(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME"))
if not os.path.exists(library):
    print("no library")
    sys.exit()
with open(os.path.join(folder, "embeds.c"), "w") as file:
    file.write(r'''
#include <stdlib.h>
#include <string.h>
void Py_Initialize(void);
int Py_FinalizeEx(void);
int PyRun_SimpleString(const char *);
static void *kept[40];
int main(int argc, char **argv) {
    Py_Initialize();
    PyRun_SimpleString("def first(): return [(i, 1) for i in range(5000)]\nkept = first()");
    Py_FinalizeEx();
    if (argc == 1) {
        Py_Initialize();
        PyRun_SimpleString("def again(): return [(i, 2) for i in range(5000)]\nkept = again()");
        Py_FinalizeEx();
    } else
        for (int i = 0; i < 40; i++)
            memset(kept[i] = malloc(250000), 1, 250000);
    return 0;
}
''')
program = os.path.join(folder, "embeds")
subprocess.run(["cc", file.name, "-o", program, library, "-Wl,-rpath," + os.path.dirname(library)], check=True)
os.environ["PYTHONHOME"] = sys.base_prefix
os.execv(program, [program, *os.environ.get("GOES_ON", "").split()])
"##;

#[test]
fn a_program_may_begin_its_interpreter_again_or_go_on_without() {
    for python in outer_pythons() {
        let again = Program::new(python, EMBEDS).exact().record_well();
        if again.answer.stdout.contains("no library") {
            continue;
        }
        let (count, _) = live(&again.ask(&["top", "--function", "again"]));
        assert!(count >= 5000, "{}: {count} blocks of the second interpreter", python.version());
        let on = Program::new(python, EMBEDS).exact().variable("GOES_ON", "yes").record_well();
        let (count, bytes) = live(&on.ask(&["top"]));
        assert!(count >= 40 && bytes >= 10_000_000, "{}: {bytes} bytes in {count} blocks", python.version());
        let (count, _) = live(&on.ask(&["top", "--function", "first"]));
        assert!(count < 100, "{}: {count} blocks of an interpreter that is no more", python.version());
    }
}
