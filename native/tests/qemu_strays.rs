//! What the world sends while nobody can receive it.

mod common;

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use common::engine::{Engine, protected_pair, spec, wait_gone};
use common::{GUEST, eventually, frames_to, in_guest_lab};
use kemari_engine::sys::bridge;
use rustix::process::Signal;
use serde_json::json;

const SENT: u64 = 20;
const SILENT: &str = "the primary is silent: frames for the guest are kept";

#[test]
fn a_promoted_guest_gets_what_was_sent_while_nobody_ran_it() {
    in_guest_lab(|lab| {
        let (first, second, mut traffic) = protected_pair(lab);
        assert_eq!(second.said(SILENT), 0);

        // A primary that only pauses keeps its guest, and goes on.
        first.suspend();
        eventually("the bridge has forgotten where the guest is", || {
            (second.said(SILENT) == 1).then_some(())
        });
        let before = frames_to("kt2");
        eventually("frames for the guest come to the secondary", || {
            (frames_to("kt2") > before).then_some(())
        });
        first.signal(Signal::CONT);
        traffic.flows(50);
        first.wait_state("protected");

        // One that dies does not: the secondary keeps what comes.
        let orphan = first.qemu_pid();
        first.kill();
        wait_gone(orphan);
        eventually("the primary is silent", || {
            (second.said(SILENT) == 2).then_some(())
        });
        send_some("kt2");
        second.promote("hot", 2).expect("promote");
        traffic.flows(50);
        traffic.finish();
        // A few of the frames that were counted may have been the bridge's own.
        assert!(second.logged("promoted", "strays").as_u64() >= Some(SENT / 2));

        // Between a planned switchover's handover and its promotion the frames still come to the old primary.
        let first = Engine::start(&spec(lab, 1));
        second.wait_state("protected");
        let demoted = second.order(json!({"command": "demote", "timeout_ms": 60_000}));
        assert_eq!(demoted.expect("demote")["demoted"], "handed-over");
        first.wait_state("handed-over");
        send_some("kt2");
        // Nothing tells when they have been passed on.
        thread::sleep(Duration::from_millis(300));
        first.promote("hot", 3).expect("promote");
        assert!(first.logged("promoted", "inputs").as_u64() >= Some(SENT));
        second.stop();
    });
}

/// Sends datagrams to the guest, which come to this TAP device.
fn send_some(tap: &str) {
    let before = frames_to(tap);
    let client = UdpSocket::bind("10.77.3.254:0").expect("a socket");
    for _ in 0..SENT {
        client.send_to(b"anybody there?", (GUEST, 9)).expect("send");
    }
    eventually("they have come", || {
        (frames_to(tap) >= before + SENT).then_some(())
    });
}

#[test]
fn only_a_bridge_is_asked_to_forget() {
    common::in_lab(|_| {
        bridge::forget_addresses("br0").expect("a bridge");
        let missing = bridge::forget_addresses("br7").expect_err("no such interface");
        assert_eq!(
            missing.raw_os_error(),
            Some(rustix::io::Errno::NODEV.raw_os_error())
        );
        bridge::forget_addresses("lo").expect_err("not a bridge");
    });
}
