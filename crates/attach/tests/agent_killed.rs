//! However heapray, its guardian or the target ends while an agent comes, records or goes, the target goes on untouched.

mod support;

use support::image::image;
use support::{Holder, Outside, Target, check_same, wait_until};

const SIGKILL: i32 = 9;
const SYS_READ: u64 = 0;
/// The moment at which the agent records and the guardian waits.
const RECORDING: u8 = 9;
/// From here on nothing is left to be undone.
const LAST_MOMENT: u8 = 17;
const WAITING: &str = "say('ready')\nsay('got', os.read(0, 10))";

struct Image(std::path::PathBuf);

impl Image {
    fn write(flavour: &'static str) -> Self {
        let path = std::env::temp_dir().join(format!("heapray-{}-{flavour}.so", std::process::id()));
        std::fs::write(&path, image(flavour)).expect("temporary folder");
        Self(path)
    }
}

fn waiting_target() -> Target {
    let target = Target::start(WAITING);
    target.wait_for_call(target.pid(), SYS_READ);
    target
}

fn check_untouched(mut target: Target, before: &Outside) {
    wait_until("nobody traces it", || {
        heapray_linux::status(target.pid()).is_ok_and(|status| status.tracer == 0)
    });
    check_same(target.pid(), before);
    target.say("hello");
    assert_eq!(target.line(), "got b'hello'");
    assert_eq!(target.finish().code(), Some(0));
}

#[test]
fn heapray_killed_at_any_moment_leaves_nothing() {
    let plain = Image::write("plain");
    for how in ["-", plain.0.to_str().expect("text")] {
        for fatal in 1..=LAST_MOMENT {
            let target = waiting_target();
            let before = Outside::of(target.pid());
            let mut holder = Holder::start_example("record", &target, how);
            let mut moments = Vec::new();
            while let Some(moment) = holder.moment() {
                moments.push(moment);
                if moment == RECORDING {
                    drop(holder.child.stdin.take());
                }
                if moment == fatal {
                    holder.kill();
                }
                holder.go_on();
            }
            assert!(moments.contains(&fatal), "{moments:?}");
            let (_, error) = holder.finish();
            assert!(!error.contains("left"), "{error}");
            check_untouched(target, &before);
        }
    }
}

#[test]
fn a_guardian_killed_at_any_moment_hurts_nobody() {
    for fatal in 1..=LAST_MOMENT {
        let target = waiting_target();
        let before = Outside::of(target.pid());
        let mut holder = Holder::start_example("record", &target, "-");
        while let Some(moment) = holder.moment() {
            if moment == RECORDING {
                drop(holder.child.stdin.take());
            }
            if moment == fatal {
                let guardian = holder.guardian().expect("it waits for us");
                heapray_linux::kill(guardian, SIGKILL).expect("it lives");
            }
            holder.go_on();
        }
        holder.finish();
        wait_until("nobody traces it", || {
            heapray_linux::status(target.pid()).is_ok_and(|status| status.tracer == 0)
        });
        // What is left is taken away by the next run.
        let next = Holder::start_example("record", &target, "-");
        next.moments.shutdown(std::net::Shutdown::Write).expect("connected");
        let (status, error) = next.finish();
        assert!(status.success(), "killed at {fatal}: {error}");
        assert!(!is_left(target.pid()), "killed at {fatal}");
        check_untouched(target, &before);
    }
}

/// Whether an agent's memory is still there.
fn is_left(pid: i32) -> bool {
    heapray_linux::mappings(pid)
        .expect("it lives")
        .iter()
        .any(|mapping| mapping.path.starts_with("/memfd:heapray"))
}

#[test]
fn a_target_killed_at_any_moment_is_a_clear_end() {
    for fatal in 1..=LAST_MOMENT {
        let target = waiting_target();
        let mut holder = Holder::start_example("record", &target, "-");
        while let Some(moment) = holder.moment() {
            if moment == RECORDING {
                drop(holder.child.stdin.take());
            }
            if moment == fatal {
                target.signal(SIGKILL);
            }
            holder.go_on();
        }
        let (status, error) = holder.finish();
        assert!(status.success() || error.contains("ended"), "killed at {fatal}: {error}");
    }
}

#[test]
fn heapray_killed_at_random_moments_leaves_nothing() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let target = waiting_target();
    let before = Outside::of(target.pid());
    for _ in 0..40 {
        let mut holder = Holder::start_example("record", &target, "-");
        // With its writing end closed, the socket holds nobody and still tells when the guardian is gone.
        holder.moments.shutdown(std::net::Shutdown::Write).expect("connected");
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        for _ in 0..random >> 43 {
            std::hint::spin_loop();
        }
        holder.kill();
        while holder.moment().is_some() {}
        check_same(target.pid(), &before);
    }
    check_untouched(target, &before);
}
