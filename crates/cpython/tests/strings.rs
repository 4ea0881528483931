//! Strings of every kind, and the lines of every code object of the standard library.

use heapray_cpython::{Runtime, code, refcount, strings};
use heapray_testkit::{ProcMemory, Target, find_pythons};

fn runtime(mem: &ProcMemory) -> Runtime {
    Runtime::find(mem, &|name| mem.symbol(name)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn strings_of_every_kind_are_read() {
    let texts = ["", "ascii", "latin é ÿ", "wide Ω 漢", "astral 😀 x"];
    for python in find_pythons() {
        let script = format!(
            "import sys\nclass S(str): pass\ntexts = {texts:?}\nkeep = texts + [S(t) for t in texts] + ['\\ud800']\n\
             print(*map(id, keep), flush=True)\nsys.stdin.readline()"
        );
        let mut target = Target::start(python, &script);
        let ids = target.numbers();
        let mem = target.memory();
        let rt = runtime(&mem);
        for (idx, text) in texts.iter().chain(&texts).enumerate() {
            assert_eq!(
                strings::read(&mem, &rt, ids[idx], 1000).as_deref(),
                Some(*text),
                "{}",
                python.version()
            );
            let short: String = text.chars().take(3).collect();
            assert_eq!(strings::read(&mem, &rt, ids[idx], 3), Some(short), "{}", python.version());
        }
        assert_eq!(strings::read(&mem, &rt, ids[10], 9).as_deref(), Some("\u{fffd}"));
    }
}

#[test]
fn reference_counts_are_those_of_getrefcount() {
    for python in find_pythons() {
        let script = "
import sys
class Thing: pass
keep = [Thing() for _ in range(20)]
for i, t in enumerate(keep): t.refs = [t] * i
t = None
print(*[id(t) for t in keep], id(None))
t = None
print(*[sys.getrefcount(keep[i]) for i in range(20)], flush=True)
sys.stdin.readline()";
        let mut target = Target::start(python, script);
        let ids = target.numbers();
        let counts = target.numbers();
        let mem = target.memory();
        let rt = runtime(&mem);
        // getrefcount adds one for its argument, unless the compiler lends it (3.14).
        let extra = counts[0] - 1;
        for (id, count) in ids.iter().zip(&counts) {
            let found = refcount(&mem, &rt, *id).expect("readable");
            assert_eq!((found.count + extra, found.immortal), (*count, false), "{}", python.version());
        }
        let none = refcount(&mem, &rt, ids[20]).expect("readable");
        assert_eq!(none.immortal, python.minor() >= 12, "{}", python.version());
    }
}

/// Prints every code object of many standard modules, with the line of every instruction.
const LINES: &str = "
import sys, types
import asyncio, argparse, ast, collections, dataclasses, datetime, decimal, doctest, email.message, enum, functools
import http.server, inspect, json.decoder, logging, pathlib, pdb, pickle, re, subprocess, tarfile, tempfile
import threading, traceback, typing, unittest.mock, urllib.request, zipfile
seen = {}
def walk(code):
    if id(code) in seen: return
    seen[id(code)] = code
    for const in code.co_consts:
        if isinstance(const, types.CodeType): walk(const)
def dig(space, depth=0):
    for value in list(vars(space).values()):
        value = getattr(value, '__func__', value)
        if isinstance(value, types.FunctionType): walk(value.__code__)
        elif isinstance(value, type) and depth < 3: dig(value, depth + 1)
for module in list(sys.modules.values()):
    if isinstance(module, types.ModuleType): dig(module)
for code in seen.values():
    lines = [None] * (len(code.co_code) // 2)
    for start, end, line in code.co_lines():
        for i in range(max(start, 0) // 2, end // 2): lines[i] = line
    print(id(code), code.co_firstlineno, code.co_flags, code.co_name, getattr(code, 'co_qualname', code.co_name).replace(' ', '_'),
          ' '.join('-' if l is None else str(l) for l in lines), sep=' ')
print('end', flush=True)
sys.stdin.readline()
";

#[test]
fn lines_are_those_of_co_lines_in_the_standard_library() {
    for python in find_pythons() {
        let mut target = Target::start(python, LINES);
        let mut expected = Vec::new();
        loop {
            let line = target.line();
            if line == "end" {
                break;
            }
            expected.push(line);
        }
        assert!(expected.len() > 3000, "{}: {}", python.version(), expected.len());
        let mem = target.memory();
        let rt = runtime(&mem);
        for row in expected {
            let words: Vec<&str> = row.split(' ').collect();
            let address = words[0].parse().expect("an id");
            let info = code::info(&mem, &rt, address).expect("a code object");
            let said = (info.first_line.to_string(), info.flags.to_string(), info.name, info.qualname);
            assert_eq!(said, (words[1].into(), words[2].into(), words[3].into(), words[4].into()));
            for (idx, line) in words[5..].iter().enumerate() {
                let found = code::line(&mem, &rt, address, idx as i32 * 2)
                    .map_or("-".into(), |line| line.to_string());
                assert_eq!(found, *line, "{}: {} at {idx}", python.version(), words[4]);
            }
        }
    }
}
