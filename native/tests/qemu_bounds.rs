//! The bounds of an epoch hold on a link that carries less than the guest writes: the guest waits, no epoch grows.

mod common;

use std::net::UdpSocket;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::client::{Traffic, tell};
use common::engine::{Engine, proxied_spec, spec};
use common::proxy::Proxy;
use common::{GUEST, Lab, in_guest_lab};
use serde_json::{Value, json};

/// Rate of a slow link, bytes per second: an epoch that is full takes four seconds.
const SLOW: u32 = 1 << 20;
const AGE_MS: u64 = 100;
const BOUND_PAGES: u64 = 1024;
/// On a machine that has much else to do the engine may come late to a bound. Without bounds an epoch is as long as the
/// transaction before it, and longer each time.
const LATE: u64 = 3;

fn of_pages(pages: u64, mut spec: Value) -> Value {
    spec["limits"]["max_epoch_age_ms"] = json!(AGE_MS);
    spec["limits"]["max_epoch_bytes"] = json!(pages * 4096);
    // Megabytes may be on their way when all has been sent.
    spec["limits"]["ack_timeout_ms"] = json!(60_000);
    // This guest's pages can be packed to nearly nothing.
    spec["tuning"]["compression"] = json!("off");
    spec
}

/// Two engines whose link can be slowed, and traffic with the guest that the first runs.
fn protected(lab: &Lab, pages: u64) -> (Proxy, [Engine; 2], Traffic) {
    let proxy = Proxy::before(2);
    let second = Engine::start(&of_pages(pages, spec(lab, 2)));
    let first = Engine::start(&of_pages(pages, proxied_spec(lab, 1)));
    first.promote("cold", 1).expect("cold");
    first.wait_state("protected");
    let mut traffic = Traffic::start();
    traffic.flows(20);
    (proxy, [first, second], traffic)
}

/// Statistics of some epochs at whose end the guest had to wait, while it writes `pages_per_second` and the link is slow.
fn of_full_epochs(engine: &Engine, proxy: &Proxy, pages_per_second: u32) -> Value {
    // On a slow link it takes no connection in time.
    proxy.heal_pace();
    let order = format!("dirty {pages_per_second}");
    assert_eq!(tell(&order, true), format!("{order}\n"));
    proxy.pace(SLOW);
    let waits = |status: &Value| status["paused_for"] == "epoch" && status["guest"] == "paused";
    engine.wait_status("at a bound", waits);
    engine
        .order(json!({"command": "restart-statistics"}))
        .expect("restart");
    let before = engine.status()["checkpoints"].as_u64().expect("a count");
    for more in [2, 4, 6] {
        engine.wait_status("some epochs later, and waiting again", |status| {
            waits(status) && status["checkpoints"].as_u64() >= Some(before + more)
        });
    }
    engine.status()
}

/// Bytes per second into the guest, several times what the link carries.
const FLOOD: u64 = 8 << 20;

/// Sends the guest datagrams that nobody there wants, until `over`.
fn flood(over: &AtomicBool) {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("socket");
    let packet = [7; 1400];
    let (began, mut sent) = (Instant::now(), 0);
    while !over.load(Ordering::Relaxed) {
        let due = u128::from(FLOOD) * began.elapsed().as_millis() / 1000;
        while sent < due {
            // Some of them the guest refuses, and its host is told.
            let _ = socket.send_to(&packet, (GUEST, 9999));
            sent += packet.len() as u128;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_flood_into_the_guest_does_not_take_the_link_from_its_checkpoints() {
    in_guest_lab(|lab| {
        let (proxy, [first, second], mut traffic) = protected(lab, BOUND_PAGES);
        proxy.pace(2 * SLOW);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| flood(&over));
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                traffic.flows(10);
                let (before, kib) = (first.status(), first.private_kib());
                traffic.flows(30);
                let made = |status: &Value| status["checkpoints"].as_u64().expect("a count");
                let goal = made(&before) + 40;
                first.wait_status("checkpoints go on", |status| made(status) >= goal);
                let grown = first.private_kib().saturating_sub(kib);
                assert!(grown < 8 << 10, "{grown} KiB more");
            }));
            over.store(true, Ordering::Relaxed);
            outcome.unwrap_or_else(|panic| resume_unwind(panic));
        });
        assert_eq!(first.status()["state"], "protected");
        traffic.finish();
        first.stop();
        second.stop();
    });
}

#[test]
fn no_epoch_outgrows_its_age_or_its_bytes_on_a_link_that_is_too_slow() {
    in_guest_lab(|lab| {
        let (proxy, [first, second], mut traffic) = protected(lab, BOUND_PAGES);

        // Too few pages for the one bound: the age ends its epochs.
        let status = of_full_epochs(&first, &proxy, 200);
        let ran = &status["epoch_us"];
        assert!(ran["max"].as_u64() >= Some(AGE_MS * 990), "{status}");
        assert!(
            ran["p50"].as_u64() <= Some(AGE_MS * 1000 * LATE),
            "{status}"
        );

        // It makes up for the time in which it stood still: thousands of pages within some milliseconds.
        let status = of_full_epochs(&first, &proxy, 20_000);
        let pages = &status["dirty_pages"];
        assert!(pages["max"].as_u64() >= Some(BOUND_PAGES / 2), "{status}");
        assert!(
            pages["p50"].as_u64() <= Some(BOUND_PAGES * LATE),
            "{status}"
        );
        assert!(status["paused_percent"].as_u64() > Some(50), "{status}");

        // Cut off it does not wait for an ack that cannot come; its outputs do.
        proxy.cut();
        first.wait_status("frozen and running", |status| {
            status["state"] == "frozen" && status["guest"] == "running"
        });
        proxy.heal();
        first.wait_state("protected");
        tell("dirty 0", true);
        traffic.flows(50);
        first.wait_status("nothing to wait for", |status| {
            status["guest"] == "running" && status["paused_for"].is_null()
        });
        traffic.finish();
        assert_eq!(second.status()["state"], "in-sync");
        first.stop();
        second.stop();
    });
}

/// So many times as many pages as in an epoch may be written without a link.
const FROZEN_EPOCHS: u64 = 16;

#[test]
fn a_guest_without_a_link_stands_still_before_it_owes_too_much() {
    const PAGES: u64 = 256;
    in_guest_lab(|lab| {
        let (proxy, [first, second], mut traffic) = protected(lab, PAGES);
        // What it writes all over its area in two seconds is far more than may be owed.
        assert_eq!(tell("dirty 5000", true), "dirty 5000\n");
        traffic.flows(5);
        first
            .order(json!({"command": "restart-statistics"}))
            .expect("restart");
        proxy.cut();
        first.wait_state("frozen");
        // It may have stood still for the last checkpoint's ack; what it is allowed to write beyond that takes it a second.
        thread::sleep(Duration::from_secs(3));
        let stands = first.wait_status("frozen and standing still", |status| {
            status["state"] == "frozen" && status["paused_for"] == "epoch"
        });
        assert_eq!(stands["guest"], "paused", "{stands}");
        proxy.heal();
        first.wait_status("protected and running", |status| {
            status["state"] == "protected" && status["guest"] == "running"
        });
        traffic.flows(20);
        let status = first.status();
        let most = status["dirty_pages"]["max"].as_u64().expect("pages");
        let bound = FROZEN_EPOCHS * PAGES;
        assert!(most >= bound / 2 && most <= bound + bound / 2, "{status}");
        assert_eq!(tell("dirty 0", true), "dirty 0\n");
        traffic.finish();
        assert_eq!(second.status()["state"], "in-sync");
        first.stop();
        second.stop();
    });
}

#[test]
fn a_guest_that_is_frozen_for_too_long_stands_still_until_the_link_is_back() {
    in_guest_lab(|lab| {
        let (proxy, [first, second], mut traffic) = protected(lab, BOUND_PAGES);
        let of_freeze =
            |ms: u64| json!({"command": "configure", "tuning": {"freeze_timeout_ms": ms}});
        first.order(of_freeze(200)).expect("configured");
        proxy.cut();
        first.wait_state("frozen");
        // It may have stood still for the last checkpoint's ack; what it is allowed to write beyond that takes it a second.
        thread::sleep(Duration::from_secs(3));
        let stands = first.wait_status("frozen and standing still", |status| {
            status["state"] == "frozen" && status["paused_for"] == "freeze"
        });
        assert_eq!(stands["guest"], "paused", "{stands}");
        // Whoever changes his mind lets it run on, and stand still again.
        first.order(of_freeze(0)).expect("configured");
        first.wait_status("frozen and running", |status| {
            status["state"] == "frozen" && status["guest"] == "running"
        });
        first.order(of_freeze(200)).expect("configured");
        first.wait_status("standing still again", |status| {
            status["paused_for"] == "freeze"
        });
        proxy.heal();
        first.wait_status("protected and running", |status| {
            status["state"] == "protected" && status["guest"] == "running"
        });
        assert!(first.status()["paused_for"].is_null());
        traffic.flows(20);
        traffic.finish();
        assert_eq!(second.status()["state"], "in-sync");

        // Ended by order it is gone on both, as if it had powered itself off.
        first
            .order(json!({"command": "check-guest"}))
            .expect("well");
        second
            .order(json!({"command": "check-guest"}))
            .expect("well");
        first.order(json!({"command": "end-guest"})).expect("ended");
        first.wait_state("ended");
        second.wait_state("empty");
        first
            .order(json!({"command": "end-guest"}))
            .expect_err("ended already");
        first.stop();
        second.stop();
    });
}
