//! The protocol as a model that is searched in every order of events: its transitions bear the names of the code's.
//!
//! A guest of two pages writes and sends; checkpoints travel frame by frame over connections that break anywhere; in the end the
//! secondary is promoted. Without any one guard the search finds the way into the harm.

mod model;

use model::{Guard, Protocol};
use stateright::{Checker, HasDiscoveries, Model};

const OUTPUT_COMMIT: &str = "I1: what was seen outside is in every replica that could be promoted";
const ALL_OR_NOTHING: &str = "I4: a complete replica is what the primary was at its epoch";
const AFTER_TAMPERING: &str = "a guest is promoted although somebody has tampered with the frames";
const NO_PAGE_LOST: &str = "I5: the primary knows of every page that the secondary lacks";

/// Searches until everything was seen, or the harm `until` was found.
fn search(
    missing: Option<Guard>,
    tampers: bool,
    until: Option<&'static str>,
) -> impl Checker<Protocol> {
    let checker = Protocol { missing, tampers }.checker().threads(2);
    let checker = match until {
        Some(property) => checker.finish_when(HasDiscoveries::AllOf([property].into())),
        None => checker,
    };
    checker.spawn_bfs().join()
}

#[test]
fn the_protocol_keeps_its_invariants_in_every_order_of_events() {
    let checker = search(None, false, None);
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn it_keeps_them_when_frames_are_swapped_and_transactions_repeated_or_foreign() {
    let checker = search(None, true, None);
    println!("{} states", checker.unique_state_count());
    for property in [OUTPUT_COMMIT, ALL_OR_NOTHING, NO_PAGE_LOST] {
        checker.assert_no_discovery(property);
    }
    checker.assert_any_discovery(AFTER_TAMPERING);
}

/// Without `guard` the property does not hold any more.
fn is_needed_for(guard: Guard, property: &'static str) {
    is_needed(guard, property, false);
}

fn is_needed(guard: Guard, property: &'static str, tampers: bool) {
    let checker = search(Some(guard), tampers, Some(property));
    let path = checker
        .discovery(property)
        .unwrap_or_else(|| panic!("{property} holds without {guard:?}"));
    println!("{guard:?}: {:?}", path.into_actions());
}

#[test]
fn outputs_must_wait_for_the_ack() {
    is_needed_for(Guard::ReleaseOnAck, OUTPUT_COMMIT);
}

#[test]
fn a_primary_may_be_solo_again_only_if_the_commit_has_not_left() {
    is_needed_for(Guard::CommitMayBeThere, OUTPUT_COMMIT);
}

#[test]
fn pages_must_wait_for_the_commit() {
    is_needed_for(Guard::ApplyOnCommit, ALL_OR_NOTHING);
}

#[test]
fn frames_must_come_in_the_order_of_their_numbers() {
    is_needed(Guard::NextFrame, ALL_OR_NOTHING, true);
}

#[test]
fn a_transaction_must_not_be_taken_twice() {
    is_needed(Guard::NextEpoch, ALL_OR_NOTHING, true);
}

#[test]
fn a_transaction_of_another_generation_must_not_be_taken() {
    is_needed(Guard::OwnGeneration, ALL_OR_NOTHING, true);
}

#[test]
fn pages_of_a_failed_checkpoint_must_be_owed_again() {
    is_needed_for(Guard::OweAgain, NO_PAGE_LOST);
}

#[test]
fn a_baseline_must_begin_with_all_pages() {
    is_needed_for(Guard::OweAllAtBaseline, NO_PAGE_LOST);
}
