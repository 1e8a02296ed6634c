//! QEMU dies under its engine.

mod common;

use common::engine::{Engine, protected_pair, signal_process, spec, wait_gone};
use common::in_guest_lab;
use rustix::process::Signal;
use serde_json::Value;

/// Kills the engine's QEMU; the engine must end too, and say why.
fn kill_qemu(mut engine: Engine) {
    let pid = engine.qemu_pid();
    signal_process(pid, Signal::KILL);
    assert_eq!(engine.wait_end().code(), Some(4));
    let line = engine.last_line();
    let last: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(
        (&last["level"], &last["code"]),
        (&"ERROR".into(), &"guest-lost".into())
    );
    let message = last["message"].as_str().expect("a sentence");
    assert!(
        message.contains(&pid.to_string()) && message.contains("signal 9"),
        "{message}"
    );
    wait_gone(pid);
}

#[test]
fn an_engine_whose_qemu_dies_ends_and_the_other_one_goes_on() {
    in_guest_lab(|lab| {
        let (first, second, mut traffic) = protected_pair(lab);

        kill_qemu(second);
        first.wait_state("frozen");
        let second = Engine::start(&spec(lab, 2));
        first.wait_state("protected");
        traffic.flows(50);

        kill_qemu(first);
        second.promote("hot", 2).expect("promote");
        traffic.flows(50);

        // Told to end from outside is no power-off by the guest.
        let first = Engine::start(&spec(lab, 1));
        second.wait_state("protected");
        let mut second = second;
        signal_process(second.qemu_pid(), Signal::TERM);
        second.wait_end();
        assert_eq!(first.wait_state("in-sync")["generation"], 2);
        first.promote("hot", 3).expect("promote");
        traffic.flows(50);
        traffic.finish();
    });
}
