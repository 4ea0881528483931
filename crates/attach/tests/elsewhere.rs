//! Targets in other places: another pid namespace; and their symbols.

mod support;

use std::process::Command;

use heapray_attach::{CopyOptions, copy};
use heapray_symbols::Symbols;
use support::{Outside, Target, check_same, wait_until};

#[test]
fn the_runtime_of_a_python_is_found_and_statics_are_named() {
    let target = Target::start("say('ready')\nos.read(0, 1)");
    let image = copy(target.pid(), CopyOptions::default()).expect("a copy");
    let symbols = Symbols::new(image.files.clone(), &image.mappings);
    let runtime = symbols.address_of("_PyRuntime").expect("every Python exports it");
    let name = symbols.name_of(runtime).expect("it is in a file");
    assert_eq!((name.symbol.as_deref(), name.offset, name.is_data), (Some("_PyRuntime"), 0, true));
    assert!(name.object_file.contains("python"), "{name}");
    assert!(symbols.data_ranges().iter().any(|range| range.start <= runtime && runtime < range.end));
    assert!(symbols.name_of(image.threads[0].stack_pointer).is_none());
}

#[test]
fn a_target_in_another_pid_namespace_is_copied_and_reaped() {
    // The target is process 1 of its namespace, so the ids that it knows differ from ours.
    let script = "say('ready')\nsay('got', os.read(0, 5), os.getpid())";
    let mut probe = Command::new("unshare");
    if !probe.args(["--pid", "--fork", "true"]).status().is_ok_and(|status| status.success()) {
        // Without the right to make a namespace there is nothing to be tried here.
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "/usr/bin/python3"]);
    let mut outer = Target::start_in(script, command);
    let pid = *heapray_attach::tree(outer.pid()).get(1).expect("unshare forks");
    wait_until("it reads", || {
        std::fs::read_to_string(format!("/proc/{pid}/syscall")).is_ok_and(|text| text.starts_with("0 "))
    });
    let before = Outside::of(pid);
    for _ in 0..3 {
        let image = copy(pid, CopyOptions::default()).expect("a copy");
        assert_eq!((image.own_pid, image.same_pid_namespace, image.threads[0].own_tid), (1, false, 1));
        image.release();
        check_same(pid, &before);
    }
    outer.say("hello");
    assert_eq!(outer.line(), "got b'hello' 1");
}
