//! The collector's lists and settings, against the `gc` module.

use std::collections::BTreeSet;

use heapray_cpython::Runtime;
use heapray_cpython::gc::{self, Generation};
use heapray_testkit::{ProcMemory, Target, find_pythons};

fn runtime(mem: &ProcMemory) -> Runtime {
    Runtime::find(mem, &|name| mem.symbol(name)).unwrap_or_else(|error| panic!("{error}"))
}

/// Prints the ids of all tracked objects on one line, without making tracked objects in between.
const PRINT_IDS: &str = "
import array, gc, sys
def ids():
    gc.disable()
    out = array.array('Q')
    found = gc.get_objects()
    for o in found:
        out.append(id(o))
    me = id(found)
    del found, o
    sys.stdout.write(' '.join(map(str, out)) + '\\n')
    return me
";

#[test]
fn tracked_objects_are_those_of_get_objects() {
    for python in find_pythons() {
        let script = format!(
            "{PRINT_IDS}\nimport json, email, asyncio\nkeep = [[i] for i in range(5000)]\nids()\ninput()"
        );
        let mut target = Target::start(python, &script);
        let expected: BTreeSet<u64> = target.numbers().into_iter().collect();
        let mem = target.memory();
        let rt = runtime(&mem);
        let mut found = BTreeSet::new();
        let mut frozen = BTreeSet::new();
        let n = gc::tracked(&mem, &rt, rt.interpreters[0], |object, generation| {
            // get_objects leaves the permanent generation out; 3.12 freezes what it starts with.
            let set = if generation == Generation::Permanent { &mut frozen } else { &mut found };
            assert!(set.insert(object), "{object:#x} is listed twice");
        })
        .expect("quiet");
        assert_eq!(n as usize, found.len() + frozen.len());
        // The frame of `ids`, the array's iterator and the like have gone, input()'s own objects have come.
        let missing = expected.difference(&found).count();
        let extra = found.difference(&expected).count();
        assert!(missing <= 4 && extra <= 8, "{}: {missing} missing, {extra} extra of {n}", python.version());
    }
}

#[test]
fn frozen_objects_are_permanent() {
    for python in find_pythons() {
        let script = "import gc\nkeep = [[i] for i in range(3000)]\ngc.collect()\ngc.freeze()\n\
                      print(gc.get_freeze_count(), id(keep), flush=True)\ninput()";
        let mut target = Target::start(python, script);
        let said = target.numbers();
        let mem = target.memory();
        let rt = runtime(&mem);
        let mut frozen = 0;
        let mut keep = None;
        gc::tracked(&mem, &rt, rt.interpreters[0], |object, generation| {
            frozen += u64::from(generation == Generation::Permanent);
            if object == said[1] {
                keep = Some(generation);
            }
        })
        .expect("quiet");
        // Freed since: what print and input dropped.
        assert!(said[0] - frozen <= 4 && frozen > 3000, "{}: {frozen} of {}", python.version(), said[0]);
        assert_eq!(keep, Some(Generation::Permanent));
    }
}

#[test]
fn generations_are_those_of_get_objects() {
    for python in find_pythons() {
        let script = "import gc\nold = [[i] for i in range(100)]\ngc.collect()\ngc.disable()\n\
                      young = [[i] for i in range(100)]\nprint(id(old[50]), id(young[50]), flush=True)\ninput()";
        let mut target = Target::start(python, script);
        let said = target.numbers();
        let mem = target.memory();
        let rt = runtime(&mem);
        let mut found = [None; 2];
        gc::tracked(&mem, &rt, rt.interpreters[0], |object, generation| {
            for (idx, wanted) in said.iter().enumerate() {
                if object == *wanted {
                    found[idx] = Some(generation);
                }
            }
        })
        .expect("quiet");
        assert_eq!(found, [Some(Generation::Old), Some(Generation::Young)], "{}", python.version());
    }
}

#[test]
fn settings_are_those_of_the_gc_module() {
    for python in find_pythons() {
        let script = "import gc\ngc.set_threshold(1234567, 21, 22)\ngc.disable()\ngc.set_debug(gc.DEBUG_UNCOLLECTABLE)\n\
                      print(*gc.get_threshold(), *gc.get_count(), gc.get_debug(), flush=True)\ninput()";
        let mut target = Target::start(python, script);
        let said = target.numbers();
        let mem = target.memory();
        let rt = runtime(&mem);
        let state = gc::state(&mem, &rt, rt.interpreters[0]).expect("readable");
        let thresholds: Vec<u64> = state.generations.iter().map(|g| g.threshold as u64).collect();
        assert_eq!(thresholds, &said[..3], "{}", python.version());
        let counts: Vec<u64> = state.generations.iter().map(|g| g.count as u64).collect();
        assert!(counts[0].abs_diff(said[3]) < 50, "{}: {counts:?} for {said:?}", python.version());
        assert_eq!(&counts[1..], &said[4..6], "{}", python.version());
        assert_eq!((state.enabled, state.collecting, u64::from(state.debug)), (false, false, said[6]));
    }
}

#[test]
fn a_collection_in_progress_is_torn() {
    for python in find_pythons() {
        let script = "import gc\ndef inside(phase, info):\n    if phase == 'start':\n        print('in', flush=True)\n        input()\n\
                      gc.collect()\ngc.callbacks.append(inside)\nclass Slow:\n    def __del__(self):\n        print('del', flush=True)\n        input()\n\
                      gc.callbacks.clear()\na = Slow()\na.a = a\ndel a\ngc.collect()";
        let mut target = Target::start(python, script);
        assert_eq!(target.line(), "del");
        let mem = target.memory();
        let rt = runtime(&mem);
        assert!(
            gc::state(&mem, &rt, rt.interpreters[0]).expect("readable").collecting,
            "{}",
            python.version()
        );
        assert!(gc::tracked(&mem, &rt, rt.interpreters[0], |_, _| {}).is_err());
    }
}
