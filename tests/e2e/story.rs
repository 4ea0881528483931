//! The story: a service under gunicorn leaks, heapray names the holder; with one line fixed, it finds nothing.

use std::time::Duration;

use heapray_tests::{Answer, Load, Scratch, Service, fixed_copy, heapray, story_folder};
use serde_json::Value;

const PAUSE: Duration = Duration::from_millis(20);

#[test]
fn sync_worker_names_the_holder() {
    names_the_holder("sync");
}

#[test]
fn preloaded_and_frozen_worker_names_the_holder() {
    names_the_holder("preload");
}

#[test]
fn threaded_worker_names_the_holder() {
    names_the_holder("threads");
}

#[test]
fn gevent_worker_names_the_holder() {
    names_the_holder("gevent");
}

#[test]
fn fixed_service_has_no_finding() {
    has_no_finding("sync");
}

#[test]
fn fixed_preloaded_and_frozen_service_has_no_finding() {
    has_no_finding("preload");
}

#[test]
fn picture_and_trail_lead_to_the_module_variable() {
    let service = Service::start("sync", &story_folder());
    let load = Load::start(service.port, 2, PAUSE);
    load.wait_for(200);
    let scratch = Scratch::new();
    let (file, picture) = (scratch.file("service.snapshot"), scratch.file("backrefs.svg"));
    let taken = heapray([
        "snapshot".as_ref(),
        service.worker().to_string().as_ref(),
        "-o".as_ref(),
        file.as_os_str(),
    ]);
    assert_eq!(taken.status, Some(0), "{taken:?}");
    assert!(taken.stdout.contains("was stopped for"), "a snapshot says its pause: {taken:?}");
    let why = [
        "why".as_ref(),
        file.as_os_str(),
        "numpy.ndarray".as_ref(),
        "--output".as_ref(),
        picture.as_os_str(),
    ];
    let why = heapray(why);
    assert_eq!(why.status, Some(0), "{why:?}");
    assert!(why.stdout.contains("data_pipeline.buffer["), "the trail is a Python expression: {why:?}");
    let svg = std::fs::read_to_string(&picture).expect("the picture was drawn");
    assert!(svg.contains("<svg") && svg.contains("data_pipeline"), "the picture names the module");
}

#[test]
fn one_file_takes_the_whole_tree() {
    let service = Service::start("preload", &story_folder());
    let scratch = Scratch::new();
    let file = scratch.file("tree.snapshot");
    let master = service.master.to_string();
    let words =
        ["snapshot".as_ref(), master.as_ref(), "--children".as_ref(), "-o".as_ref(), file.as_os_str()];
    let taken = heapray(words);
    assert_eq!(taken.status, Some(0), "{taken:?}");
    for pid in service.workers.iter().chain([&service.master]) {
        let pid = pid.to_string();
        let types = heapray(["types".as_ref(), file.as_os_str(), "--process".as_ref(), pid.as_ref()]);
        assert_eq!(types.status, Some(0), "process {pid} is in the file: {types:?}");
    }
}

/// Starts `variant` in `folder`, loads it, asks `heapray leaks` about its worker.
fn diagnose(variant: &str, folder: &std::path::Path) -> Answer {
    let service = Service::start(variant, folder);
    let load = Load::start(service.port, 2, PAUSE);
    load.wait_for(100);
    let pid = service.worker().to_string();
    let answer = heapray(["leaks", &pid, "--interval", "3s", "--snapshots", "5", "--json"]);
    let totals = load.stop();
    assert_eq!(totals.failed, 0, "no request is lost: {totals:?}");
    answer
}

fn names_the_holder(variant: &str) {
    let answer = diagnose(variant, &story_folder());
    assert_eq!(answer.status, Some(1), "a finding is status 1: {answer:?}");
    let json = answer.json();
    let first = &json["findings"][0];
    assert_eq!(first["kind"], "reference", "{json:#}");
    assert_eq!(first["holder"], "data_pipeline.buffer", "{json:#}");
    let types = first["types"].as_array().expect("types are a list");
    let arrays = types.iter().find(|share| share["name"] == "numpy.ndarray");
    let count = arrays.and_then(|share| share["count"].as_i64());
    assert!(count.is_some_and(|count| count > 0), "arrays grew: {json:#}");
    let trail: Vec<&str> =
        first["trail"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert!(trail.iter().any(|step| step.contains("data_pipeline.buffer")), "{trail:?}");
    let share = first["share"].as_f64().expect("share is a number");
    assert!(share > 0.5, "the buffer is most of the growth: {json:#}");
}

fn has_no_finding(variant: &str) {
    let scratch = Scratch::new();
    let answer = diagnose(variant, &fixed_copy(&scratch));
    assert_eq!(answer.status, Some(0), "no finding is status 0: {answer:?}");
    assert_eq!(answer.json()["findings"].as_array().map(Vec::len), Some(0), "{answer:?}");
}
