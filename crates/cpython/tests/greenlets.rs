//! Suspended greenlets, on every interpreter.

use heapray_cpython::{Label, Runtime, Sink, Strength, code, greenlets, strings};
use heapray_testkit::{Target, find_pythons};

#[derive(Default)]
struct Edges(Vec<(u64, Label, Strength)>);

impl Sink for Edges {
    fn edge(&mut self, target: u64, label: Label, strength: Strength) {
        self.0.push((target, label, strength));
    }
    fn block(&mut self, _addr: u64, _bytes: u64) {}
}

const SCRIPT: &str = "
import sys
sys.path.insert(0, 'WHEELS')
from greenlet import greenlet, getcurrent
class Thing: pass
main = getcurrent()
def inner(argument):
    local = Thing()
    print(id(local), id(argument))
    main.switch()
def outer():
    in_outer = Thing()
    print(id(in_outer))
    return list(map(inner, [Thing()]))
g = greenlet(outer)
g.switch()
print(id(g), id(main), flush=True)
sys.stdin.readline()
";

#[test]
fn suspended_greenlets_hold_the_locals_of_their_frames() {
    for python in find_pythons() {
        let wheels = python.wheels();
        let wheels = wheels.to_str().expect("a path in UTF-8");
        let mut target = Target::start(python, &SCRIPT.replace("WHEELS", wheels));
        let in_outer: u64 = target.line().parse().expect("an id");
        let inner = target.numbers();
        let said = target.numbers();
        let mem = target.memory();
        let rt = Runtime::find(&mem, &|name| mem.symbol(name)).unwrap_or_else(|error| panic!("{error}"));
        let mut stack = Vec::new();
        greenlets::stack(&mem, &rt, said[0], |frame| {
            stack.push(code::info(&mem, &rt, frame.code).expect("code").name)
        });
        assert_eq!(stack, ["inner", "outer"], "{}", python.version());
        let mut edges = Edges::default();
        greenlets::references(&mem, &rt, said[0], &mut edges);
        let name = |id: u64| {
            let edge = edges.0.iter().find(|edge| edge.0 == id && edge.2 == Strength::Owned);
            match edge.map(|edge| edge.1) {
                Some(Label::Local(name)) => strings::read(&mem, &rt, name, 100),
                _ => None,
            }
        };
        if python.minor() > 10 {
            let names = [inner[0], inner[1], in_outer].map(name);
            assert_eq!(
                names.map(Option::unwrap_or_default),
                ["local", "argument", "in_outer"],
                "{}",
                python.version()
            );
        }
        // The one that runs has its frames on its thread's stack.
        assert_eq!(greenlets::stack(&mem, &rt, said[1], |_| {}), 0);
    }
}
