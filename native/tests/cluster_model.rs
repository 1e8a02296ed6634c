//! The two-node protocol as a model that is searched in every order of events: who may go on alone, and who may be promoted.
//! Its transitions bear the names of the decisions in src/fencing, which nothing carries out yet; what is written durably and what follows from it are separate ones.
//!
//! Two hosts with their state.json, supervisors and engines; the sync link; a cluster link that may break, and then both sides
//! keep quorum (`two_node`) and may fence each other; a CIB of which each node has a copy, the DC's first; node attributes that
//! vanish with their node; Pacemaker, as far as it starts, stops, promotes, demotes and fences. A search has so many events:
//! what fails, or an administrator does. Failures may end at any time; fencing, rebooting and joining again are no events.
//!
//! That service comes back is a question about ways, not about states: `service.rs` answers it, and says why not stateright.
//!
//! Without any one guard the search finds the way into the harm; where two guards stand for one another, without both.
//! `SECOND_LINES` are those of which none is needed as long as all others hold.

#[path = "cluster_model/mod.rs"]
mod model;

use model::{
    ALL_EVENTS, BOUNDED, Cluster, Event, Graph, Guard, NOT_BARRED, ONE_LIFE, OUTPUT_COMMIT,
    PROMOTE_NEEDS_PROOF, PROTECTED, SAFETY, SOLO_NEEDS_PROOF,
};
use stateright::{Checker, HasDiscoveries, Model};

/// What keeps harm away once more, and is not needed while all else holds: a secondary has dropped what it calls outdated, and
/// whoever says here that a node does not run is right. A person or a fencing device that is wrong is not in the model.
const SECOND_LINES: &[Guard] = &[
    Guard::Quorum,
    Guard::WordOfThisLife,
    Guard::SecondLook,
    Guard::ForeignClaimGivesUp,
    Guard::ClaimStaysUntilAck,
    Guard::OnlyWithoutLink,
    Guard::TakeOverIfNeverSaid,
    Guard::TakeOverOfNextOnly,
    Guard::RemoveUnbegunOnly,
    Guard::ForeignClaimBarsPromotion,
    Guard::EvidenceAfterClaim,
    Guard::DiskBeforeToken,
    Guard::ForeignClaimBarsColdStart,
    Guard::ColdStartClaims,
];

/// Searches until everything was seen, or the harm `until` was found.
fn search(cluster: Cluster, until: Option<&'static str>) -> impl Checker<Cluster> {
    let checker = cluster.checker().threads(2);
    let checker = match until {
        Some(property) => checker.finish_when(HasDiscoveries::AllOf([property].into())),
        None => checker,
    };
    let checker = checker.spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker
}

fn with_all_events(missing: &'static [Guard], events_max: u8) -> Cluster {
    Cluster {
        missing,
        events: ALL_EVENTS,
        events_max,
    }
}

/// A guest runs again and is heard, wherever the search has been, once all failures have ended.
fn assert_service(cluster: &Cluster) {
    let graph = Graph::of(cluster);
    println!("{} states", graph.len());
    if let Some((way, state)) = graph.way_to_no_service() {
        panic!("no service comes back after {way:?}: {state:#?}");
    }
}

/// Without these guards `events_max` events are enough for the property not to hold any more.
fn is_needed(missing: &'static [Guard], events_max: u8, property: &'static str) {
    is_needed_against(ALL_EVENTS, missing, events_max, property);
}

fn is_needed_against(
    events: &'static [Event],
    missing: &'static [Guard],
    events_max: u8,
    property: &'static str,
) {
    let cluster = Cluster {
        missing,
        events,
        events_max,
    };
    let checker = search(cluster, Some(property));
    let path = checker
        .discovery(property)
        .unwrap_or_else(|| panic!("{property} holds without {missing:?}"));
    println!("{missing:?}: {:?}", path.into_actions());
}

#[test]
fn the_protocol_keeps_its_invariants_whatever_two_events_come_in_whatever_order() {
    search(with_all_events(&[], 2), None).assert_properties();
}

#[test]
fn service_comes_back_after_any_single_event() {
    assert_service(&with_all_events(&[], 1));
}

#[test]
fn second_lines_are_needed_neither_against_two_events_nor_for_service() {
    let checker = search(with_all_events(SECOND_LINES, 2), None);
    for property in SAFETY {
        checker.assert_no_discovery(property);
    }
    assert_service(&with_all_events(SECOND_LINES, 1));
}

#[test]
fn a_frozen_primary_must_have_proof_before_it_goes_solo() {
    is_needed(&[Guard::ProofBeforeSolo], 1, SOLO_NEEDS_PROOF);
    is_needed(&[Guard::ProofBeforeSolo], 1, OUTPUT_COMMIT);
}

#[test]
fn a_start_that_is_under_way_must_be_recorded_or_the_stop_before_it_looks_like_proof() {
    is_needed(&[Guard::PendingIsRecorded], 2, SOLO_NEEDS_PROOF);
}

#[test]
fn a_word_must_be_about_the_generation_that_is_frozen() {
    is_needed(&[Guard::WordOfThisGeneration], 2, SOLO_NEEDS_PROOF);
}

#[test]
fn a_proof_must_not_outlive_a_replica_that_is_made_before_it_is_used() {
    const MISSING: &[Guard] = &[Guard::NoBaselineWhileFrozen, Guard::DiskBeforeReplica];
    const EVENTS: &[Event] = &[Event::Node, Event::SyncLink];
    is_needed_against(EVENTS, MISSING, 2, SOLO_NEEDS_PROOF);
}

#[test]
fn a_cib_that_is_not_the_dc_s_may_be_read_only_when_the_own_claim_is_in_it() {
    const MISSING: &[Guard] = &[Guard::EvidenceFromDc, Guard::ClaimBeforeAsk];
    is_needed(MISSING, 2, SOLO_NEEDS_PROOF);
}

#[test]
fn a_cib_that_is_not_the_dc_s_may_be_read_only_if_no_frozen_guest_gets_a_new_replica() {
    const MISSING: &[Guard] = &[Guard::EvidenceFromDc, Guard::NoBaselineWhileFrozen];
    is_needed(MISSING, 2, SOLO_NEEDS_PROOF);
}

#[test]
fn the_word_must_be_durable_unless_no_frozen_guest_gets_a_new_replica() {
    const MISSING: &[Guard] = &[Guard::DurableBeforeWord, Guard::NoBaselineWhileFrozen];
    is_needed(MISSING, 2, SOLO_NEEDS_PROOF);
}

#[test]
fn an_outdated_generation_must_not_be_acked_unless_no_frozen_guest_gets_a_new_replica() {
    const MISSING: &[Guard] = &[Guard::OutdatedIsNotAcked, Guard::NoBaselineWhileFrozen];
    is_needed(MISSING, 2, PROTECTED);
}

#[test]
fn an_outdated_replica_must_not_be_promoted_unless_it_was_dropped() {
    const MISSING: &[Guard] = &[Guard::OutdatedIsNotPromoted, Guard::DropBeforeWord];
    is_needed(MISSING, 2, SOLO_NEEDS_PROOF);
}

#[test]
fn the_engine_must_drop_its_replica_before_the_disk_says_outdated() {
    is_needed(&[Guard::DropBeforeDisk], 1, PROTECTED);
}

#[test]
fn a_promotion_must_have_proof_that_the_other_guest_does_not_run() {
    is_needed(&[Guard::PromotionNeedsProof], 2, PROMOTE_NEEDS_PROOF);
}

#[test]
fn a_node_that_says_that_it_runs_the_guest_must_be_believed_more_than_its_last_operation() {
    is_needed(&[Guard::PrimaryIsBelieved], 2, PROMOTE_NEEDS_PROOF);
}

#[test]
fn a_cold_start_must_wait_for_the_disks() {
    is_needed(&[Guard::DiskWordBeforeColdStart], 1, OUTPUT_COMMIT);
    is_needed(&[Guard::DiskWordBeforeColdStart], 1, ONE_LIFE);
}

#[test]
fn a_guest_must_not_start_cold_while_the_other_node_has_its_replica() {
    is_needed(&[Guard::ReplicaBeforeColdStart], 1, SOLO_NEEDS_PROOF);
}

#[test]
fn the_right_to_boot_alone_must_be_gone_before_a_replica_is_complete() {
    is_needed(&[Guard::DiskBeforeReplica], 2, OUTPUT_COMMIT);
}

#[test]
fn a_rebooted_node_that_is_alone_must_wait_or_both_fence_each_other_for_ever() {
    is_needed_against(&[Event::ClusterLink], &[Guard::WaitForAll], 1, BOUNDED);
}

#[test]
fn a_running_guest_must_say_its_generation_or_an_old_claim_that_comes_back_has_it_demoted() {
    is_needed(&[Guard::RunningGuestHasGeneration], 1, NOT_BARRED);
}

#[test]
fn a_claim_must_not_be_taken_from_an_owner_that_may_live() {
    is_needed(&[Guard::TakeOverOfFencedOnly], 1, NOT_BARRED);
}

#[test]
fn a_claim_of_what_was_never_begun_must_be_removed_or_nobody_is_promoted_any_more() {
    let graph = Graph::of(&with_all_events(&[Guard::UnbegunIsRemoved], 1));
    let (way, _) = graph
        .way_to_no_service()
        .expect("without it a claim is in everybody's way");
    println!("{} states: {way:?}", graph.len());
}
