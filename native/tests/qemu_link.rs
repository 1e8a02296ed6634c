//! Whoever else calls: strangers are refused, said once, and disturb nothing. A silent peer is given up, a busy one not.

mod common;

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use common::client::Traffic;
use common::engine::{Engine, plain, proxied_spec, spec};
use common::pair::{Pair, refusals};
use common::proxy::Proxy;
use common::recorder::Recorder;
use common::stranger::{STRANGER, frame, hello, introduce, knock, shout};
use common::{eventually, in_guest_lab, key};
use kemari_engine::wire::limits::PROTOCOL_VERSION;
use kemari_engine::wire::{ControlKind, Half};
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn strangers_are_refused_and_said_once_and_the_pair_goes_on() {
    in_guest_lab(|lab| {
        let ours = spec(lab, 2);
        let mut pair = Pair::start(&spec(lab, 1), &ours);
        assert_eq!(pair.first.status()["transport"], "tls");
        assert!(pair.first.said("the link to the other host is encrypted") > 0);

        // In clear, of our version and of others.
        let heard = shout(&frame(ControlKind::Call, Half::random().payload()));
        assert!(contains(&heard, "plain TCP and the other to TLS"));
        for version in [1, 2, PROTOCOL_VERSION - 1, PROTOCOL_VERSION + 1, 999] {
            let mut old = frame(ControlKind::Hello, b"{}");
            old[4..6].copy_from_slice(&version.to_le_bytes());
            let heard = shout(&old);
            assert!(contains(
                &heard,
                &format!("version {version} of the protocol")
            ));
        }
        pair.goes_on();

        // No Kemari at all, and TLS that goes nowhere.
        assert_eq!(shout(b"GET / HTTP/1.1\r\n\r\n"), b"");
        shout(&[0x16, 3, 1, 0, 4, 1, 0, 0, 0]);
        pair.goes_on();

        // A key of its own, again and again.
        let foreign = lab.folder().join("foreign.key");
        key::write(&foreign);
        for _ in 0..5 {
            let error = introduce(&foreign, &hello(&ours)).expect_err("a foreign key");
            assert!(error.contains("copy the key file"), "{error}");
        }
        pair.goes_on();

        // Our key, and another resource, guest or machine.
        let key = key::of_this_lab();
        let mut other = hello(&ours);
        other.resource = "vm2".to_owned();
        for _ in 0..4 {
            introduce(&key, &other).expect("a refusal");
        }
        let refuse = introduce(&key, &other).expect("a refusal");
        assert_eq!(pair.second.said("n7 was refused"), 1, "said once");
        assert!(
            refuse
                .message
                .contains("this is the engine of vm1, not of vm2")
        );
        let mut other = hello(&ours);
        other.vm_uuid = Uuid::from_u128(3);
        let refuse = introduce(&key, &other).expect("a refusal");
        assert!(refuse.message.contains("the VM's uuid is"));
        let refuse = introduce(&key, &hello(&ours)).expect("a refusal");
        assert!(refuse.message.contains("would not run the same machine"));
        for kind in ["transport", "version", "tls", "key"] {
            eventually(&format!("{kind} is said"), || {
                (refusals(&pair.second, kind) > 0).then_some(())
            });
            assert_eq!(refusals(&pair.second, kind), 1, "{kind} is said once");
        }
        pair.goes_on();

        // Nobody can read the key where others may look.
        let text = fs::read_to_string(&key).expect("the key");
        let secret = text.lines().nth(1).expect("a line");
        for engine in [&pair.first, &pair.second] {
            assert_eq!(engine.said(secret), 0);
            let words = fs::read_to_string(format!("/proc/{}/cmdline", engine.pid()));
            assert!(!words.expect("a process").contains(secret));
        }
        pair.stop();
    });
}

fn contains(heard: &[u8], words: &str) -> bool {
    let text = String::from_utf8_lossy(heard);
    assert!(text.contains(words), "{words:?} is not in {text:?}");
    true
}

#[test]
fn a_session_that_was_recorded_is_refused_in_clear_and_within_tls() {
    in_guest_lab(|lab| {
        for choice in [|spec: Value| spec, plain] {
            let spy = Recorder::before_the_second();
            let (ours, theirs) = (choice(proxied_spec(lab, 1)), choice(spec(lab, 2)));
            let mut pair = Pair::start(&ours, &theirs);
            let recorded = spy.recorded();
            assert!(recorded.len() > 100_000, "{} bytes", recorded.len());
            for _ in 0..3 {
                shout(&recorded);
            }
            eventually("it is refused", || {
                let kinds = ["session", "tls", "failed"];
                kinds
                    .iter()
                    .any(|kind| refusals(&pair.second, kind) > 0)
                    .then_some(())
            });
            pair.goes_on();
            for kind in ["session", "tls", "failed"] {
                assert!(refusals(&pair.second, kind) <= 1, "{kind}: said once");
            }
            if ours["transport"]["kind"] == "plain" {
                assert_eq!(pair.first.status()["transport"], "plain");
                assert!(pair.first.said("whoever reaches its network can read") > 0);
                assert_eq!(refusals(&pair.second, "session"), 1, "said once");
            }
            pair.stop();
            for node in ["n1", "n2"] {
                let _ = fs::remove_file(lab.folder().join(node).join("log"));
            }
        }
    });
}

#[test]
fn a_key_is_replaced_under_a_running_guest() {
    in_guest_lab(|lab| {
        let (ours, theirs) = (spec(lab, 1), spec(lab, 2));
        let mut pair = Pair::start(&ours, &theirs);
        let fingerprint = |engine: &Engine| {
            engine.logged("the link to the other host is encrypted", "fingerprint")
        };
        let before = fingerprint(&pair.second);
        key::write(&key::of_this_lab());
        // What is connected stays so.
        pair.goes_on();
        // A secondary that begins anew has the new key only, and so has the primary when it dials.
        pair.second.stop();
        let second = Engine::start(&theirs);
        assert_ne!(fingerprint(&second), before);
        second.wait_state("in-sync");
        pair.first.wait_state("protected");
        pair.traffic.flows(20);
        pair.traffic.finish();
        pair.first.stop();
        second.stop();
    });
}

/// Threads of a process.
fn threads(engine: &Engine) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", engine.pid()));
    tasks.expect("a process").count()
}

/// Memory of a process that is its own, KiB.
fn own_memory_kib(engine: &Engine) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", engine.pid())).expect("a process");
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).expect("KiB")
}

/// Calls as fast as it can until it is `over`; keeps some that say nothing, and some that say one byte at a time.
fn flood(calls: &AtomicUsize, over: &AtomicBool) {
    let mut open = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let mut socket = knock(STRANGER);
        let number = calls.fetch_add(1, Ordering::Relaxed);
        let word: &[u8] = match number % 4 {
            0 => b"",
            1 => b"K",
            2 => &[0x16],
            _ => b"GET / HTTP/1.1\r\n\r\n",
        };
        let _ = socket.write_all(word);
        open.push(socket);
        if open.len() >= 64 {
            open.drain(..32);
        }
        for socket in &mut open {
            let _ = socket.write_all(&[0]);
        }
    }
}

#[test]
fn a_flood_of_connections_takes_neither_threads_nor_memory_nor_the_peers_place() {
    in_guest_lab(|lab| {
        let proxy = Proxy::before(2);
        let mut pair = Pair::start(&proxied_spec(lab, 1), &spec(lab, 2));
        let (threads_before, memory_before) = (threads(&pair.second), own_memory_kib(&pair.second));
        let (calls, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            // Also if a wait below fails: the scope waits for the threads.
            let _end = OnDrop(|| over.store(true, Ordering::Relaxed));
            for _ in 0..2 {
                scope.spawn(|| flood(&calls, &over));
            }
            let (mut most_threads, mut most_memory) = (0, 0);
            eventually("there is a flood", || {
                most_threads = most_threads.max(threads(&pair.second));
                most_memory = most_memory.max(own_memory_kib(&pair.second));
                (calls.load(Ordering::Relaxed) > 2000).then_some(())
            });
            pair.goes_on();
            assert!(
                most_threads <= threads_before + 16,
                "{most_threads} threads"
            );
            assert!(
                most_memory <= memory_before + (32 << 10),
                "{most_memory} KiB"
            );
            assert_eq!(refusals(&pair.second, "many"), 1, "said once");
            // The peer, which has to begin anew, is let in all the same.
            proxy.cut();
            pair.first.wait_state("frozen");
            proxy.heal();
            pair.first.wait_state("protected");
            pair.traffic.flows(20);
        });
        let said = pair.second.said("a caller was refused");
        assert!(said < 10, "{said} lines about {calls:?} calls");
        pair.stop();
    });
}

#[test]
fn a_silent_peer_is_given_up_by_both_and_comes_back() {
    in_guest_lab(|lab| {
        let proxy = Proxy::before(2);
        let mut patient = proxied_spec(lab, 1);
        patient["limits"]["ack_timeout_ms"] = json!(60_000);
        let mut pair = Pair::start(&patient, &spec(lab, 2));
        proxy.hush();
        for engine in [&pair.first, &pair.second] {
            eventually("it gives up", || {
                (engine.said("was lost: the peer has not said anything for 3") > 0).then_some(())
            });
        }
        let status = pair.first.wait_state("frozen");
        assert_eq!(status["peer"]["connected"], false);
        let status = pair.second.status();
        assert_eq!(
            (&status["peer"]["connected"], &status["state"]),
            (&json!(false), &json!("in-sync"))
        );
        proxy.heal();
        pair.first.wait_state("protected");
        pair.traffic.flows(20);
        pair.stop();
    });
}

#[test]
fn a_busy_peer_is_not_given_up_and_traffic_needs_no_heartbeats() {
    in_guest_lab(|lab| {
        let proxy = Proxy::before(2);
        // A baseline that takes longer than anybody may be silent: the secondary has nothing to say meanwhile.
        proxy.pace(6 << 20);
        let second = Engine::start(&spec(lab, 2));
        // The first checkpoint waits behind megabytes in the buffers of the two connections.
        let mut patient = proxied_spec(lab, 1);
        patient["limits"]["ack_timeout_ms"] = json!(10_000);
        let first = Engine::start(&patient);
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        assert_eq!(proxy.baselines(), 1);
        // More than would fit into the longest silence.
        assert!(proxy.heartbeats() > 12, "{} heartbeats", proxy.heartbeats());
        proxy.heal_pace();
        let mut traffic = Traffic::start();
        traffic.flows(100);
        let (before, acks) = (proxy.heartbeats(), proxy.acks());
        traffic.flows(500);
        let (after, acks) = (proxy.heartbeats(), proxy.acks() - acks);
        assert!(acks > 100, "{acks} acks");
        assert!(
            after - before < acks / 10,
            "{} for {acks} acks",
            after - before
        );
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
