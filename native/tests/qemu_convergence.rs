//! A guest that writes faster than the link carries gets its replica: it is braked, for as long as that takes.

mod common;

use std::fs;
use std::thread;
use std::time::Duration;

use common::client::Traffic;
use common::engine::{Engine, proxied_spec, qemu_script, spec};
use common::proxy::Proxy;
use common::{Lab, eventually, in_guest_lab};
use serde_json::{Value, json};

/// Pages that the guest writes in a second, of 32 MiB.
const WRITES: u32 = 6000;
/// Rate of a slow link, bytes per second: a third less than the guest writes, and two seconds for all that it writes to.
const SLOW: u32 = 16 << 20;

/// The specification of node 2, whose trials wait until the file `gate` is there.
fn gated_spec(lab: &Lab, gate: &str) -> Value {
    let gate = lab.folder().join(gate);
    let script = format!(
        "case \"$*\" in *share=off*) while [ ! -e {} ]; do sleep 0.1; done ;; esac; exec $QEMU \"$@\"",
        gate.display()
    );
    let mut gated = spec(lab, 2);
    gated["machine"]["qemu"] = json!(qemu_script(lab, "gated-qemu", &script));
    gated
}

#[test]
fn a_guest_that_writes_faster_than_the_link_carries_is_braked_until_it_has_a_replica() {
    in_guest_lab(|lab| {
        let proxy = Proxy::before(2);
        let mut writer = proxied_spec(lab, 1);
        let cmdline = writer["machine"]["cmdline"].as_str().expect("words");
        writer["machine"]["cmdline"] = json!(format!("{cmdline} kemari.dirty={WRITES}"));
        // This guest's pages can be packed to nearly nothing.
        writer["tuning"]["compression"] = json!("off");
        // Megabytes may be on their way when all has been sent.
        writer["limits"]["ack_timeout_ms"] = json!(20_000);
        let first = Engine::start(&writer);
        first.promote("cold", 1).expect("cold");
        let mut traffic = Traffic::start();
        traffic.flows(20);

        // The link is slow once the baseline is there but for what the guest writes.
        let mut gated = gated_spec(lab, "gate");
        gated["machine"]["cmdline"] = writer["machine"]["cmdline"].clone();
        let second = Engine::start(&gated);
        eventually("the baseline is there but for the trial", || {
            (first.said("the secondary tries the guest's state") > 0).then_some(())
        });
        proxy.pace(SLOW);
        // By then the guest has written to all that it writes to, which is more than the sockets and the proxy hold.
        thread::sleep(Duration::from_secs(3));
        fs::write(lab.folder().join("gate"), "").expect("open the gate");
        let status = first.wait_status("braked", |status| {
            status["sync_progress"]["brake_percent"].as_u64() > Some(0)
        });
        let progress = &status["sync_progress"];
        assert!(progress["remaining_bytes"].as_u64() > Some(0), "{status}");
        assert!(progress["remaining_seconds"].as_u64() > Some(0), "{status}");
        assert_eq!(status["guest"], "running", "{status}");
        assert!(first.said("it is braked until it has a replica") > 0);
        // Its outputs are as free as before, only later.
        traffic.flows(5);
        assert_eq!(first.status()["held_packets"], 0);

        // The brake does not outlive the baseline.
        proxy.cut();
        first.wait_status("solo, and nothing of a baseline", |status| {
            status["state"] == "solo" && status["sync_progress"].is_null()
        });
        traffic.flows(200);

        // With the link as slow as before it comes to an end.
        proxy.open_door();
        first.wait_state("syncing");
        first.wait_state("protected");
        proxy.heal_pace();
        traffic.flows(50);
        second.wait_state("in-sync");
        traffic.finish();
        second.stop();
        first.stop();
    });
}
