//! A guest with two network interfaces, each on a bridge of its own: both are held, and both go on after a failover.

mod common;

use std::thread;
use std::time::Duration;

use common::client::{Flood, Traffic, connect_at};
use common::engine::{Engine, behind_proxy, pc_spec, wait_gone};
use common::proxy::Proxy;
use common::sniffer::Sniffer;
use common::{GUEST_MACS, in_guest_lab, ip};
use serde_json::{Value, json};

/// The guest's address on the second bridge.
const SECOND: &str = "10.77.4.10";
/// How long silence is watched.
const WATCH: Duration = Duration::from_millis(1500);

fn second_bridge() {
    for step in [
        "link add br1 type bridge forward_delay 0 mcast_snooping 0",
        "link set br1 address 02:00:00:00:00:02",
        "link set br1 up",
        "addr add 10.77.4.254/24 dev br1",
    ] {
        ip(step);
    }
}

fn with_both(mut spec: Value, node: u8) -> Value {
    let machine = &mut spec["machine"];
    let cmdline = machine["cmdline"].as_str().expect("a command line");
    machine["cmdline"] = json!(format!("{cmdline} kemari.ip2={SECOND}/24"));
    let interfaces = machine["interfaces"].as_array_mut().expect("interfaces");
    interfaces.push(json!({
        "mac": "52:54:00:6b:00:02", "model": "e1000", "tap": format!("kt{node}-second"), "bridge": "br1",
    }));
    spec
}

/// Frames of each of the guest's interfaces that have been outside since the sniffer was last asked.
fn seen(sniffer: &Sniffer) -> [usize; 2] {
    let frames = sniffer.take_frames();
    GUEST_MACS.map(|mac| frames.iter().filter(|frame| frame[6..12] == mac).count())
}

#[test]
fn what_is_sent_on_either_interface_is_held_and_both_connections_survive_a_failover() {
    in_guest_lab(|lab| {
        second_bridge();
        let (proxy, sniffer) = (Proxy::before(2), Sniffer::new());
        let second = Engine::start(&with_both(pc_spec(lab, 2), 2));
        let mut first = behind_proxy(with_both(pc_spec(lab, 1), 1), 1);
        // The proxy reads what waits for which ack.
        first["tuning"]["compression"] = json!("off");
        let first = Engine::start(&first);
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        let mut traffic = Traffic::start();
        let flood = Flood::on(connect_at(SECOND, 7));
        traffic.flows(50);
        flood.flows(100_000);

        // Both want to send, and neither can, until an epoch has been caught in which both have sent something.
        let both_were_held = (0..10).any(|_| {
            proxy.withhold_acks(3);
            let status = first.wait_status("frozen", |status| status["state"] == "frozen");
            println!("{} packets are held", status["held_packets"]);
            let withheld = proxy.withheld_outputs();
            let outside = sniffer.take_frames();
            let is_early = |frame| withheld.contains(frame);
            assert!(!outside.iter().any(is_early), "early output");
            thread::sleep(WATCH);
            assert_eq!(seen(&sniffer), [0, 0], "early output");
            proxy.heal();
            traffic.flows(50);
            flood.flows(100_000);
            first.wait_state("protected");
            GUEST_MACS
                .iter()
                .all(|mac| withheld.iter().any(|frame| frame[6..12] == *mac))
        });
        assert!(both_were_held);

        // The host dies.
        let orphan = first.qemu_pid();
        first.kill();
        wait_gone(orphan);
        seen(&sniffer);
        second.promote("hot", 2).expect("hot");
        traffic.flows(50);
        flood.flows(100_000);
        let after = seen(&sniffer);
        assert!(after.iter().all(|frames| *frames > 0), "{after:?}");
        flood.settle();
        traffic.finish();
    });
}
