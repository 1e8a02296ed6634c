//! The connection is reset under a whole transaction.

mod common;

use common::client::Traffic;
use common::engine::{Engine, proxied_spec, spec};
use common::in_guest_lab;
use common::proxy::{Fault, Proxy};
use rustix::process::Signal;
use serde_json::json;

#[test]
fn a_whole_transaction_counts_even_if_its_ack_cannot_be_sent() {
    in_guest_lab(|lab| {
        let proxy = Proxy::before(2);
        let second = Engine::start(&spec(lab, 2));
        let mut patient = proxied_spec(lab, 1);
        // It must not give up the connection before the transaction has arrived.
        patient["limits"]["ack_timeout_ms"] = json!(60_000);
        let first = Engine::start(&patient);
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        let mut traffic = Traffic::start();
        traffic.flows(50);

        // All of it waits in the secondary's receive queue, and the connection that it came by is no more.
        proxy.lay(2, usize::MAX, Fault::Reset);
        let whole = proxy.wait_trapped();
        second.wait_status("all before it is applied", |status| {
            status["epoch"] == whole - 1
        });
        second.suspend();
        proxy.spring();
        first.kill();
        second.signal(Signal::CONT);

        let status = second.wait_status("the link is lost", |status| {
            status["peer"]["connected"] == false
        });
        println!("{}", status["last_error"]);
        assert_eq!(
            (&status["state"], &status["epoch"]),
            (&json!("in-sync"), &json!(whole))
        );
        second.promote("hot", 2).expect("promote");
        traffic.flows(50);
        traffic.finish();
        second.stop();
    });
}
