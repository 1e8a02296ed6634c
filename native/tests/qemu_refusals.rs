//! What an engine does not do, and what it does when it is alone.

mod common;

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::client::Traffic;
use common::engine::{Engine, proxied_spec, spec};
use common::proxy::Proxy;
use common::{eventually, in_guest_lab, ip};
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
        thread::sleep(Duration::from_millis(500));
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

#[test]
fn a_parked_guest_does_not_give_way_to_another_guest() {
    in_guest_lab(|lab| {
        let first = Engine::start(&spec(lab, 1));
        first.promote("cold", 4).expect("cold");
        let mut traffic = Traffic::start();
        traffic.flows(20);
        let demote = json!({"command": "demote", "timeout_ms": 60_000});
        assert_eq!(first.order(demote).expect("demote")["demoted"], "parked");
        first.wait_state("parked");

        // The same image has the same address: it lives in a network of its own.
        ip("link add br1 type bridge");
        ip("link set br1 up");
        let mut other_resource = spec(lab, 2);
        other_resource["machine"]["interfaces"][0]["bridge"] = json!("br1");
        let mut other_guest = other_resource.clone();
        other_resource["resource"] = json!("vm2");
        other_guest["machine"]["uuid"] = json!("11111111-2222-4333-8444-555555555555");
        let strangers = [
            (other_resource, "this is the engine of vm1, not of vm2"),
            (other_guest, "the VM's uuid is"),
        ];
        for (stranger, why) in strangers {
            let stranger = Engine::start(&stranger);
            stranger.promote("cold", 9).expect("cold");
            stranger.wait_status("it hears why", |status| {
                let error = status["last_error"].as_str();
                error.is_some_and(|error| error.contains(why))
            });
            assert!(first.said(&format!("n2 was refused: {why}")) > 0, "{why}");
            let status = first.status();
            assert_eq!(
                (&status["role"], &status["state"], &status["guest"]),
                (&json!("secondary"), &json!("parked"), &json!("paused"))
            );
            stranger.stop();
        }

        // Neither has it taken over their history.
        assert_eq!(first.wait_state("parked")["generation"], 4);
        first.promote("hot", 5).expect("hot");
        traffic.flows(20);
        traffic.finish();
        first.stop();
    });
}

/// Connections that say nothing; fewer than the engine listens to at the same time.
const SILENT: usize = 5;

/// Keeps silent connections to `address` open, a new one for each that is hung up on, until it is `over`.
fn keep_silent(address: &str, open: &AtomicUsize, over: &AtomicBool) {
    let mut connections = Vec::new();
    while !over.load(Ordering::Relaxed) {
        connections.retain_mut(is_open);
        while connections.len() < SILENT {
            let connection = TcpStream::connect(address).expect("the sync port");
            connection.set_nonblocking(true).expect("nonblocking");
            connections.push(connection);
        }
        open.store(connections.len(), Ordering::Relaxed);
        thread::sleep(Duration::from_millis(20));
    }
}

fn is_open(connection: &mut TcpStream) -> bool {
    let outcome = connection.read(&mut [0; 1]);
    matches!(outcome, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn silent_callers_do_not_keep_the_primary_waiting() {
    in_guest_lab(|lab| {
        let proxy = Proxy::before(2);
        let second = Engine::start(&spec(lab, 2));
        let first = Engine::start(&proxied_spec(lab, 1));
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        let mut traffic = Traffic::start();
        traffic.flows(20);

        let (open, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let silence = scope.spawn(|| keep_silent("10.77.2.2:7900", &open, &over));
            // Also if a wait below fails: the scope waits for the thread.
            let _end = OnDrop(|| over.store(true, Ordering::Relaxed));
            eventually("they are there", || {
                (open.load(Ordering::Relaxed) == SILENT).then_some(())
            });
            proxy.cut();
            first.wait_state("frozen");
            proxy.heal();
            first.wait_state("protected");
            traffic.flows(20);
            assert!(!silence.is_finished(), "nobody was silent meanwhile");
        });
        traffic.finish();
        first.stop();
        second.stop();
    });
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
