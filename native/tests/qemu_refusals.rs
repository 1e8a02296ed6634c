//! What an engine does not do, and what it does when it is alone.

mod common;

use common::client::Traffic;
use common::engine::{Engine, proxied_spec, spec};
use common::in_guest_lab;
use common::proxy::Proxy;
use serde_json::json;

#[test]
fn an_incomplete_replica_is_not_promoted_and_a_demotion_waits_for_it_or_parks_the_guest() {
    in_guest_lab(|lab| {
        let proxy = Proxy::before(2);
        let second = Engine::start(&spec(lab, 2));
        let first = Engine::start(&proxied_spec(lab, 1));
        let refusal = second.promote("hot", 1).expect_err("empty");
        assert_eq!(refusal.code, "replica-incomplete");
        let solo = json!({"command": "enter-solo", "generation": 9});
        assert_eq!(first.order(solo).expect_err("secondary").code, "wrong-role");
        proxy.cut();
        first.promote("cold", 4).expect("cold");
        let mut traffic = Traffic::start();
        traffic.flows(20);
        assert_eq!(first.status()["state"], "solo");

        // Alone: the only copy is parked and goes on from where it was.
        let demote = json!({"command": "demote", "timeout_ms": 60_000});
        let demoted = first.order(demote.clone()).expect("demote");
        assert_eq!(demoted["demoted"], "parked");
        let status = first.wait_state("parked");
        assert_eq!(
            (&status["role"], &status["guest"]),
            (&json!("secondary"), &json!("paused"))
        );
        let answers = traffic.answers();
        assert_eq!(
            first.order(demote.clone()).expect("again")["demoted"],
            "parked"
        );
        assert_eq!(
            first.promote("cold", 5).expect_err("cold").code,
            "wrong-role"
        );
        assert_eq!(
            first.promote("hot", 4).expect_err("stale").code,
            "stale-generation"
        );
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert!(traffic.answers() <= answers + 4, "a parked guest answers");
        first.promote("hot", 5).expect("hot");
        traffic.flows(20);

        // A baseline that takes its time.
        proxy.pace(4 << 20);
        proxy.open_door();
        first.wait_state("syncing");
        let status = second.wait_state("receiving");
        assert!(
            status["sync_progress"]["percent"].as_u64() < Some(100),
            "{status}"
        );
        let refusal = second.promote("hot", 6).expect_err("receiving");
        assert_eq!(refusal.code, "replica-incomplete");
        assert!(refusal.message.contains("receiving"), "{}", refusal.message);
        let refusal = second.promote("cold", 6).expect_err("the peer runs it");
        assert_eq!(refusal.code, "peer-is-primary");
        traffic.flows(5);

        // It breaks: nothing is left of it, and the primary is alone as before.
        proxy.cut();
        second.wait_state("empty");
        first.wait_state("solo");
        traffic.flows(20);
        proxy.pace(16 << 20);
        proxy.open_door();
        first.wait_state("syncing");
        let demotion = first.order_later(demote);
        proxy.heal_pace();
        let outcome = demotion.join().expect("thread").expect("demote");
        assert_eq!(outcome["demoted"], "handed-over");
        let status = second.wait_state("handed-over");
        assert_eq!(status["generation"], 5);
        second.promote("hot", 6).expect("hot");
        traffic.flows(20);
        traffic.finish();
        second.stop();
        first.stop();
    });
}
