//! What is read from an image is what the target had at that moment.

mod support;

use heapray_attach::{CopyOptions, copy, in_place};
use heapray_cpython::Memory;
use support::{Target, wait_until};

const SYS_READ: u64 = 0;
/// Memory with a pattern that crosses chunks, a hole in a mapping, and a large piece that is never written.
const PATTERN: &str = "import mmap\n\
    n = 3 << 20\n\
    data = mmap.mmap(-1, n, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n\
    data[:] = b''.join(k.to_bytes(8, 'little') for k in range(n // 8))\n\
    hole = mmap.mmap(-1, 4 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n\
    hole[0] = 1; hole[(4 << 20) - 1] = 2\n\
    big = mmap.mmap(-1, 1 << 33, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)\n\
    big[12345678] = 9\n\
    at = lambda m: ctypes.addressof(ctypes.c_char.from_buffer(m))\n\
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]\n\
    assert libc.mprotect(at(hole) + (1 << 20), 1 << 20, 0) == 0\n\
    say('ready')\n\
    say(at(data), at(hole), at(big))\n\
    os.read(0, 1)\n\
    data[:] = bytes(n)\n\
    say('overwritten')\n\
    os.read(0, 1)\n";

fn start() -> (Target, [u64; 3]) {
    let mut target = Target::start(PATTERN);
    let line = target.line();
    let words: Vec<u64> = line.split(' ').map(|word| word.parse().expect("an address")).collect();
    target.wait_for_call(target.pid(), SYS_READ);
    (target, words.try_into().expect("three"))
}

#[test]
fn the_copy_keeps_what_the_target_overwrites() {
    let (mut target, [data, ..]) = start();
    let image = copy(target.pid(), CopyOptions::default()).expect("a copy");
    target.say("x");
    assert_eq!(target.line(), "overwritten");
    let words = 3 << 17;
    let mut next = 0;
    assert_eq!(image.memory.words(data, words, |word| next += u64::from(word == next)), words);
    assert_eq!(next, words);
    assert_eq!(image.memory.u64(data + 8 * 131_071), Some(131_071));
    assert_eq!(image.memory.array::<4>(data + 6), Some([0, 0, 1, 0]));
    image.check().expect("still there");
}

#[test]
fn holes_are_not_readable_and_their_neighbours_are() {
    let (target, [_, hole, _]) = start();
    let image = copy(target.pid(), CopyOptions::default()).expect("a copy");
    assert_eq!(image.memory.u8(hole), Some(1));
    assert_eq!(image.memory.u8(hole + (1 << 20) - 1), Some(0));
    assert!(image.memory.tail(hole + (1 << 20)).is_empty());
    assert!(image.memory.tail(hole + (2 << 20) - 1).is_empty());
    assert_eq!(image.memory.u64(hole + (1 << 20) - 4), None);
    assert_eq!(image.memory.u8(hole + (4 << 20) - 1), Some(2));
    for outside in [0, 8, 1 << 46, 1 << 63, u64::MAX - 3, u64::MAX] {
        assert_eq!((image.memory.u64(outside), image.memory.u8(outside)), (None, None), "{outside:#x}");
    }
    assert!(image.memory.stats().missed_reads >= 10);
}

#[test]
fn memory_that_was_never_written_costs_nothing() {
    let (target, [_, _, big]) = start();
    let image = copy(target.pid(), CopyOptions::default()).expect("a copy");
    let resident = heapray_linux::status(target.pid()).expect("it lives").resident_bytes;
    image.memory.prefetch(big..big + (1 << 33));
    assert_eq!(image.memory.u8(big + 12_345_678), Some(9));
    assert_eq!(image.memory.u8(big + (1 << 33) - 1), Some(0));
    assert!(image.memory.stats().kept_bytes <= 2 << 20, "{:?}", image.memory.stats());
    assert!(heapray_linux::status(target.pid()).expect("it lives").resident_bytes <= resident + (1 << 20));
}

#[test]
fn reading_a_copy_leaves_its_pages_shared_with_the_target() {
    let (target, [data, ..]) = start();
    let mut image =
        copy(target.pid(), CopyOptions { cache_bytes: 0, ..CopyOptions::default() }).expect("a copy");
    let private = || heapray_linux::smaps_rollup(target.pid()).expect("it lives").private_dirty_bytes;
    let before = private();
    image.memory.prefetch(data..data + (3 << 20));
    assert_eq!(image.memory.u64(data + 80), Some(10));
    assert!(private() < before + (1 << 20), "{before} bytes were private and dirty, now {}", private());
    image.memory.trim();
    assert_eq!(image.memory.stats().kept_bytes, 0);
}

#[test]
fn trimming_keeps_to_the_budget_and_loses_nothing() {
    let (target, [data, ..]) = start();
    let options = CopyOptions { cache_bytes: 1 << 20, ..CopyOptions::default() };
    let mut image = in_place(target.pid(), options).expect("an image");
    for _ in 0..3 {
        image.memory.prefetch(data..data + (3 << 20));
        assert!(image.memory.stats().kept_bytes >= 3 << 20);
        image.memory.trim();
        assert!(image.memory.stats().kept_bytes <= 1 << 20);
        assert_eq!(image.memory.u64(data + 80), Some(10));
    }
}

#[test]
fn a_tree_is_parents_first() {
    let script = "child = os.fork()\n\
        if child == 0:\n  grandchild = os.fork()\n  os.read(0, 1) if grandchild == 0 else os.waitpid(-1, 0)\n  os._exit(0)\n\
        say('ready')\n\
        os.waitpid(-1, 0)";
    let target = Target::start(script);
    wait_until("all three are there", || heapray_attach::tree(target.pid()).len() == 3);
    let tree = heapray_attach::tree(target.pid());
    let parents: Vec<i32> =
        tree.iter().map(|pid| heapray_linux::stat(*pid).expect("it lives").parent).collect();
    assert_eq!((tree[0], &parents[1..]), (target.pid(), &tree[..2]));
    for pid in tree {
        copy(pid, CopyOptions::default()).expect("a copy").release();
    }
}
