//! What can be tried of KVM with the real QEMU on a machine whose KVM runs firmware and no more: written pages, and the guest's
//! time. Where it does not run even that, the output says that nothing was tried.

mod common;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use common::engine::bare_spec;
use common::random::Random;
use common::{Lab, in_lab, not_tried};
use kemari_engine::guest::accel::Accel;
use kemari_engine::guest::dirty::choice::Kind;
use kemari_engine::guest::pages::PageSet;
use kemari_engine::guest::{AfterSave, Guest, Platform, Start};
use kemari_engine::limits::{DEVICE_STATE_MAX_BYTES, PAGE_BYTES};
use kemari_engine::report::chain;
use kemari_engine::spec::Spec;
use serde_json::json;

/// How long the guest stands still each time.
const STOOD: Duration = Duration::from_millis(400);
/// Two clocks of one host that run at different rates for a second.
const APART: Duration = Duration::from_millis(20);

/// A guest that has nothing but firmware; `None` if there can be none here, which the output says.
fn under_kvm(lab: &Lab, kind: Kind, test: &str) -> Option<Guest> {
    let mut spec = bare_spec(lab, 1);
    spec["machine"]["memory_mib"] = json!(64);
    let file = lab.folder().join("kvm.json");
    fs::write(&file, spec.to_string()).expect("write");
    let spec = Spec::read(&file).expect("valid");
    let platform = Platform::of(Accel::Kvm, kind);
    match Guest::start(&spec, &platform, Start::Cold) {
        Ok(guest) => Some(guest),
        Err(error) => {
            not_tried(test, &format!("KVM runs no guest here: {}", chain(&error)));
            None
        }
    }
}

#[test]
fn no_page_that_the_firmware_writes_is_missed() {
    in_lab(|lab| {
        for kind in [Kind::PageTables, Kind::Compare] {
            let test = "written pages under KVM";
            let Some(mut guest) = under_kvm(lab, kind, test) else {
                return;
            };
            let seen = follow(&mut guest);
            println!("{kind:?}: {seen} pages seen to be written");
            assert!(seen > 0, "the firmware writes");
        }
    });
}

/// Runs a guest in pieces and keeps a copy of its RAM up to date by what the tracker says; returns how many pages that were.
fn follow(guest: &mut Guest) -> usize {
    let mut random = Random::new();
    let mut replica = vec![0; guest.pages() * PAGE_BYTES];
    let mut dirty = PageSet::new(guest.pages());
    guest.track().expect("track");
    dirty.fill();
    let mut seen = 0;
    for piece in 0..60 {
        for run in dirty.runs() {
            let bytes = run.start * PAGE_BYTES..run.end * PAGE_BYTES;
            guest.capture(bytes.start, &mut replica[bytes]);
        }
        let pages = replica.chunks(PAGE_BYTES).enumerate();
        let missed: Vec<usize> = pages
            .filter(|(page, content)| guest.ram.differs(page * PAGE_BYTES, content))
            .map(|(page, _)| page)
            .collect();
        assert_eq!(missed, Vec::<usize>::new(), "after piece {piece}");
        guest.resume().expect("resume");
        thread::sleep(Duration::from_millis(random.below(60) as u64));
        guest.pause().expect("pause");
        dirty.clear();
        guest
            .collect_dirty(&mut dirty, &mut || ())
            .expect("collect");
        seen += dirty.count();
    }
    seen
}

/// QEMU sets kvmclock to what it read at the stop. A guest's time that went on is one that was set forward on the way.
#[test]
fn kvmclock_goes_on_while_the_guest_stands_still() {
    in_lab(|lab| {
        let test = "KVM_SET_CLOCK of the real QEMU";
        let Some(mut guest) = under_kvm(lab, Kind::PageTables, test) else {
            return;
        };
        let mut earlier: Option<(Instant, Instant, Duration)> = None;
        for round in 0..4 {
            guest.resume().expect("resume");
            let before = Instant::now();
            guest.pause().expect("pause");
            let after = Instant::now();
            let Some(clock) = kvmclock(&mut guest) else {
                return not_tried(test, "this QEMU's machine has no kvmclock");
            };
            if let Some((earlier_before, earlier_after, earlier_clock)) = earlier {
                let passed = clock.checked_sub(earlier_clock).expect("never back");
                println!("round {round}: {passed:?}");
                assert!(passed + APART >= before - earlier_after, "{passed:?}");
                assert!(passed <= after - earlier_before + APART, "{passed:?}");
                assert!(passed >= STOOD);
            }
            earlier = Some((before, after, clock));
            thread::sleep(STOOD);
        }
    });
}

/// The clock that QEMU has read and will set again, out of the state that it saves: the first field of the section
/// (`kvmclock_vmsd`, hw/i386/kvm/clock.c).
fn kvmclock(guest: &mut Guest) -> Option<Duration> {
    /// Its length and its name, then its instance and its version.
    const HEAD: &[u8] = b"\x08kvmclock";
    const BETWEEN: usize = 8;
    let mut state = vec![0; DEVICE_STATE_MAX_BYTES];
    guest.stop_and_save(AfterSave::Stay).expect("save");
    guest.release().expect("release");
    let length = guest.read_device_state(&mut state).expect("a state");
    let at = state[..length]
        .windows(HEAD.len())
        .position(|window| window == HEAD)?;
    let field = &state[at + HEAD.len() + BETWEEN..];
    let nanoseconds = u64::from_be_bytes(*field.first_chunk().expect("a field"));
    Some(Duration::from_nanos(nanoseconds))
}
