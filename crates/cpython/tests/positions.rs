//! The source ranges of every instruction of the standard library, against `co_positions()`.

use heapray_cpython::{Memory, Runtime, linetable};
use heapray_testkit::{Target, find_pythons};

/// Prints every code object of many standard modules, with the position of every instruction where it changes.
const POSITIONS: &str = "
import sys, types
import asyncio, argparse, ast, collections, dataclasses, decimal, enum, inspect, json.decoder, logging, pathlib
import pickle, re, subprocess, tarfile, tempfile, threading, traceback, typing, unittest.mock, zipfile
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
def positions(code):
    last = ()
    for i, found in enumerate(code.co_positions()):
        if found != last:
            line, end_line, column, end_column = last = found
            if line is None: yield f'{i}:-'
            else: yield f'{i}:{line},{0 if column is None else column + 1},{end_line},{0 if end_column is None else end_column + 1}'
for code in seen.values():
    print(id(code), *positions(code))
print('end', flush=True)
sys.stdin.readline()
";

#[test]
fn locations_are_those_of_co_positions_in_the_standard_library() {
    // 3.10 has no columns, and no `co_positions`.
    for python in find_pythons().iter().filter(|python| python.minor() > 10) {
        let mut target = Target::start(python, POSITIONS);
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
        let rt = Runtime::find(&mem, &|name| mem.symbol(name)).unwrap_or_else(|error| panic!("{error}"));
        for row in expected {
            let mut words = row.split(' ');
            let code: u64 = words.next().and_then(|word| word.parse().ok()).expect("an id");
            let (first_line, table) = line_table(&mem, &rt, code);
            for word in words {
                let (unit, said) = word.split_once(':').expect("a unit and its place");
                let unit: i32 = unit.parse().expect("a number");
                let found = linetable::location(&table, first_line, unit * 2, rt.layout.runtime.line_table);
                let found = found.map_or("-".into(), |place| {
                    format!("{},{},{},{}", place.line, place.column, place.end_line, place.end_column)
                });
                assert_eq!(found, said, "{}: unit {unit} in {row}", python.version());
            }
        }
    }
}

/// First line and line table of a code object.
fn line_table(mem: &impl Memory, rt: &Runtime, code: u64) -> (u32, Vec<u8>) {
    let layout = &rt.layout.runtime;
    let word = |addr: u64| mem.u64(addr).expect("a readable code object");
    let table = word(code + u64::from(layout.code_line_table));
    let len = word(table + u64::from(layout.var_size));
    let bytes = mem.bytes(table + u64::from(layout.bytes_data), len, 1 << 20).expect("a line table");
    (mem.u32(code + u64::from(layout.code_first_line)).expect("readable"), bytes)
}
