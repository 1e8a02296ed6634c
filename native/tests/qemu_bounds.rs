//! The bounds of an epoch hold on a link that carries less than the guest writes: the guest waits, no epoch grows.

mod common;

use common::client::{Traffic, tell};
use common::engine::{Engine, proxied_spec, spec};
use common::in_guest_lab;
use common::proxy::Proxy;
use serde_json::{Value, json};

/// Rate of a slow link, bytes per second: an epoch that is full takes four seconds.
const SLOW: u32 = 1 << 20;
const AGE_MS: u64 = 100;
const BOUND_PAGES: u64 = 1024;
/// On a machine that has much else to do the engine may come late to a bound. Without bounds an epoch is as long as the
/// transaction before it, and longer each time.
const LATE: u64 = 3;

fn bounded(mut spec: Value) -> Value {
    spec["limits"]["max_epoch_age_ms"] = json!(AGE_MS);
    spec["limits"]["max_epoch_bytes"] = json!(BOUND_PAGES * 4096);
    // Megabytes may be on their way when all has been sent.
    spec["limits"]["ack_timeout_ms"] = json!(60_000);
    // This guest's pages can be packed to nearly nothing.
    spec["tuning"]["compression"] = json!("off");
    spec
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

#[test]
fn no_epoch_outgrows_its_age_or_its_bytes_on_a_link_that_is_too_slow() {
    in_guest_lab(|lab| {
        let proxy = Proxy::before(2);
        let second = Engine::start(&bounded(spec(lab, 2)));
        let first = Engine::start(&bounded(proxied_spec(lab, 1)));
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        let mut traffic = Traffic::start();
        traffic.flows(20);

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
