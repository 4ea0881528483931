//! Torn, stale and hostile memory: every reader answers, none panics or runs on.

use heapray_cpython::{
    Label, Memory, Runtime, Sink, Strength, code, frames, gc, interp, refcount, strings, threads,
};
use heapray_testkit::{ProcMemory, Target, find_pythons};

/// A small deterministic generator (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// A copy of a process's writable memory, in one piece per mapping, that can be damaged.
#[derive(Clone)]
struct Copy(Vec<(u64, Vec<u8>)>);

impl Copy {
    fn take(mem: &ProcMemory) -> Copy {
        let readable = mem.regions().iter().filter(|region| region.read && !region.exec);
        Copy(
            readable
                .filter_map(|region| Some((region.start, read(mem, region.start, region.end)?)))
                .collect(),
        )
    }

    /// Overwrites `n` words: half with noise, half with other words of the memory, which are often valid pointers.
    fn damage(&mut self, random: &mut Random, n: usize) {
        for _ in 0..n {
            let from = self.place(random);
            let to = self.place(random);
            let word = match random.next() & 1 {
                0 => random.next().to_le_bytes(),
                _ => self.0[from.0].1[from.1..from.1 + 8].try_into().expect("eight bytes"),
            };
            self.0[to.0].1[to.1..to.1 + 8].copy_from_slice(&word);
        }
    }

    fn place(&self, random: &mut Random) -> (usize, usize) {
        let idx = random.below(self.0.len());
        (idx, random.below(self.0[idx].1.len() / 8) * 8)
    }

    fn address(&self, random: &mut Random) -> u64 {
        let (idx, offset) = self.place(random);
        self.0[idx].0 + offset as u64
    }
}

fn read(mem: &ProcMemory, start: u64, end: u64) -> Option<Vec<u8>> {
    mem.bytes(start, end - start, 1 << 28)
}

impl Memory for Copy {
    fn tail(&self, addr: u64) -> &[u8] {
        let after = self.0.partition_point(|(start, _)| *start <= addr);
        let Some((start, bytes)) = after.checked_sub(1).map(|idx| &self.0[idx]) else { return &[] };
        bytes.get((addr - start) as usize..).unwrap_or(&[])
    }
}

#[derive(Default)]
struct Count(u64);

impl Sink for Count {
    fn edge(&mut self, _target: u64, _label: Label, _strength: Strength) {
        self.0 += 1;
        assert!(self.0 < 50_000_000, "a reader runs on");
    }
    fn block(&mut self, _addr: u64, _bytes: u64) {}
}

/// Calls every reader.
fn read_all(mem: &Copy, rt: &Runtime, random: &mut Random) {
    let mut count = Count::default();
    for interp in rt.interpreters.iter().copied() {
        let _ = gc::state(mem, rt, interp);
        let _ = gc::tracked(mem, rt, interp, |object, _| _ = refcount(mem, rt, object));
        interp::roots(mem, rt, interp, &mut count);
        for thread in threads::threads(mem, rt, interp) {
            threads::roots(mem, rt, &thread, &mut count);
            frames::stack(mem, rt, &thread, |frame| {
                let _ = code::info(mem, rt, frame.code);
                frames::references(mem, rt, frame.address, &mut count);
            });
        }
    }
    for _ in 0..400 {
        let anywhere = mem.address(random);
        let _ = strings::read(mem, rt, anywhere, 100);
        let _ = code::info(mem, rt, anywhere);
        let _ = code::line(mem, rt, anywhere, random.next() as i32);
        frames::chain(mem, rt, anywhere, |_| {});
        frames::references(mem, rt, anywhere, &mut count);
        let _ = gc::tracked(mem, rt, anywhere, |_, _| {});
        interp::roots(mem, rt, anywhere, &mut Count::default());
        threads::threads(mem, rt, anywhere);
    }
}

#[test]
fn damaged_memory_never_panics_a_reader() {
    for python in find_pythons() {
        let script = "
import sys, threading, json
stop = threading.Event()
for _ in range(20): threading.Thread(target=stop.wait, daemon=True).start()
def deep(n):
    if n: return deep(n - 1)
    print('ready', flush=True)
    sys.stdin.readline()
deep(200)";
        let mut target = Target::start(python, script);
        target.line();
        let mem = target.memory();
        let rt = Runtime::find(&mem, &|name| mem.symbol(name)).unwrap_or_else(|error| panic!("{error}"));
        let runtime = mem.symbol("_PyRuntime");
        let whole = Copy::take(&mem);
        for seed in 0..4 {
            let mut random = Random(seed);
            let mut copy = whole.clone();
            copy.damage(&mut random, 1000 << (3 * seed));
            let _ =
                Runtime::find(&copy, &|name| if name == "_PyRuntime" { runtime } else { mem.symbol(name) });
            read_all(&copy, &rt, &mut random);
        }
    }
}

#[test]
fn a_torn_collector_list_is_reported() {
    let python = &find_pythons()[0];
    let mut target = Target::start(
        python,
        "import sys\nkeep = [[] for _ in range(1000)]\nprint(id(keep[500]), flush=True)\nsys.stdin.readline()",
    );
    let object = target.numbers()[0];
    let mem = target.memory();
    let rt = Runtime::find(&mem, &|name| mem.symbol(name)).unwrap_or_else(|error| panic!("{error}"));
    let whole = Copy::take(&mem);
    assert!(gc::tracked(&whole, &rt, rt.interpreters[0], |_, _| {}).is_ok());
    // Its own head, the head of an earlier object (a cycle), nowhere.
    for next in [object - 16, object - 16 - 1024, 0, 0x10, !7] {
        let mut torn = whole.clone();
        let head = object - gc::HEAD_SIZE;
        let region = torn.0.iter_mut().rev().find(|(start, _)| *start <= head).expect("it lies somewhere");
        let offset = (head - region.0) as usize;
        region.1[offset..offset + 8].copy_from_slice(&next.to_le_bytes());
        assert!(gc::tracked(&torn, &rt, rt.interpreters[0], |_, _| {}).is_err(), "{next:#x}");
    }
}
