//! However heapray, its guardian or the target ends, the target is as it was and nothing is left of the copy.

mod support;

use std::net::Shutdown;

use support::{Holder, Outside, Target, check_same, copy, processes_with, wait_until};

const SIGKILL: i32 = 9;
const SYS_READ: u64 = 0;
const LAST_MOMENT: u8 = 12;
const WAITING: &str = "say('ready')\nsay('got', os.read(0, 10))";

fn waiting_target() -> Target {
    let target = Target::start(WAITING);
    target.wait_for_call(target.pid(), SYS_READ);
    target
}

/// The target still works, as before, and no copy of it is left.
fn check_untouched(mut target: Target, before: &Outside) {
    wait_until("no copy is left", || processes_with(&target.token) == [target.pid()]);
    check_same(target.pid(), before);
    target.say("hello");
    assert_eq!(target.line(), "got b'hello'");
    assert_eq!(target.finish().code(), Some(0));
}

#[test]
fn heapray_killed_at_any_moment_leaves_nothing() {
    for fatal in 1..=9 {
        let target = waiting_target();
        let before = Outside::of(target.pid());
        let mut holder = Holder::start(&target, "copy");
        let mut moments = Vec::new();
        while let Some(moment) = holder.moment() {
            moments.push(moment);
            if moment == fatal {
                holder.kill();
            }
            holder.go_on();
        }
        let (_, error) = holder.finish();
        assert_eq!(moments, (1..=LAST_MOMENT).collect::<Vec<_>>(), "killed at {fatal}: {error}");
        check_untouched(target, &before);
    }
}

#[test]
fn heapray_killed_at_random_moments_leaves_nothing() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let target = waiting_target();
    let before = Outside::of(target.pid());
    for _ in 0..60 {
        let mut holder = Holder::start(&target, "copy");
        // With its writing end closed, the socket holds nobody and still tells when the guardian is gone.
        holder.moments.shutdown(Shutdown::Write).expect("connected");
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        for _ in 0..random >> 46 {
            std::hint::spin_loop();
        }
        holder.kill();
        while holder.moment().is_some() {}
        check_same(target.pid(), &before);
    }
    check_untouched(target, &before);
}

#[test]
fn a_guardian_killed_at_any_moment_hurts_nobody() {
    for fatal in 1..=12 {
        let target = waiting_target();
        let before = Outside::of(target.pid());
        let mut holder = Holder::start(&target, "copy");
        while let Some(moment) = holder.moment() {
            if moment == 9 {
                // The holder reads until its input closes; let it come to its end.
                drop(holder.child.stdin.take());
            }
            if moment == fatal {
                let guardian = holder.guardian().expect("it waits for us");
                heapray_linux::kill(guardian, SIGKILL).expect("it lives");
            }
            holder.go_on();
        }
        let (status, error) = holder.finish();
        assert!(fatal >= 9 || status.code() == Some(1), "killed at {fatal}: {error}");
        let is_dead = |pid: &i32| heapray_linux::stat(*pid).is_ok_and(|stat| stat.state == 'Z');
        let children = || heapray_linux::children(target.pid()).expect("it lives");
        wait_until("no copy lives", || children().iter().all(is_dead));
        // What may remain is a zombie, which the next copy takes along.
        copy(&target).expect("a copy").release();
        check_untouched(target, &before);
    }
}

#[test]
fn a_target_killed_at_any_moment_is_a_clear_end() {
    for fatal in 1..=12 {
        let target = waiting_target();
        let mut holder = Holder::start(&target, "copy");
        while let Some(moment) = holder.moment() {
            if moment == 9 {
                drop(holder.child.stdin.take());
            }
            if moment == fatal {
                target.signal(SIGKILL);
            }
            holder.go_on();
        }
        let (status, error) = holder.finish();
        // Up to the resume there is no copy to be had; afterwards the copy outlives the target.
        let clear = error.contains("ended while it was being") || status.success();
        assert!(clear, "killed at {fatal}: {error}");
        let token = target.token.clone();
        drop(target);
        wait_until("no copy lives", || processes_with(&token).is_empty());
    }
}

#[test]
fn a_copy_that_somebody_kills_is_reported() {
    let target = waiting_target();
    let before = Outside::of(target.pid());
    let image = copy(&target).expect("a copy");
    let twin = *processes_with(&target.token)
        .iter()
        .find(|pid| **pid != target.pid())
        .expect("the copy is a process");
    heapray_linux::kill(twin, SIGKILL).expect("it lives");
    wait_until("it is reported", || image.check().is_err());
    let error = image.check().expect_err("it is gone").to_string();
    assert!(error.contains("given up while it was read"), "{error}");
    drop(image);
    check_untouched(target, &before);
}

#[test]
fn the_time_budget_ends_a_copy() {
    let target = waiting_target();
    let before = Outside::of(target.pid());
    let options = heapray_attach::CopyOptions {
        time_budget: std::time::Duration::from_millis(1),
        ..heapray_attach::CopyOptions::default()
    };
    // The budget may already be over when the mappings are read: an error then, and the same end.
    if let Ok(image) = heapray_attach::copy(target.pid(), options) {
        wait_until("the budget ends", || image.check().is_err());
    }
    check_untouched(target, &before);
}
