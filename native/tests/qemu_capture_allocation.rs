//! Nothing is allocated while a real guest stands still: not while QEMU is told so and says what it has met with, not while
//! outputs are taken over, and not while written pages are searched for and copied, nor while those that are too many to be
//! staged are encoded. With each tracker, and without QEMU: `capture_allocation.rs`; the whole of a pause as the primary makes it,
//! without QEMU: `fuzz/src/primary`.

#[path = "common/allocations.rs"]
mod allocations;
mod common;

use std::fs;
use std::io;
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
use kemari_engine::wire::{Direction, Outgoing, Progress};

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
        // Of what the guest is told to write only a half can be staged.
        let sizes = Sizes {
            staging_pages: 256,
            baseline_chunk_pages: 64,
            ..Sizes::FULL
        };
        let mut staging = Staging::new(sizes).expect("staging");
        let mut link = (Direction::new(), Outgoing::new());
        let mut hold = Hold::new(spec.limits.hold_bytes);
        let mut packet = vec![0; PACKET_MAX_BYTES];
        let mut pages = PageSet::new(guest.pages());
        guest.track().expect("track");
        guest.resume().expect("boot");
        let console = &spec.machine.console_log;
        let (mut epoch, mut paused_by, mut outputs, mut small, mut large) = (0, 0, 0, 0, 0);
        eventually("it has run, and sent something", || {
            thread::sleep(Duration::from_millis(20));
            epoch += 1;
            pages.clear();
            let mut encoder = link.0.encoder(&mut link.1);
            encoder.reserve_pages(sizes.baseline_chunk_pages);
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
            let from = send_excess(&mut guest, &mut staging, &pages, sizes, &mut link);
            let most = sizes.staging_pages;
            staging.copy(|at, into| guest.capture(at, into), &pages, from, most);
            let kind = if from > 0 { &mut large } else { &mut small };
            *kind += usize::from(!pages.is_empty());
            guest.release().expect("runs on");
            let after = asked_for();
            assert_eq!(after, before, "epoch {epoch}, {} pages", pages.count());
            staging.read_device_state(&mut guest).expect("a state");
            guest.confirm_state().expect("all of it");
            hold.unseal();
            let text = fs::read(console).unwrap_or_default();
            let is_up = String::from_utf8_lossy(&text).contains("READY");
            (is_up && epoch > 100 && outputs > 0 && small > 0 && large > 0).then_some(())
        });
        println!("{small} epochs could be staged, {large} could not");
        assert!(paused_by > 100, "{paused_by} stops were told of");
    });
}

/// As `role/primary/commit/sending.rs` does it, to nobody; where the pages begin for which there is room.
fn send_excess(
    guest: &mut Guest,
    staging: &mut Staging,
    pages: &PageSet,
    sizes: Sizes,
    (direction, outgoing): &mut (Direction, Outgoing),
) -> usize {
    let mut excess = pages.count().saturating_sub(sizes.staging_pages);
    let mut from = 0;
    while excess > 0
        && let Some(next) = staging.copy(
            |at, into| guest.capture(at, into),
            pages,
            from,
            excess.min(sizes.baseline_chunk_pages),
        )
    {
        let (body, runs) = (staging.body(), staging.runs());
        let mut encoder = direction.encoder(outgoing);
        encoder.sync_pages(1, 1, body, runs);
        let written = outgoing.write_to(&mut io::sink(), body);
        assert_eq!(written.expect("it takes all"), Progress::Done);
        excess -= runs.iter().map(|run| run.pages as usize).sum::<usize>();
        from = next;
    }
    from
}
