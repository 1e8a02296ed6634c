//! Where the seeds lead, and what a guest has of that.

use super::*;
use crate::frames::steps;
use kemari_engine::control::State;
use kemari_engine::control::messages::GuestState;

/// What was told of what leads somewhere: Sync-begin, Trial, Commit, Handover and End.
fn told(host: &Host) -> String {
    let letters = [
        (FrameKind::SyncBegin, 'S'),
        (FrameKind::Trial, 'T'),
        (FrameKind::Commit, 'C'),
        (FrameKind::Handover, 'H'),
        (FrameKind::End, 'E'),
    ];
    let letter = |told: &u8| {
        let mut known = letters.iter();
        known.find(|(kind, _)| *kind as u8 == *told)
    };
    host.all_told
        .iter()
        .filter_map(letter)
        .map(|(_, letter)| letter)
        .collect()
}

#[test]
fn the_seeds_lead_through_whole_conversations() {
    // With the packets that have left, and those that the guest has sent.
    let expected = [
        ("STCCCCCH", 12, 13),
        ("STCCCE", 4, 4),
        ("STCCCSTCC", 12, 13),
        ("STSTCC", 36, 37),
        ("STCCC", 7, 9),
        ("STCCCC", 9, 12),
        ("STCCC", 10, 12),
        ("SSSTSTSTCCC", 134, 136),
    ];
    for (seed, expected) in seeds().iter().zip(expected) {
        let host = play(seed);
        let sent = host.life.borrow().sent;
        assert_eq!((told(&host).as_str(), host.gate.out.get(), sent), expected);
    }
}

#[test]
fn nothing_is_allocated_while_the_guest_stands_still() {
    let mut beyond_staging = Vec::new();
    for seed in seeds() {
        let host = play(&seed);
        let life = host.life.borrow();
        let pauses = &life.pauses.all;
        println!("{pauses:?}");
        assert!(
            !pauses.is_empty() && pauses.iter().all(|(_, asked)| *asked == 0),
            "{pauses:?}"
        );
        let staged = host.engine.sizes.staging_pages;
        let pages = pauses.iter().map(|(pages, _)| *pages);
        beyond_staging.extend(pages.filter(|pages| *pages > staged));
    }
    // Of a trial, of an epoch, and of one with all pages that there are.
    assert_eq!(beyond_staging, [7, 5, 32]);
}

#[test]
fn an_ack_of_what_has_not_left_ends_the_connection_and_lets_nothing_out() {
    let hasty = &seeds()[6];
    let steps = steps(hasty);
    let early = |step: &&[u8]| step[..2] == [FrameKind::Ack as u8, NEXT_EPOCH];
    let at = steps.iter().position(early).expect("it is there");
    let [before, after] = [at, at + 1].map(|steps_played| play(&steps[..steps_played].concat()));
    // A part of the transaction has been told, and its end has not.
    let stopped = [&before, &after].map(|host| host.life.borrow().pauses.all.len());
    assert_eq!(stopped, [4; 2]);
    assert_eq!([&before, &after].map(told), ["STCC"; 2]);
    let is_connected = |host: &Host| host.engine.board.snapshot().peer.connected;
    assert_eq!([&before, &after].map(is_connected), [true, false]);
    let why = after.engine.board.snapshot().last_error.expect("a reason");
    assert!(why.contains("has not left yet"), "{why}");
    assert_eq!(after.gate.out.get(), before.gate.out.get());
    assert!(after.gate.out.get() < after.life.borrow().sent);
}

#[test]
fn a_trial_whose_state_cannot_be_saved_ends_neither_the_guest_nor_its_outputs() {
    let seed = &seeds()[7];
    let steps = steps(seed);
    let failures = [
        "QEMU refused xen-save-devices-state: State blocked by a device",
        "reading the guest's device state failed",
    ];
    let mut from = 0;
    for words in failures {
        let is_asked = |step: &&[u8]| step[0] == FrameKind::Welcome as u8;
        from += 1 + steps[from..].iter().position(is_asked).expect("a greeting");
        let host = play(&steps[..from].concat());
        let status = host.engine.board.snapshot();
        let why = status.last_error.expect("a reason");
        assert!(
            why.contains("no replica can be built") && why.contains(words),
            "{why}"
        );
        assert!(!host.ended && !status.peer.connected);
        assert_eq!(
            (status.state, status.guest),
            (State::Solo, GuestState::Running)
        );
        // Also those that come after it.
        let host = play(&steps[..from + 1].concat());
        let sent = host.life.borrow().sent;
        assert_eq!(host.gate.out.get(), sent);
    }
}

#[test]
fn the_pause_of_a_trial_is_one_of_the_guests_pauses() {
    let mut host = Host::new();
    let welcome = steps(&seeds()[0])[0].to_vec();
    host.hear((welcome[0], welcome[1]), &welcome[4..]);
    assert_eq!(told(&host), "ST");
    assert_eq!(host.engine.statistics.checkpoints(), 0);
    assert!(host.engine.statistics.pause_us().is_some());
}
