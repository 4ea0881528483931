//! Each kind of holder is named right, on every interpreter found: held.py's objects, one class per holder.

use heapray_testkit::{Python, Target, find_pythons};
use heapray_tests::{Scratch, heapray};

/// Class in held.py, and what its trail must hold (one of the words, in the expression or the holder's kind).
const HELD: &[(&str, &[&str])] = &[
    ("BySignal", &["signal", "Handlers", "native"]),
    ("ByAtexit", &["atexit"]),
    ("ByContext", &["request", "context"]),
    ("ByFrame", &["serve"]),
    ("ByThreadFrame", &["in_thread"]),
    ("ByGenerator", &["stream"]),
    ("ByAsyncGenerator", &["async_stream"]),
    ("ByCache", &["load"]),
    ("ByThreadLocal", &["locals_of_thread", "thread"]),
    ("ByTraceback", &["last_error"]),
    ("ByCallback", &["watcher"]),
    ("ByFrozen", &["frozen[0]"]),
    ("ByClosure", &["on_event"]),
    ("ByDefault", &["default"]),
    ("ByClass", &["Settings.cache"]),
    ("BySlot", &["slotted.held"]),
    ("ByDeque", &["recent[0]"]),
    ("ByKey", &["by_key"]),
    ("ByTimezone", &["stamp.tzinfo"]),
];

#[test]
fn every_holder_is_named_on_every_python() {
    let complaints: Vec<String> = find_pythons().iter().flat_map(complaints).collect();
    assert!(complaints.is_empty(), "not named:\n  {}", complaints.join("\n  "));
}

#[test]
fn reference_counts_are_explained_on_every_python() {
    for python in find_pythons() {
        let target = start(python);
        let answer = heapray(["types", &target.pid().to_string(), "--json"]);
        let coverage =
            answer.json()["coverage"]["references_explained"].as_f64().expect("coverage is measured");
        assert!(coverage > 0.99, "Python {}: {coverage} of references explained", python.version());
    }
}

fn start(python: &Python) -> Target {
    let mut target = Target::start(python, include_str!("held.py"));
    assert_eq!(target.line(), "ready");
    target
}

fn complaints(python: &Python) -> Vec<String> {
    let target = start(python);
    let scratch = Scratch::new();
    let file = scratch.file("held.snapshot");
    let pid = target.pid().to_string();
    let taken = heapray(["snapshot".as_ref(), pid.as_ref(), "-o".as_ref(), file.as_os_str()]);
    assert_eq!(taken.status, Some(0), "Python {}: {taken:?}", python.version());
    let mut complaints = Vec::new();
    for (class, words) in HELD {
        let subject = format!("type=__main__.{class}");
        let answer = heapray(["why".as_ref(), file.as_os_str(), subject.as_ref(), "--json".as_ref()]);
        if answer.status != Some(0) {
            complaints.push(format!("Python {}: {class}: {answer:?}", python.version()));
            continue;
        }
        let json = answer.json();
        let trail = json["trails"][0].to_string();
        let is_named = json["n_objects"] == 1 && words.iter().any(|word| trail.contains(word));
        if !is_named {
            complaints.push(format!(
                "Python {}: {class}: {} objects, {trail}",
                python.version(),
                json["n_objects"]
            ));
        }
    }
    complaints
}
