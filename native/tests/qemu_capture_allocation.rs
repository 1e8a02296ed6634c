//! Nothing is allocated while a real guest stands still: not while QEMU is told so and says what it has met with, not while
//! outputs are taken over, and not while written pages are searched for and copied. With each tracker, and without QEMU:
//! `capture_allocation.rs`.

#[path = "common/allocations.rs"]
mod allocations;
mod common;

use std::fs;
use std::thread;
use std::time::Duration;

use allocations::asked_for;
use common::engine::spec;
use common::{eventually, in_guest_lab};
use kemari_engine::checkpoint::Staging;
use kemari_engine::guest::accel::Accel;
use kemari_engine::guest::dirty::choice::Kind;
use kemari_engine::guest::pages::PageSet;
use kemari_engine::guest::{AfterSave, Guest, Platform, Start, Vm};
use kemari_engine::hold::Hold;
use kemari_engine::limits::{PACKET_MAX_BYTES, Sizes};
use kemari_engine::qmp::GuestEvent;
use kemari_engine::spec::Spec;

/// As `role/primary/commit.rs` does it, with a real QEMU.
#[test]
fn a_pause_of_a_real_guest_allocates_nothing_from_the_order_to_the_release() {
    in_guest_lab(|lab| {
        let file = lab.folder().join("spec.json");
        let mut spec = spec(lab, 1);
        let cmdline = spec["machine"]["cmdline"].as_str().expect("text");
        spec["machine"]["cmdline"] = format!("{cmdline} kemari.dirty=500").into();
        fs::write(&file, spec.to_string()).expect("write");
        let spec = Spec::read(&file).expect("valid");
        let platform = Platform::of(Accel::Tcg, Kind::PageTables);
        let mut guest = Guest::start(&spec, &platform, Start::Cold).expect("QEMU");
        let mut staging = Staging::new(Sizes::FULL).expect("staging");
        let mut hold = Hold::new(spec.limits.hold_bytes);
        let mut packet = vec![0; PACKET_MAX_BYTES];
        let mut pages = PageSet::new(guest.pages());
        guest.track().expect("track");
        guest.resume().expect("boot");
        let console = &spec.machine.console_log;
        let (mut epoch, mut paused_by, mut outputs, mut captured) = (0, 0, 0, 0);
        eventually("it has run, and sent something", || {
            thread::sleep(Duration::from_millis(20));
            epoch += 1;
            pages.clear();
            let before = asked_for();
            guest.stop_and_save(AfterSave::RunOn).expect("saved");
            while let Some(event) = guest.next_event() {
                paused_by += usize::from(matches!(event, GuestEvent::Stopped(_)));
            }
            while let Some(length) = guest.receive(&mut packet).expect("a packet") {
                hold.push(&packet[..length]);
            }
            outputs += hold.packets();
            hold.seal(epoch);
            guest
                .collect_dirty(&mut pages, &mut || ())
                .expect("collect");
            let most = Sizes::FULL.staging_pages;
            let is_small = pages.count() <= most;
            if is_small {
                staging.copy(|at, into| guest.capture(at, into), &pages, 0, most);
                captured += pages.count();
            }
            guest.release().expect("runs on");
            let after = asked_for();
            assert_eq!(after, before, "epoch {epoch}, {} pages", pages.count());
            staging.read_device_state(&mut guest).expect("a state");
            guest.confirm_state().expect("all of it");
            hold.unseal();
            let text = fs::read(console).unwrap_or_default();
            let is_up = String::from_utf8_lossy(&text).contains("READY");
            (is_up && epoch > 100 && outputs > 0 && captured > 0).then_some(())
        });
        assert!(paused_by > 100, "{paused_by} stops were told of");
    });
}
