//! A save of which nothing comes leaves a real guest as it was.

mod common;

use std::fs;

use common::engine::spec;
use common::{eventually, in_guest_lab};
use kemari_engine::checkpoint::Staging;
use kemari_engine::guest::accel::Accel;
use kemari_engine::guest::dirty::choice::Kind;
use kemari_engine::guest::{AfterSave, Guest, Platform, RunState, Start, Vm};
use kemari_engine::limits::Sizes;
use kemari_engine::qmp::GuestEvent;
use kemari_engine::spec::Spec;

/// How often QEMU has said that the guest stands still, and that it runs.
fn told(guest: &mut Guest) -> [usize; 2] {
    let mut told = [0; 2];
    guest.pump_events().expect("it answers");
    while let Some(event) = guest.next_event() {
        told[0] += usize::from(matches!(event, GuestEvent::Stopped(_)));
        told[1] += usize::from(matches!(event, GuestEvent::Resumed(_)));
    }
    told
}

#[test]
fn a_save_that_is_given_up_lets_the_guest_run_on_and_the_next_one_is_whole() {
    in_guest_lab(|lab| {
        let file = lab.folder().join("spec.json");
        fs::write(&file, spec(lab, 1).to_string()).expect("write");
        let spec = Spec::read(&file).expect("valid");
        let platform = Platform::of(Accel::Tcg, Kind::PageTables);
        let mut guest = Guest::start(&spec, &platform, Start::Cold).expect("QEMU");
        let mut staging = Staging::new(Sizes::FULL).expect("staging");
        guest.track().expect("track");
        guest.resume().expect("boot");
        // Before RAM has been captured, and because the state is longer than what there is for it.
        for too_long in [false, true] {
            guest.stop_and_save(AfterSave::RunOn).expect("saved");
            if too_long {
                guest.release().expect("held until now");
                let read = guest.read_device_state(&mut [0; 5000]);
                read.expect_err("longer than any state of a PC");
            }
            guest.give_up_save().expect("it answers");
            assert_eq!(guest.run_state().expect("it answers"), RunState::Sound);
            let (mut stopped, mut resumed) = (0, 0);
            eventually("it runs again", || {
                let told = told(&mut guest);
                (stopped, resumed) = (stopped + told[0], resumed + told[1]);
                (stopped > 0 && resumed >= stopped).then_some(())
            });
        }
        // One that stands still goes on standing still.
        guest.stop_and_save(AfterSave::Stay).expect("saved");
        told(&mut guest);
        guest.give_up_save().expect("it answers");
        guest.press_power_button().expect("it answers");
        // Whatever QEMU has done by then it has told.
        assert_eq!(told(&mut guest)[1], 0);
        guest.resume().expect("it can");

        guest.stop_and_save(AfterSave::RunOn).expect("saved");
        guest.release().expect("held until now");
        let state = staging.read_device_state(&mut guest).expect("a state");
        guest.confirm_state().expect("whole");
        assert!(state.len() > 5000);
    });
}
