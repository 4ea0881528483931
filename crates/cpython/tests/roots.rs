//! What the interpreter state holds, against the ids of things that were registered with it.

use std::collections::BTreeMap;

use heapray_cpython::{Label, Memory, Runtime, Sink, Strength, interp};
use heapray_testkit::{Target, find_pythons};

#[derive(Default)]
struct Roots(BTreeMap<&'static str, Vec<(u64, Strength)>>);

impl Sink for Roots {
    fn edge(&mut self, target: u64, label: Label, strength: Strength) {
        let Label::Field(name) = label else { panic!("{label:?} has no name") };
        self.0.entry(name).or_default().push((target, strength));
    }
    fn block(&mut self, _addr: u64, _bytes: u64) {}
}

/// Prints `label id` lines.
const SCRIPT: &str = "
import sys, gc, os, atexit, codecs, warnings, builtins, signal
def registered(*args): pass
for name, value in (
    ('sys.modules', sys.modules), ('sysdict', sys.__dict__), ('builtins', builtins.__dict__),
    ('gc.garbage', gc.garbage), ('gc.callbacks', gc.callbacks), ('warnings.filters', warnings.filters),
): print(name, id(value))
def handler(*args): pass
signal.signal(signal.SIGUSR1, handler)
args, kwargs = (1, []), {'key': []}
atexit.register(registered, *args, **kwargs)
os.register_at_fork(before=registered)
sys.addaudithook(registered)
print('atexit callback', id(registered))
if sys.version_info >= (3, 12): print('signal handlers', id(handler))
print('end', flush=True)
sys.stdin.readline()
";

#[test]
fn interpreter_roots_are_named() {
    for python in find_pythons() {
        let mut target = Target::start(python, SCRIPT);
        let mut expected = Vec::new();
        loop {
            let line = target.line();
            let Some((label, id)) = line.rsplit_once(' ') else { break };
            expected.push((label.to_owned(), id.parse::<u64>().expect("an id")));
        }
        let mem = target.memory();
        let rt = Runtime::find(&mem, &|name| mem.symbol(name)).unwrap_or_else(|error| panic!("{error}"));
        let mut roots = Roots::default();
        interp::roots(&mem, &rt, rt.interpreters[0], &mut roots);
        let list_of_callbacks = roots.0.contains_key("atexit");
        for (label, id) in expected {
            if label == "atexit callback" && list_of_callbacks {
                continue;
            }
            let found =
                roots.0.get(label.as_str()).unwrap_or_else(|| panic!("{}: {label}", python.version()));
            assert!(
                found.contains(&(id, Strength::Owned)),
                "{}: {label} {id:#x} in {found:x?}",
                python.version()
            );
        }
        for label in ["os.register_at_fork(before)", "audit hooks"] {
            assert_eq!(roots.0[label].len(), 1, "{}: {label}", python.version());
        }
        let targets = roots.0.values().flatten();
        let broken =
            targets.filter(|(target, _)| mem.u64(target + 8).and_then(|class| mem.u64(class + 8)).is_none());
        assert_eq!(broken.count(), 0, "{}: every root is an object", python.version());
    }
}

#[test]
fn each_interpreter_has_its_own_roots() {
    for python in find_pythons() {
        let script = "
import sys
try: import _interpreters as i
except ImportError: import _xxsubinterpreters as i
made = i.create()
print(id(sys.modules), flush=True)
sys.stdin.readline()";
        let mut target = Target::start(python, script);
        let modules = target.numbers()[0];
        let mem = target.memory();
        let rt = Runtime::find(&mem, &|name| mem.symbol(name)).unwrap_or_else(|error| panic!("{error}"));
        let of = |interp: u64| {
            let mut roots = Roots::default();
            interp::roots(&mem, &rt, interp, &mut roots);
            (roots.0["sys.modules"][0].0, roots.0.contains_key("signal.SIG_DFL"))
        };
        let (main, sub) = (of(rt.interpreters[1]), of(rt.interpreters[0]));
        assert_eq!(main.0, modules, "{}", python.version());
        assert_ne!(sub.0, modules);
        assert!(!sub.1, "the runtime's roots belong to the main interpreter");
    }
}
