//! Mappings: `mremap` moves and resizes what was mapped, parts can be unmapped, and reserved address space is not heap.

use std::process::Command;
use std::time::{Duration, Instant};

use heapray_tests::{Program, Recorded, heapray};
use heapray_wire::allocator::{MMAP, RESERVED};

use crate::claims::{outer_pythons, pythons};
use crate::native::prelude;

const MB: f64 = (1 << 20) as f64;

/// MB of mappings alive at the end, over all lines of the program.
fn mapped_mb(recorded: &Recorded) -> f64 {
    recorded.live(recorded.task(), &[MMAP]).values().map(|sum| sum.bytes).sum::<f64>() / MB
}

#[test]
fn mremap_moves_what_is_mapped() {
    let text = prelude()
        + "MB = 1 << 20\n\
           p = lib.mapping(8 * MB)\n\
           p = lib.remapped(p, 8 * MB, 64 * MB)\n\
           q = lib.mapping(16 * MB)\n\
           q = lib.remapped(q, 16 * MB, 4 * MB)\n\
           os._exit(0)\n";
    for python in pythons() {
        let recorded = Program::new(python, &text).exact_malloc().record_well();
        assert_eq!(mapped_mb(&recorded), 68.0, "{}", python.version());
        let grown = text.lines().position(|line| line.contains("64 * MB")).expect("the line is there") + 1;
        let live = recorded.live(recorded.task(), &[MMAP]);
        assert_eq!(
            live[&(grown as u32)].bytes,
            64.0 * MB,
            "what grows is charged to whom makes it: {live:?}"
        );
    }
}

#[test]
fn a_mapping_can_go_in_parts() {
    let text = prelude()
        + "MB = 1 << 20\n\
           p = lib.mapping(32 * MB)\n\
           lib.unmapped(p, 4 * MB)\n\
           lib.unmapped(p + 8 * MB, 4 * MB)\n\
           lib.unmapped(p + 28 * MB, 4 * MB)\n\
           q = lib.mapping(2 * MB); r = lib.mapping(2 * MB)\n\
           lib.unmapped(min(q, r), 4 * MB) if abs(q - r) == 2 * MB else (lib.unmapped(q, 2 * MB), lib.unmapped(r, 2 * MB))\n\
           os._exit(0)\n";
    for python in pythons() {
        let recorded = Program::new(python, &text).exact_malloc().record_well();
        assert_eq!(mapped_mb(&recorded), 20.0, "{}", python.version());
    }
}

#[test]
fn the_mmap_module_is_seen_and_its_resize() {
    let text = "import mmap, os\nm = mmap.mmap(-1, 4 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\nm.resize(12 << 20)\nn = mmap.mmap(-1, 1 << 20)\nn.close()\nos._exit(0)\n";
    for python in pythons() {
        let recorded = Program::new(python, text).exact_malloc().record_well();
        assert_eq!(mapped_mb(&recorded), 12.0, "{}", python.version());
    }
}

#[test]
fn reserved_address_space_is_not_heap() {
    let text = prelude()
        + "GB = 1 << 30\n\
           kept = [lib.reserved(64 * GB) for _ in range(4)]\n\
           lib.opened(kept[0], 1 << 20)\n\
           ctypes.memset(kept[0], 1, 1 << 20)\n\
           os._exit(0)\n";
    for python in outer_pythons() {
        for options in [&["--mode", "sampled"][..], &["--mode", "exact"]] {
            let recorded = Program::new(python, &text).options(options).record_well();
            assert!(
                mapped_mb(&recorded) <= 1.0,
                "{} {options:?}: {} MB",
                python.version(),
                mapped_mb(&recorded)
            );
        }
    }
}

/// As allocators inside libraries do it: much is reserved at once, and used and given back bit by bit without another mapping.
#[test]
fn reserved_address_space_counts_as_far_as_it_is_used() {
    // Little is looked at page by page, much mapping by mapping.
    for gb in ["1", "64"] {
        let text = prelude()
            + &format!("MB, GB = 1 << 20, {gb} << 30\n")
            + "opened = lib.reserved(GB)  # opened\n\
               lib.opened(opened, 8 * MB)\n\
               ctypes.memset(opened, 1, 8 * MB)\n\
               lazy = lib.lazily(GB)  # lazy\n\
               ctypes.memset(lazy, 1, 64 * MB)\n\
               gone = lib.lazily(64 * MB)  # gone\n\
               ctypes.memset(gone, 1, 64 * MB)\n\
               moved = lib.remapped(lib.lazily(4 * MB), 4 * MB, 32 * MB)  # moved\n\
               ctypes.memset(moved, 1, 16 * MB)\n\
               # What is looked at here, if anything is, changes nothing in the end.\n\
               time.sleep(0.2)\n\
               lib.given_back(lazy + 32 * MB, 32 * MB)\n\
               lib.unmapped(gone, 64 * MB)\n\
               print('ready', os.getpid(), flush=True)\n\
               sys.stdin.readline()\n\
               os._exit(0)\n";
        for python in outer_pythons() {
            for options in [&["--mode", "sampled"][..], &["--mode", "exact"]] {
                let recorded = Program::new(python, &text).options(options).record_until_ready();
                let live = recorded.live(recorded.task(), &[RESERVED]);
                let mb = |what: &str| {
                    let line =
                        text.lines().position(|line| line.ends_with(&format!("# {what}"))).expect("a line");
                    live.get(&(line as u32 + 1)).map_or(0.0, |sum| sum.bytes / MB)
                };
                let found = ["opened", "lazy", "gone", "moved"].map(mb);
                // Large pages come in pieces of 2 MB.
                let right = [8.0, 32.0, 0.0, 16.0].map(|mb| mb..=if mb > 0.0 { mb + 4.0 } else { 0.0 });
                let who = format!("{} {options:?} {gb} GB", python.version());
                assert!(right.iter().zip(found).all(|(right, mb)| right.contains(&mb)), "{who}: {found:?}");
                let top = recorded.ask(&["top"]);
                assert!(top["reserved"]["bytes"].as_f64() >= Some(56.0 * MB), "{who}: {top}");
            }
        }
    }
}

/// A look at a process that is gone finds nothing in use, which says nothing of what it held.
#[test]
fn what_a_killed_process_had_in_use_stays() {
    let text = prelude()
        + "lazy = lib.lazily(1 << 30)\n\
           ctypes.memset(lazy, 1, 32 << 20)\n\
           print('ready', os.getpid(), flush=True)\n\
           sys.stdin.readline()\n";
    for python in outer_pythons() {
        for options in [&["--mode", "sampled"][..], &["--mode", "exact"]] {
            let recorded = Program::new(python, &text).options(options).record_meanwhile(|pid| {
                let seen = || heapray(["top", pid, "--json"]).json()["reserved"]["bytes"].as_f64();
                let began = Instant::now();
                while seen() < Some(32.0 * MB) {
                    assert!(began.elapsed() < Duration::from_secs(60), "never looked at");
                }
                let killed = Command::new("kill").args(["-KILL", pid]).status();
                assert!(killed.is_ok_and(|status| status.success()));
            });
            assert_ne!(recorded.answer.status, Some(0));
            let live = recorded.ask(&["top"])["reserved"]["bytes"].as_f64().expect("a number") / MB;
            assert!((32.0..=36.0).contains(&live), "{} {options:?}: {live} MB", python.version());
        }
    }
}
