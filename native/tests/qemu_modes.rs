//! How a guest is kept in step, changed while it runs.

mod common;

use common::client::{Flood, Traffic};
use common::engine::{Engine, protected_pair_of, proxied_spec, spec};
use common::proxy::Proxy;
use common::{eventually, in_guest_lab};
use serde_json::{Value, json};

fn configure(engine: &Engine, tuning: &Value) -> Value {
    let mut ok = engine
        .order(json!({"command": "configure", "tuning": tuning}))
        .expect("configure");
    ok["configured"].take()
}

/// One connection through every mode, a failover and a new replica.
fn every_mode(tracker: &str) {
    in_guest_lab(|lab| {
        let of = |number| {
            let mut spec = spec(lab, number);
            spec["machine"]["tracker"] = json!(tracker);
            spec
        };
        let (first, second, mut traffic) = protected_pair_of([of(1), of(2)]);
        for sync_mode in ["event", "interval", "adaptive"] {
            for commit in ["sync", "pipelined"] {
                let wanted = json!({"sync_mode": sync_mode, "commit": commit, "interval_ms": 10});
                let tuning = configure(&first, &wanted);
                assert_eq!(
                    (&tuning["sync_mode"], &tuning["commit"]),
                    (&json!(sync_mode), &json!(commit))
                );
                assert_eq!(first.status()["tuning"], tuning);
                traffic.flows(40);
            }
        }
        let before = first.status()["tuning"].clone();
        let refused = first
            .order(json!({"command": "configure", "tuning": {"commit": "sync", "interval_ms": 0}}))
            .expect_err("out of bounds");
        assert_eq!(refused.code, "bad-request");
        assert_eq!(first.status()["tuning"], before);

        // A secondary keeps what it is told for the day on which it runs the guest.
        let tuning = configure(&second, &json!({"sync_mode": "event", "commit": "sync"}));
        first.kill();
        second.wait_state("in-sync");
        second.promote("hot", 2).expect("hot");
        assert_eq!(second.status()["tuning"], tuning);
        let _again = Engine::start(&of(1));
        second.wait_state("protected");
        traffic.flows(40);
        traffic.finish();
    });
}

#[test]
fn every_mode_carries_the_same_connection_one_after_the_other() {
    every_mode("pagemap-scan");
}

#[test]
fn every_mode_carries_it_when_all_of_ram_is_compared() {
    every_mode("compare");
}

#[test]
fn with_sync_commits_the_guest_stands_still_until_the_ack_also_when_the_link_is_lost() {
    in_guest_lab(|lab| {
        let proxy = Proxy::before(2);
        let second = Engine::start(&spec(lab, 2));
        let mut slow_to_give_up = proxied_spec(lab, 1);
        slow_to_give_up["limits"]["ack_timeout_ms"] = json!(20_000);
        let first = Engine::start(&slow_to_give_up);
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        let mut traffic = Traffic::start();
        // It began otherwise: the guest that runs is the one that is kept to it.
        configure(&first, &json!({"commit": "sync"}));
        traffic.flows(40);

        proxy.withhold_acks(0);
        first.wait_status("paused for its ack", |status| {
            status["state"] == "protected" && status["guest"] == "paused"
        });
        // Cut off, it stays so.
        proxy.cut();
        let stands = |status: &Value| {
            status["state"] == "frozen"
                && status["guest"] == "paused"
                && status["paused_for"] == "ack"
        };
        first.wait_status("frozen and paused", stands);
        proxy.heal();
        first.wait_state("protected");
        traffic.flows(40);

        // Nor does one run on that waited for nothing when the link was lost; it may if it is told so.
        proxy.cut();
        first.wait_status("frozen and paused", stands);
        configure(&first, &json!({"commit": "pipelined"}));
        first.wait_status("frozen and running", |status| {
            status["state"] == "frozen" && status["guest"] == "running"
        });
        configure(&first, &json!({"commit": "sync"}));
        first.wait_status("frozen and paused", stands);
        proxy.heal();
        first.wait_state("protected");
        traffic.flows(40);
        traffic.finish();
        assert_eq!(second.status()["state"], "in-sync");
    });
}

/// More and more of what the guest sends is seen to wait, and no checkpoint comes of it: it repeats itself already.
fn waits_for_the_clock(engine: &Engine) {
    let (mut checkpoints, mut held, mut grown) = (0, 0, 0);
    eventually("more and more waits for the clock", || {
        let status = engine.status();
        let number = |name: &str| status[name].as_u64().expect("a number");
        if number("checkpoints") != checkpoints {
            (checkpoints, held, grown) = (number("checkpoints"), number("held_packets"), 0);
        } else if number("held_packets") > held {
            (held, grown) = (number("held_packets"), grown + 1);
        }
        (grown == 4).then_some(())
    });
}

#[test]
fn a_running_guest_is_kept_in_step_as_was_last_asked_for() {
    in_guest_lab(|lab| {
        // Nothing but the mode asks for a checkpoint.
        let at_leisure = |mut spec: Value| {
            spec["limits"]["max_epoch_age_ms"] = json!(10_000);
            spec
        };
        let _second = Engine::start(&at_leisure(spec(lab, 2)));
        let first = Engine::start(&at_leisure(spec(lab, 1)));
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        let mut traffic = Traffic::start();
        for sync_mode in ["event", "adaptive"] {
            traffic.flows(40);
            configure(
                &first,
                &json!({"sync_mode": "interval", "interval_ms": 10_000}),
            );
            waits_for_the_clock(&first);
            configure(&first, &json!({"sync_mode": sync_mode}));
            // By the clock these would take minutes.
            traffic.flows(200);
        }
        traffic.finish();
    });
}

#[test]
fn outputs_that_fill_the_hold_do_not_wait_for_the_interval() {
    in_guest_lab(|lab| {
        let at_leisure = |mut spec: Value| {
            spec["limits"]["hold_bytes"] = json!(65_536);
            spec["limits"]["max_epoch_age_ms"] = json!(10_000);
            spec["tuning"]["sync_mode"] = json!("interval");
            spec["tuning"]["interval_ms"] = json!(10_000);
            spec
        };
        let _second = Engine::start(&at_leisure(spec(lab, 2)));
        let first = Engine::start(&at_leisure(spec(lab, 1)));
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        // Together they send more than may wait before any of them needs an answer from outside.
        let floods: Vec<Flood> = (0..8).map(|_| Flood::start()).collect();
        // Many times what may wait, which is more time than there is if each filling waits for the clock.
        for flood in &floods {
            flood.flows(200_000);
        }
        configure(&first, &json!({"sync_mode": "event"}));
        for flood in floods {
            flood.settle();
        }
    });
}
