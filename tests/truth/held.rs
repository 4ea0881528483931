//! Objects that only an unusual holder keeps alive: each holder is named.

use crate::image;
use heapray_heap::Heap;
use heapray_testkit::{Target, find_pythons};

/// One holder: what the program does, and what the trail of its `Leaked` must contain.
struct Case {
    name: &'static str,
    script: &'static str,
    /// One of these.
    trail: &'static [&'static str],
}

const HEAD: &str = "import sys, gc\nclass Leaked:\n    pass\n";
const FOOT: &str = "\nprint('ready', flush=True)\nsys.stdin.readline()\n";

const CASES: &[Case] = &[
    Case { name: "module global", script: "buffer = [Leaked()]", trail: &["__main__.buffer[0]"] },
    Case {
        name: "class attribute",
        script: "class Cache:\n    items = {'a': Leaked()}",
        trail: &["__main__.Cache.items['a']"],
    },
    Case {
        name: "instance attribute",
        script: "class Owner:\n    def __init__(self):\n        self.a, self.b = 1, Leaked()\nowner = Owner()",
        trail: &["__main__.owner.b"],
    },
    Case {
        name: "slot",
        script: "class Owner:\n    __slots__ = ('a', 'b')\nowner = Owner()\nowner.b = Leaked()",
        trail: &["__main__.owner.b"],
    },
    Case {
        name: "closure",
        script: "def outer():\n    held = [Leaked()]\n    def inner():\n        return held\n    return inner\nhandler = outer()",
        trail: &["held"],
    },
    Case {
        name: "default argument",
        script: "def handler(more=[Leaked()]):\n    pass",
        trail: &["__main__.handler"],
    },
    Case {
        name: "signal handler",
        script: "import signal\ndef install():\n    held = Leaked()\n    signal.signal(signal.SIGUSR1, lambda *a: held)\ninstall()",
        trail: &["held"],
    },
    Case { name: "atexit", script: "import atexit\natexit.register(print, Leaked())", trail: &["atexit"] },
    Case {
        name: "context variable",
        script: "import contextvars\nvar = contextvars.ContextVar('var')\nvar.set(Leaked())\ndel var",
        trail: &["context"],
    },
    Case {
        name: "local of a running frame",
        script: "def work():\n    batch = [Leaked()]\n    print('ready', flush=True)\n    sys.stdin.readline()\nwork()",
        trail: &["batch"],
    },
    Case {
        name: "suspended asynchronous generator",
        script: "async def agen():\n    rows = [Leaked()]\n    yield 1\nheld = agen()\ntry:\n    held.__anext__().send(None)\nexcept StopIteration:\n    pass",
        trail: &["rows"],
    },
    Case {
        name: "lru_cache",
        script: "import functools\n@functools.lru_cache(maxsize=None)\ndef load(key):\n    return [Leaked()]\nload(1)",
        trail: &["__main__.load"],
    },
    Case {
        name: "threading.local",
        script: "import threading\nlocal = threading.local()\nlocal.rows = [Leaked()]",
        trail: &["rows"],
    },
    Case {
        name: "traceback of an exception",
        script: "def fail():\n    rows = [Leaked()]\n    raise ValueError\ntry:\n    fail()\nexcept ValueError as error:\n    last = error",
        trail: &["__main__.last"],
    },
    Case {
        name: "closure of a weakref callback",
        script: "import weakref\nclass Target:\n    pass\ntarget = Target()\ndef watch():\n    held = [Leaked()]\n    return weakref.ref(target, lambda ref: held)\nref = watch()",
        trail: &["held"],
    },
    Case { name: "frozen heap", script: "buffer = [Leaked()]\ngc.freeze()", trail: &["__main__.buffer[0]"] },
    Case {
        name: "ctypes reference count",
        // Several, because a stale word of a stack can pass for a holder of the last.
        script: "import ctypes\nfor _ in range(20):\n    leaked = Leaked()\n    ctypes.pythonapi.Py_IncRef(ctypes.py_object(leaked))\ndel leaked",
        trail: &["lost"],
    },
    Case {
        name: "key of a dict",
        script: "class Key(Leaked):\n    pass\nLeaked = type('Leaked', (), {})\ntable = {Leaked(): 1}",
        trail: &["__main__.table"],
    },
    Case { name: "set", script: "seen = {Leaked()}", trail: &["__main__.seen"] },
    Case {
        name: "deque",
        script: "import collections\nqueue = collections.deque([Leaked()])",
        trail: &["__main__.queue[0]"],
    },
    Case {
        name: "partial",
        script: "import functools\ncall = functools.partial(print, Leaked())",
        trail: &["__main__.call"],
    },
    Case {
        name: "another thread's local",
        script: "import threading\ngo = threading.Event()\nup = threading.Event()\ndef work():\n    rows = [Leaked()]\n    up.set()\n    go.wait()\nthreading.Thread(target=work, daemon=True).start()\nup.wait()",
        trail: &["rows"],
    },
    Case {
        name: "asyncio task",
        script: "import asyncio\nasync def wait(item):\n    await asyncio.get_running_loop().create_future()\nasync def main():\n    watchers.append(asyncio.create_task(wait(Leaked())))\n    await asyncio.sleep(0)\nwatchers = []\nloop = asyncio.new_event_loop()\nloop.run_until_complete(main())",
        trail: &["item"],
    },
    Case {
        name: "linked list",
        script: "class Node:\n    def __init__(self, next):\n        self.next = next\nhead = Node(Leaked())\nfor _ in range(1000):\n    head = Node(head)",
        trail: &["__main__.head.next"],
    },
];

#[test]
fn every_holder_is_named() {
    let mut problems = Vec::new();
    for python in find_pythons() {
        for case in CASES {
            let script = format!("{HEAD}{}{FOOT}", case.script);
            let mut target = Target::start(python, &script);
            assert_eq!(target.line(), "ready", "{}", case.name);
            let (tables, _) = image::take(&target);
            let heap = Heap::load(tables);
            let tables = heap.tables();
            let found = (0..heap.n_nodes()).filter(|node| tables.type_name(*node) == "__main__.Leaked");
            let texts: Vec<String> =
                found.map(|node| format!("{:?} {}", heap.trail(node).root, heap.trail(node).text)).collect();
            let text = texts.join("; ");
            if !case.trail.iter().any(|part| text.to_lowercase().contains(&part.to_lowercase())) {
                problems.push(format!("{} {}: {text}", python.version(), case.name));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
