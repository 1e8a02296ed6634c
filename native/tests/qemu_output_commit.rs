//! Nothing of an epoch is seen outside before the secondary has it (I1), and nothing that was held is lost.

mod common;

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use common::client::{Flood, Traffic, tell};
use common::engine::{Engine, behind_proxy, pc_spec, proxied_spec, spec};
use common::proxy::Proxy;
use common::random::Random;
use common::sniffer::Sniffer;
use common::{eventually, in_guest_lab};
use kemari_engine::limits::PACKET_MAX_BYTES;
use rustix::process::Signal;
use serde_json::{Value, json};

/// How long silence is watched.
const WATCH: Duration = Duration::from_millis(1500);

fn frozen(status: &Value) -> bool {
    status["state"] == "frozen"
}

/// Whether this engine's replica was begun anew since its events were last taken.
fn began_anew(engine: &Engine) -> bool {
    engine
        .take_events()
        .iter()
        .any(|event| event["state"] == "receiving")
}

#[test]
fn outputs_wait_for_the_ack_of_their_epoch_whatever_keeps_it_away() {
    in_guest_lab(|lab| {
        let (proxy, sniffer) = (Proxy::before(2), Sniffer::new());
        let (first, second) = (proxied_spec(lab, 1), spec(lab, 2));
        let (first, second, mut traffic) =
            acks_are_withheld_often(&proxy, &sniffer, first, &second);
        the_secondary_stands_still(&first, &second, &proxy, &sniffer, &mut traffic);
        let second = the_secondary_dies(&first, second, &proxy, &sniffer, &mut traffic, || {
            Engine::start(&spec(lab, 2))
        });
        the_secondary_leaves(&first, second, &sniffer, &mut traffic);

        // Back to normal: a new secondary, a new baseline.
        let second = Engine::start(&spec(lab, 2));
        first.wait_state("protected");
        assert_eq!(second.status()["generation"], 2);
        traffic.flows(50);
        traffic.finish();
    });
}

#[test]
fn outputs_of_an_e1000_wait_for_the_ack_of_their_epoch_too() {
    in_guest_lab(|lab| {
        let (proxy, sniffer) = (Proxy::before(2), Sniffer::new());
        let with_e1000 = |node| {
            let mut spec = pc_spec(lab, node);
            spec["machine"]["interfaces"][0]["model"] = json!("e1000");
            spec
        };
        let first = behind_proxy(with_e1000(1), 1);
        let (first, second, mut traffic) =
            acks_are_withheld_often(&proxy, &sniffer, first, &with_e1000(2));
        the_secondary_stands_still(&first, &second, &proxy, &sniffer, &mut traffic);
        traffic.finish();
    });
}

/// A protected pair, three of whose acks have been withheld: of nothing that waited for one has anything been seen outside.
fn acks_are_withheld_often(
    proxy: &Proxy,
    sniffer: &Sniffer,
    mut first: Value,
    second: &Value,
) -> (Engine, Engine, Traffic) {
    let second = Engine::start(second);
    // The proxy reads what waits for which ack.
    first["tuning"]["compression"] = json!("off");
    let first = Engine::start(&first);
    first.promote("cold", 1).expect("cold");
    first.wait_state("protected");
    let mut traffic = Traffic::start();
    traffic.flows(50);
    second.take_events();

    let (mut random, mut said) = (Random::new(), 0);
    for _ in 0..10 {
        let more = random.below(40) as u64;
        println!("acks are withheld after {more} more");
        said += u32::from(acks_are_withheld(
            &first,
            &second,
            proxy,
            sniffer,
            &mut traffic,
            more,
        ));
        if said == 3 {
            break;
        }
    }
    assert_eq!(said, 3, "epochs in which the guest has said something");
    (first, second, traffic)
}

/// Acks are withheld from some epoch on. False if the guest had said nothing in that epoch.
fn acks_are_withheld(
    first: &Engine,
    second: &Engine,
    proxy: &Proxy,
    sniffer: &Sniffer,
    traffic: &mut Traffic,
    more: u64,
) -> bool {
    let baselines = proxy.baselines();
    sniffer.take_frames();
    let last_ack = proxy.withhold_acks(more);
    // The secondary has more, and has said so; the primary cannot know.
    second.wait_status("the secondary has the next epoch", |status| {
        status["epoch"].as_u64() > Some(last_ack)
    });
    eventually("an ack is withheld", || {
        (proxy.withheld() > 0).then_some(())
    });
    let answers = traffic.answers();
    // It may have stood still for the length of its epoch when the link was given up.
    let status = first.wait_status("frozen, and the guest runs", |status| {
        frozen(status) && status["guest"] == "running"
    });
    assert_eq!(status["peer"]["connected"], false);
    let released = status["released_packets"].clone();
    let withheld = nothing_of_it_is_outside(proxy, sniffer);
    let status = first.status();
    assert_eq!(status["released_packets"], released);
    assert_eq!(status["epoch"], last_ack);
    assert!(status["held_packets"].as_u64() > Some(0), "{status}");
    assert!(traffic.answers() <= answers + 4, "the client was answered");
    assert_eq!(second.status()["state"], "in-sync");

    proxy.heal();
    traffic.flows(50);
    first.wait_state("protected");
    assert_eq!(proxy.baselines(), baselines, "the same replica goes on");
    assert!(!began_anew(second));
    // Nothing was lost, and what was looked for can be seen.
    let outside: HashSet<_> = sniffer.take_frames().into_iter().collect();
    assert!(withheld.is_subset(&outside));
    !withheld.is_empty()
}

/// Of all that the primary has sent and was not told to be there nothing has left since the sniffer was last asked, and
/// nothing leaves. Returns what that is.
fn nothing_of_it_is_outside(proxy: &Proxy, sniffer: &Sniffer) -> HashSet<Vec<u8>> {
    let early = |withheld: &HashSet<Vec<u8>>| {
        let outside = sniffer.take_frames();
        outside
            .iter()
            .filter(|frame| withheld.contains(*frame))
            .count()
    };
    let withheld = proxy.withheld_outputs();
    assert_eq!(early(&withheld), 0, "early output");
    thread::sleep(WATCH);
    assert_eq!(sniffer.guest_frames(), 0, "early output");
    withheld
}

fn the_secondary_stands_still(
    first: &Engine,
    second: &Engine,
    proxy: &Proxy,
    sniffer: &Sniffer,
    traffic: &mut Traffic,
) {
    sniffer.take_frames();
    second.signal(Signal::STOP);
    let status = first.wait_status("frozen", frozen);
    let released = status["released_packets"].clone();
    nothing_of_it_is_outside(proxy, sniffer);
    assert_eq!(first.status()["released_packets"], released);
    second.signal(Signal::CONT);
    traffic.flows(50);
    first.wait_state("protected");
    assert!(!began_anew(second), "the same replica goes on");
}

fn the_secondary_dies(
    first: &Engine,
    second: Engine,
    proxy: &Proxy,
    sniffer: &Sniffer,
    traffic: &mut Traffic,
    restart: impl Fn() -> Engine,
) -> Engine {
    // In the middle of a transaction: some megabytes each, and the proxy makes them take their time.
    assert_eq!(tell("dirty 20000", true), "dirty 20000\n");
    traffic.flows(10);
    proxy.pace(8 << 20);
    thread::sleep(Duration::from_millis(300));
    let baselines = proxy.baselines();
    sniffer.take_frames();
    second.kill();
    first.wait_status("frozen", frozen);
    nothing_of_it_is_outside(proxy, sniffer);

    proxy.heal();
    let second = restart();
    first.wait_state("protected");
    assert!(proxy.baselines() > baselines, "an empty replica is filled");
    traffic.flows(20);
    tell("dirty 0", true);
    traffic.flows(20);
    second
}

fn the_secondary_leaves(first: &Engine, second: Engine, sniffer: &Sniffer, traffic: &mut Traffic) {
    let solo =
        |generation: u64| first.order(json!({"command": "enter-solo", "generation": generation}));
    // The replica may be resumed at any moment: no.
    assert_eq!(solo(2).expect_err("protected").code, "peer-not-outdated");

    first.take_events();
    second.stop();
    assert_eq!(first.wait_event("peer-outdated")["generation"], 1);
    first.wait_status("frozen", frozen);
    sniffer.guest_frames();
    thread::sleep(WATCH);
    assert_eq!(sniffer.guest_frames(), 0, "its word alone releases nothing");

    assert_eq!(solo(1).expect_err("no new one").code, "stale-generation");
    assert_eq!(sniffer.guest_frames(), 0);
    solo(2).expect("the peer has said so");
    traffic.flows(50);
    let status = first.status();
    assert_eq!(
        (&status["state"], &status["generation"]),
        (&json!("solo"), &json!(2))
    );
    assert_eq!(solo(3).expect_err("solo already").code, "peer-not-outdated");
}

#[test]
fn a_guest_that_sends_a_lot_is_paused_before_the_hold_overflows() {
    in_guest_lab(|lab| {
        let proxy = Proxy::before(2);
        let with_small_hold = |mut spec: Value| {
            spec["limits"]["hold_bytes"] = json!(65_536);
            spec
        };
        let second = Engine::start(&with_small_hold(spec(lab, 2)));
        let first = Engine::start(&with_small_hold(proxied_spec(lab, 1)));
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        let mut traffic = Traffic::start();
        let floods: Vec<Flood> = (0..2).map(|_| Flood::start()).collect();
        for flood in &floods {
            flood.flows(100_000);
        }
        first.wait_state("protected");
        let before_kib = first.private_kib();

        proxy.cut();
        let status = first.wait_status("paused", |status| {
            frozen(status) && status["guest"] == "paused"
        });
        assert!(status["held_bytes"].as_u64() >= Some(32_000), "{status}");
        thread::sleep(WATCH);
        let status = first.status();
        assert_eq!(status["guest"], "paused");
        // The packet that fills the hold is the last that is taken. What QEMU had queued when it was stopped waits there.
        let held_max_bytes = 65_536 + PACKET_MAX_BYTES as u64;
        assert!(
            status["held_bytes"].as_u64() <= Some(held_max_bytes),
            "{status}"
        );
        let grown_kib = first.private_kib().saturating_sub(before_kib);
        assert!(
            grown_kib < 32 << 10,
            "the engine has grown by {grown_kib} KiB"
        );

        proxy.heal();
        traffic.flows(50);
        for flood in floods {
            flood.settle();
        }
        traffic.finish();
        first.wait_status("protected and running", |status| {
            status["state"] == "protected" && status["guest"] == "running"
        });
        assert_eq!(second.status()["state"], "in-sync");
    });
}
