//! Which processes are read and which are refused.

use heapray_cpython::{Memory, Runtime};
use heapray_testkit::{Target, find_other_pythons, find_pythons};

#[test]
fn every_supported_python_is_found_with_its_exact_version() {
    for python in find_pythons() {
        let mut target = Target::start(python, "import sys\nprint(sys.hexversion, flush=True)\ninput()");
        let version = target.numbers()[0];
        let mem = target.memory();
        let rt = Runtime::find(&mem, &|name| mem.symbol(name)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(u64::from(rt.version_hex), version);
        assert_eq!(rt.interpreters.len(), 1);
    }
}

#[test]
fn subinterpreters_are_listed_with_the_main_one_last() {
    for python in find_pythons() {
        let script = "
try:
    import _interpreters as i
    made = [i.create() for _ in range(3)]
except ImportError:
    import _xxsubinterpreters as i
    made = [i.create() for _ in range(3)]
print(len(made), flush=True)
input()";
        let mut target = Target::start(python, script);
        target.line();
        let mem = target.memory();
        let rt = Runtime::find(&mem, &|name| mem.symbol(name)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(rt.interpreters.len(), 4, "{}", python.version());
        assert!(heapray_cpython::interp::is_main(&mem, &rt, rt.interpreters[3]));
    }
}

#[test]
fn other_pythons_are_refused_by_name() {
    for python in find_other_pythons() {
        let mut target =
            Target::start(&python, "import sys\nprint('up')\nsys.stdout.flush()\nsys.stdin.readline()");
        target.line();
        let mem = target.memory();
        let found = Runtime::find(&mem, &|name| mem.symbol(name)).map(|rt| rt.version_hex);
        let error = found.expect_err(&format!("{} is refused", python.version()));
        assert!(error.found.contains("CPython") || error.found.contains("PyPy"), "{error}");
        assert!(error.to_string().contains("3.10 to 3.15"), "{error}");
    }
}

#[test]
fn a_process_that_is_no_python_is_refused() {
    let python = &find_pythons()[0];
    let target = Target::start(python, "input()");
    let mem = target.memory();
    let error = Runtime::find(&mem, &|_| None).expect_err("nothing to find");
    assert!(error.found.contains("not a Python"), "{error}");
}

#[test]
fn a_runtime_of_zeros_or_noise_is_refused() {
    struct Noise(Vec<u8>);
    impl Memory for Noise {
        fn tail(&self, addr: u64) -> &[u8] {
            &self.0[(addr as usize).wrapping_mul(31) % (self.0.len() - 4096)..]
        }
    }
    let mut seed = 1u64;
    let noise: Vec<u8> = (0..1 << 20)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        })
        .collect();
    for mem in [Noise(vec![0; 1 << 20]), Noise(noise)] {
        assert!(Runtime::find(&mem, &|name| (name == "_PyRuntime").then_some(0x5000)).is_err());
        assert!(Runtime::find(&mem, &|_| Some(0x5000)).is_err());
    }
}

#[test]
fn free_threaded_builds_are_refused_by_their_own_word() {
    struct Offsets(Vec<u8>);
    impl Memory for Offsets {
        fn tail(&self, addr: u64) -> &[u8] {
            addr.checked_sub(0x1000).and_then(|offset| self.0.get(offset as usize..)).unwrap_or(&[])
        }
    }
    // The head of _Py_DebugOffsets: cookie, version, free_threaded.
    let words = [u64::from_le_bytes(*b"xdebugpy"), 0x030e_02f0, 1];
    let mem = Offsets(words.iter().flat_map(|word| word.to_le_bytes()).collect());
    let error = Runtime::find(&mem, &|name| (name == "_PyRuntime").then_some(0x1000)).expect_err("refused");
    assert_eq!(error.found, "free-threaded CPython 3.14.2");
}
