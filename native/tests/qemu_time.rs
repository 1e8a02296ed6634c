//! The guest's clocks keep up with the host's and never go back: over checkpoints, long pauses, failovers and switchovers.
//!
//! The guest reads its clocks in a loop without a pause and counts steps back; [`GuestClocks::read`] asserts that there is
//! none, and that no answer is older than the one before, whichever host it comes from.

mod common;

use std::thread;
use std::time::Duration;

use common::client::tell;
use common::clock::GuestClocks;
use common::engine::{Engine, spec};
use common::{Lab, in_guest_lab};
use rustix::process::Signal;
use serde_json::{Value, json};

/// What the issue demands is said of so long a time.
const OBSERVED: Duration = Duration::from_secs(30);
/// Paused share from which on it is demanded, percent.
const BUSY_PERCENT: u64 = 45;
/// A guest that was just resumed may need as long before it comes to read a clock again.
const SLUGGISH: Duration = Duration::from_millis(250);

/// As [`spec`], with a guest that watches its clocks and is checkpointed as often as can be.
fn watching(lab: &Lab, node: u8) -> Value {
    let mut spec = spec(lab, node);
    let cmdline = spec["machine"]["cmdline"]
        .as_str()
        .expect("text")
        .to_owned();
    spec["machine"]["cmdline"] = json!(format!("{cmdline} kemari.clock=1"));
    for (name, value) in [
        ("sync_mode", json!("interval")),
        ("commit", json!("sync")),
        ("interval_ms", json!(1)),
        ("paused_max_percent", json!(100)),
    ] {
        spec["tuning"][name] = value;
    }
    spec["limits"]["ack_timeout_ms"] = json!(20_000);
    spec
}

fn protected(lab: &Lab, change: impl Fn(&mut Value)) -> (Engine, Engine, GuestClocks) {
    let [first, second] = [1, 2].map(|node| {
        let mut spec = watching(lab, node);
        change(&mut spec);
        Engine::start(&spec)
    });
    first.promote("cold", 1).expect("cold");
    first.wait_state("protected");
    (first, second, GuestClocks::watch())
}

#[test]
fn a_guest_that_is_paused_half_of_the_time_keeps_up_with_its_host() {
    in_guest_lab(|lab| {
        let (first, _second, _) = protected(lab, |_| {});
        let mut clocks = GuestClocks::watch_trusted();
        tell("dirty 3000", true);
        first.wait_status("busy", |status| {
            status["paused_percent"].as_u64() >= Some(BUSY_PERCENT)
        });
        let checkpoints = || first.status()["checkpoints"].as_u64().expect("a count");
        let (before, checkpoints_before) = (clocks.read_closely(), checkpoints());
        let mut shares: Vec<u64> = (0..OBSERVED.as_secs())
            .map(|_| {
                thread::sleep(Duration::from_secs(1));
                first.status()["paused_percent"].as_u64().expect("a share")
            })
            .collect();
        let after = clocks.read_closely();
        let passed = after.since(&before);
        let status = first.status();
        println!(
            "{} checkpoints, {shares:?}% paused: {passed:?}, {}",
            checkpoints() - checkpoints_before,
            after.clocksource
        );
        shares.sort_unstable();
        assert!(shares[shares.len() / 2] >= BUSY_PERCENT, "all the time");
        passed.assert_kept_up(OBSERVED / 100);
        assert_eq!(after.clocksource, before.clocksource, "trusted as before");
        assert_eq!(status["guest_lag_ms"], 0);

        // With few checkpoints the TSC has the same rate.
        let quiet = json!({"sync_mode": "event", "commit": "pipelined"});
        let configured = first.order(json!({"command": "configure", "tuning": quiet}));
        configured.expect("configure");
        let before = clocks.read();
        thread::sleep(Duration::from_secs(5));
        let free = clocks.read().since(&before);
        let ratio = passed.ticks_per_second() / free.ticks_per_second();
        assert!((0.99..=1.01).contains(&ratio), "{passed:?} {free:?}");
    });
}

#[test]
fn a_guest_that_stood_still_for_seconds_catches_up_when_it_goes_on() {
    in_guest_lab(|lab| {
        let (first, second, mut clocks) = protected(lab, |_| {});
        let before = clocks.read();
        second.signal(Signal::STOP);
        first.wait_status("paused for its ack", |status| status["guest"] == "paused");
        thread::sleep(Duration::from_secs(3));
        second.signal(Signal::CONT);
        let passed = clocks.read().since(&before);
        passed.assert_kept_up(SLUGGISH);
        assert!(passed.monotonic >= Duration::from_secs(3));
        assert_eq!(first.status()["guest_lag_ms"], 0);
    });
}

#[test]
fn a_promoted_guest_of_two_processors_has_caught_up_with_the_gap() {
    in_guest_lab(|lab| {
        // With two, Linux does not trust a TSC that is not said to be the same on both, and takes another clock.
        let two = |spec: &mut Value| spec["machine"]["vcpus"] = json!(2);
        let (first, second, mut clocks) = protected(lab, two);
        let before = clocks.read();
        first.kill();
        thread::sleep(Duration::from_secs(3));
        assert_eq!(second.status()["guest_lag_ms"], Value::Null);
        second.promote("hot", 2).expect("hot");
        let after = clocks.read();
        after.since(&before).assert_kept_up(SLUGGISH);
        assert_eq!(after.clocksource, before.clocksource, "trusted as before");
        println!("{}", after.clocksource);
        assert_eq!(second.logged("promoted", "host_clocks_agree"), true);
        second.wait_status("seen", |status| status["guest_lag_ms"] == 0);

        // A planned switchover back.
        let mut spec = watching(lab, 1);
        two(&mut spec);
        let first = Engine::start(&spec);
        second.wait_state("protected");
        let before = clocks.read();
        let demoted = second.order(json!({"command": "demote", "timeout_ms": 60_000}));
        assert_eq!(demoted.expect("demote")["demoted"], "handed-over");
        first.wait_state("handed-over");
        thread::sleep(Duration::from_secs(1));
        first.promote("hot", 3).expect("hot");
        clocks.read().since(&before).assert_kept_up(SLUGGISH);
    });
}

#[test]
fn no_more_than_the_bound_is_caught_up_with_and_the_rest_is_told_on_every_host() {
    in_guest_lab(|lab| {
        let bounded = |spec: &mut Value| spec["limits"]["time_catch_up_max_ms"] = json!(1500);
        let (first, second, mut clocks) = protected(lab, bounded);
        let lag_ms = |engine: &Engine| {
            let status = engine.wait_status("seen", |status| status["guest_lag_ms"].is_u64());
            status["guest_lag_ms"].as_u64().expect("seen")
        };
        // A machine that is busy may have kept the guest waiting for longer than that before.
        let lag_before = lag_ms(&first);
        let before = clocks.read();
        first.kill();
        thread::sleep(Duration::from_secs(5));
        second.promote("hot", 2).expect("hot");
        let after = clocks.read();
        let lag = lag_ms(&second);
        let gained = Duration::from_millis(lag - lag_before);
        assert!(gained >= Duration::from_millis(3400), "{gained:?}");
        let mut passed = after.since(&before);
        passed.monotonic += gained;
        passed.realtime += gained;
        passed.assert_kept_up(SLUGGISH);

        // Who runs the guest next knows.
        let mut spec = watching(lab, 1);
        bounded(&mut spec);
        let first = Engine::start(&spec);
        second.wait_state("protected");
        clocks.read();
        second.kill();
        first.promote("hot", 3).expect("hot");
        clocks.read();
        assert!(lag_ms(&first) >= lag);
    });
}
