//! The guest's life over failovers and switchovers.

mod common;

use common::client::{Flood, Traffic, connect, tell};
use common::engine::{Engine, spec, wait_gone};
use common::in_guest_lab;
use serde_json::json;

#[test]
fn the_connection_survives_a_failover_and_a_switchover_and_the_guest_may_reboot_and_power_off() {
    in_guest_lab(|lab| {
        let (first, second) = (Engine::start(&spec(lab, 1)), Engine::start(&spec(lab, 2)));
        assert_eq!(first.promote("cold", 1).expect("cold")["promoted"], "cold");
        first.wait_state("protected");
        let mut traffic = Traffic::start();
        traffic.flows(100);

        // What its checkpoints cost, as a whole, by parts and since the last look.
        let parts = first.wait_status("pauses by parts", |status| {
            status["pause_parts_us"]["save"]["p50"].as_u64() > Some(0)
                && status["transaction_bytes"]["p50"].as_u64() > Some(0)
        });
        assert!(parts["checkpoint_pages"].as_u64() > Some(0), "{parts}");
        let most = parts["pause_us"]["max"].as_u64();
        assert!(
            parts["pause_parts_us"]["save"]["max"].as_u64() <= most,
            "{parts}"
        );
        let since = first.order(json!({"command": "restart-statistics"}));
        assert_eq!(since.expect("restarted"), json!({}));
        first.wait_status("pauses since then", |status| {
            status["pause_us"]["p50"].as_u64() > Some(0)
        });

        // The host dies. Its QEMU never outlives its engine.
        let orphan = first.qemu_pid();
        first.kill();
        wait_gone(orphan);
        assert_eq!(second.wait_state("in-sync")["generation"], 1);
        let stale = second.promote("hot", 1).expect_err("the same generation");
        assert_eq!(stale.code, "stale-generation");
        assert_eq!(second.promote("hot", 2).expect("hot")["promoted"], "hot");
        traffic.flows(100);
        assert_eq!(second.status()["generation"], 2);

        // It comes back as an empty secondary and is filled.
        let first = Engine::start(&spec(lab, 1));
        second.wait_state("protected");
        traffic.flows(50);

        // A planned switchover, back.
        let demoted = second.order(json!({"command": "demote", "timeout_ms": 60_000}));
        assert_eq!(demoted.expect("demote")["demoted"], "handed-over");
        first.wait_state("handed-over");
        first.promote("hot", 3).expect("promote");
        traffic.flows(50);
        let status = first.wait_state("protected");
        assert!(
            status["promotion_us"]["total"].as_u64() > Some(0),
            "{status}"
        );
        traffic.flows(50);
        traffic.finish();

        // The promoted guest reboots from its firmware, and stays protected.
        let boots = first.console().matches("READY").count();
        tell("reboot", false);
        common::eventually("the guest is up again", || {
            (first.console().matches("READY").count() > boots).then_some(())
        });
        let mut traffic = Traffic::start();
        traffic.flows(50);
        first.wait_status("protected, and the guest runs", |status| {
            status["state"] == "protected" && status["guest"] == "running"
        });
        traffic.finish();

        // It powers itself off, while it is busy: that is its end and not a crash.
        let busy: Vec<Flood> = (0..3).map(|_| Flood::start()).collect();
        std::io::Write::write_all(&mut connect(7000), b"poweroff\n").expect("send");
        let ended = first.wait_event("guest-ended");
        assert_eq!(ended["generation"], 3);
        let status = first.wait_state("ended");
        assert_eq!(status["guest"], "ended");
        second.wait_state("empty");
        let refusal = second.promote("hot", 4).expect_err("the guest has ended");
        assert_eq!(refusal.code, "replica-incomplete");
        drop(busy);

        let demoted = first.order(json!({"command": "demote", "timeout_ms": 5000}));
        assert_eq!(demoted.expect("demote")["demoted"], "discarded");
        first.wait_state("empty");
        first.stop();
        second.stop();
    });
}
