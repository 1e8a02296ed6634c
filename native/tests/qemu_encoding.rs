//! How epochs travel: as what has changed, and packed if that is faster or wished for. The replica is the guest all the same.

mod common;

use common::client::{Traffic, tell};
use common::engine::{Engine, proxied_spec};
use common::proxy::Proxy;
use common::ram::switch_over_with_equal_ram;
use common::{Lab, eventually, in_guest_lab};
use serde_json::{Value, json};

/// Less than half of what a link of 100 Mbit/s carries.
const SLOW_BYTES_PER_SECOND: u32 = 5_000_000;

/// A protected guest whose transactions pass the proxy.
fn protected(lab: &Lab, compression: &str, pace: Option<u32>) -> (Engine, Engine, Proxy, Traffic) {
    let proxy = Proxy::before(2);
    if let Some(pace) = pace {
        proxy.pace(pace);
    }
    let spec = |node| {
        let mut spec = proxied_spec(lab, node);
        spec["tuning"]["compression"] = json!(compression);
        spec
    };
    let (second, first) = (Engine::start(&spec(2)), Engine::start(&spec(1)));
    first.promote("cold", 1).expect("cold");
    first.wait_state("protected");
    (first, second, proxy, Traffic::start())
}

fn encoding(engine: &Engine) -> Value {
    engine.status()["encoding"].take()
}

#[test]
fn of_the_device_state_only_changes_travel_until_the_connection_is_another_one() {
    in_guest_lab(|lab| {
        let (first, second, proxy, mut traffic) = protected(lab, "off", None);
        traffic.flows(30);
        for _ in 0..2 {
            let carried = proxy.take_carried();
            println!("{carried:?}");
            assert!(
                carried.whole_device_states >= 1,
                "the first of a connection"
            );
            traffic.flows(100);
            let carried = proxy.take_carried();
            println!("{carried:?}");
            assert!(carried.changed_device_states >= 10);
            assert_eq!(carried.packed, 0);
            let whole = carried.whole_device_states;
            assert!(
                whole * 4 < carried.changed_device_states,
                "{whole} whole ones"
            );
            // QEMU saves about 50 kB.
            assert!(carried.changed_device_bytes < carried.changed_device_states * 10_000);
            proxy.cut();
            first.wait_state("frozen");
            proxy.take_carried();
            proxy.heal();
            first.wait_state("protected");
        }
        switch_over_with_equal_ram(&first, &second, &proxy, 2);
        traffic.flows(30);
        traffic.finish();
    });
}

#[test]
fn a_wish_for_a_codec_is_followed_while_the_guest_runs_and_the_replica_stays_whole() {
    in_guest_lab(|lab| {
        let (first, second, proxy, mut traffic) = protected(lab, "off", None);
        assert_eq!(proxy.take_carried().packed, 0);
        tell("dirty 2000", true);
        for codec in ["lz4", "zstd"] {
            first
                .order(json!({"command": "configure", "tuning": {"compression": codec}}))
                .expect("configure");
            traffic.flows(50);
            assert_eq!(encoding(&first), codec);
            assert!(proxy.take_carried().packed > 5, "{codec}");
        }
        switch_over_with_equal_ram(&first, &second, &proxy, 2);
        assert_eq!(encoding(&first), Value::Null);
        traffic.flows(30);
        traffic.finish();
    });
}

#[test]
fn a_slow_link_gets_its_baseline_and_its_epochs_packed() {
    in_guest_lab(|lab| {
        let pace = Some(SLOW_BYTES_PER_SECOND);
        let (first, second, proxy, mut traffic) = protected(lab, "auto", pace);
        let baseline = proxy.take_carried();
        println!("{baseline:?}");
        assert!(baseline.packed > 0);
        tell("dirty 500", true);
        eventually("the epochs are packed", || {
            traffic.flows(5);
            ["lz4", "zstd"]
                .contains(&encoding(&first).as_str()?)
                .then_some(())
        });
        proxy.take_carried();
        traffic.flows(20);
        assert!(proxy.take_carried().packed > 0);
        proxy.heal_pace();
        switch_over_with_equal_ram(&first, &second, &proxy, 2);
        traffic.flows(30);
        traffic.finish();
    });
}
