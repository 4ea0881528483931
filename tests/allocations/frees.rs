//! A free is never charged to another block: with realloc, threads that free what others allocated, addresses that are
//! used again, fork.

use heapray_tests::{Program, is_full};

use crate::claims::{Counted, LIBC, assert_same, counted, outer_pythons, pythons, whole};
use crate::native::prelude;

/// Four threads allocate, move and free blocks at random, hand them over to each other, and keep account of who holds
/// what. The account is exact: each block is one thread's, or travels in a queue. Room for small objects is made before, of numbers
/// too, which are smaller than any bytes, so that the interpreter needs no arena, and no entry in its table of arenas, on
/// the lines that are counted.
const TRADERS: &str = r#"
import queue, random
room = [bytes(n) for n in range(1, 480, 16) for _ in range(ROOM if n < 64 else 1000)]
room += [2**40 + n for n in range(ROOM)]
del room[::2]
def malloc(n): return lib.block(0, n)
def calloc(n): return lib.block(1, n)
def aligned(n): return lib.block(4, n)
def grow(p, n): return lib.moved(p, n)
BIRTHS = {f: f.__code__.co_firstlineno for f in (malloc, calloc, aligned, grow)}
market = queue.SimpleQueue()
accounts = []
def trade(seed, n_steps, account):
    dice = random.Random(seed)
    mine = account
    for _ in range(n_steps):
        what = dice.random()
        size = dice.choice((24, 24, 24, 100, 1000, 5000, 300_000))
        if what < 0.45 or not mine:
            birth = dice.choice((malloc, calloc, aligned))
            mine[birth(size)] = (BIRTHS[birth], size)
        elif what < 0.65:
            old = dice.choice(list(mine)[-50:])
            mine.pop(old)
            mine[grow(old, size)] = (BIRTHS[grow], size)
        elif what < 0.75:
            market.put(mine.popitem())
        elif what < 0.85:
            try:
                address, block = market.get_nowait()
                mine[address] = block
            except queue.Empty:
                pass
        else:
            address = dice.choice(list(mine)[-50:])
            mine.pop(address)
            lib.dropped(address)
def trade_all(seed, n_steps):
    threads = []
    for i in range(4):
        if len(accounts) <= i: accounts.append({})
        threads.append(threading.Thread(target=trade, args=(seed + i, n_steps, accounts[i])))
    for thread in threads: thread.start()
    for thread in threads: thread.join()
def sums():
    while not market.empty():
        address, block = market.get()
        accounts[0][address] = block
    by_line = {line: [0, 0] for line in BIRTHS.values()}
    for account in accounts:
        for line, size in account.values():
            by_line[line][0] += 1
            by_line[line][1] += size
    return json.dumps({"pid": os.getpid(), "lines": by_line})
"#;

const ALONE: &str = r#"
trade_all(11, STEPS)
print(sums(), flush=True)
os._exit(0)
"#;

/// A child forked in the middle goes on with a copy of everything, and forks once more.
const FORKED: &str = r#"
trade_all(21, STEPS)
for generation in range(2):
    sums()
    child = os.fork()
    trade_all(31 + generation + (100 if child else 0), STEPS)
    if child:
        break
if child:
    os.waitpid(child, 0)
sys.stdout.write(sums() + "\n")
sys.stdout.flush()
os._exit(0)
"#;

fn program(end: &str) -> String {
    let steps = if is_full() { 20_000 } else { 3_000 };
    let text = prelude() + TRADERS + end;
    text.replace("STEPS", &steps.to_string()).replace("ROOM", &(10 * steps).to_string())
}

#[test]
fn every_thread_frees_what_the_account_says() {
    let text = program(ALONE);
    for python in pythons() {
        for level in ["malloc", "objects"] {
            let recorded =
                Program::new(python, &text).options(&["--mode", "exact", "--level", level]).record_well();
            for (pid, expected) in accounts(&recorded.answer.stdout) {
                let live = recorded.live(recorded.task_of(pid), LIBC);
                let found = whole(&live, |line| expected.contains_key(&line));
                let who = format!("{} {level} {}", python.version(), recorded.troubles());
                assert_same(&who, &text, &found, &expected);
            }
        }
    }
}

#[test]
fn every_event_kept_gives_the_same_account() {
    let text = program(ALONE);
    for python in outer_pythons() {
        let recorded = Program::new(python, &text).exact_malloc().options(&["--all-events"]).record_well();
        let (_, expected) = accounts(&recorded.answer.stdout).remove(0);
        let found = whole(&recorded.live(recorded.task(), LIBC), |line| expected.contains_key(&line));
        let who = format!("{} {}", python.version(), recorded.troubles());
        assert_same(&who, &text, &found, &expected);
        assert!(
            recorded.task().n_events > 10_000,
            "every event is in the file: {}",
            recorded.task().n_events
        );
    }
}

#[test]
fn forked_processes_go_on_with_their_own_accounts() {
    let text = program(FORKED);
    for python in outer_pythons() {
        let recorded = Program::new(python, &text).exact_malloc().record_well();
        let accounts = accounts(&recorded.answer.stdout);
        assert_eq!(accounts.len(), 3, "{:?}", recorded.answer);
        for (pid, expected) in accounts {
            let found =
                whole(&recorded.live(recorded.task_of(pid), LIBC), |line| expected.contains_key(&line));
            let who = format!("{} process {pid} {}", python.version(), recorded.troubles());
            assert_same(&who, &text, &found, &expected);
        }
    }
}

fn accounts(stdout: &str) -> Vec<(u32, Counted)> {
    let account = |line: &str| {
        let parsed: serde_json::Value = serde_json::from_str(line).expect("an account is JSON");
        let pid = parsed["pid"].as_u64().expect("an account has a pid");
        (u32::try_from(pid).expect("a pid"), counted(&parsed["lines"].to_string()))
    };
    stdout.lines().map(account).collect()
}
