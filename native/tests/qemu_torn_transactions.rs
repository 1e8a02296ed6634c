//! The replica changes by whole transactions only (I4) and lacks no page (I5), whatever happens on the wire.

mod common;

use common::client::{Traffic, tell};
use common::engine::{Engine, proxied_spec};
use common::proxy::{Fault, Proxy};
use common::ram::{Ram, switch_over_with_equal_ram};
use common::random::Random;
use common::{eventually, in_guest_lab};
use serde_json::json;

#[test]
fn a_spoiled_transaction_changes_nothing_and_no_page_is_lost() {
    in_guest_lab(|lab| {
        let mut random = Random::new();
        let (to_first, to_second) = (Proxy::before(1), Proxy::before(2));
        let second = Engine::start(&proxied_spec(lab, 2));
        let first = Engine::start(&proxied_spec(lab, 1));
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        let mut traffic = Traffic::start();
        tell("dirty 4000", true);
        let faults = [
            Fault::Flip(random.below(1 << 20)),
            Fault::Truncate(random.below(1 << 20)),
            Fault::Cut,
            Fault::Repeat,
            Fault::Lose,
            Fault::Old,
            Fault::Swap,
            Fault::Flip(random.below(64 * 8)),
            Fault::Truncate(1 + random.below(63)),
        ];
        second.take_events();
        let baselines = to_second.baselines();
        for fault in faults {
            traffic.flows(10);
            spoil(&first, &second, &to_second, &mut random, fault);
        }
        traffic.flows(20);
        assert_eq!(to_second.baselines(), baselines, "the same replica goes on");
        let anew = second.take_events();
        assert!(
            !anew.iter().any(|event| event["state"] == "receiving"),
            "{anew:?}"
        );

        let used = switch_over_with_equal_ram(&first, &second, &to_second, 2);
        assert!(used > 8192, "the guest has dirtied pages");
        traffic.flows(20);
        second.wait_state("protected");
        traffic.flows(20);

        // The host dies in the middle of a transaction: what was acked counts, and nothing else.
        to_first.lay(random.below(5), random.below(3), Fault::Cut);
        let torn = to_first.wait_trapped();
        first.wait_status("all before it is applied", |status| {
            status["epoch"] == torn - 1
        });
        to_first.spring();
        second.kill();
        assert_eq!(first.wait_state("in-sync")["epoch"], torn - 1);
        first.promote("hot", 3).expect("promote");
        traffic.flows(50);
        traffic.finish();
    });
}

#[test]
fn a_replica_whose_memory_is_not_what_the_primary_changes_is_discarded_and_built_anew() {
    in_guest_lab(|lab| {
        let proxy = Proxy::before(2);
        let unpacked = |node| {
            let mut spec = proxied_spec(lab, node);
            spec["tuning"]["compression"] = json!("off");
            spec
        };
        let (second, first) = (Engine::start(&unpacked(2)), Engine::start(&unpacked(1)));
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        let mut traffic = Traffic::start();
        // On a link that is slow enough changes are always worth what it costs to find them.
        proxy.pace(5_000_000);
        traffic.flows(20);
        first.wait_status("changes travel", |status| status["encoding"] == "delta");
        let before = Ram::of(&second);
        traffic.flows(20);
        let busy = before.differing_pages(&Ram::of(&second));
        assert!(!busy.is_empty(), "the guest writes");
        for page in busy {
            Ram::spoil(&second, page);
        }
        eventually("the secondary notices before it acknowledges", || {
            (second.said("of the replica is not what the peer changes") > 0).then_some(())
        });
        proxy.heal_pace();
        traffic.flows(50);
        first.wait_state("protected");
        first.kill();
        second.promote("hot", 2).expect("the new replica is whole");
        traffic.flows(50);
        traffic.finish();
    });
}

/// Spoils one transaction and looks at the secondary before and after.
fn spoil(first: &Engine, second: &Engine, proxy: &Proxy, random: &mut Random, fault: Fault) {
    // A commit that comes twice is whole at first: repeat one of the first two frames, which are never the commit.
    let frames = random.below(if fault == Fault::Repeat { 2 } else { 5 });
    println!("{fault:?} after {frames} frames");
    proxy.lay(random.below(4), frames, fault);
    let epoch = proxy.wait_trapped();
    second.wait_status("all before it is applied", |status| {
        status["epoch"] == epoch - 1
    });
    let before = Ram::of(second);
    proxy.spring();
    let status = second.wait_status("the link is lost", |status| {
        status["peer"]["connected"] == false
    });
    assert_eq!(status["state"], "in-sync");
    assert_eq!(status["epoch"], epoch - 1, "{fault:?}");
    before.must_equal(&Ram::of(second), "the replica after a spoiled transaction");
    let refusal = second.promote("cold", 9).expect_err("a replica is here");
    assert_eq!(refusal.code, "wrong-role");
    first.wait_state("frozen");
    proxy.heal();
    first.wait_state("protected");
}
