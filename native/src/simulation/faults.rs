//! The simulator bites: with a guard taken away, it finds what the guard is for.

use std::ops::Range;

use super::invariant::Invariant::{
    self, AllOrNothing, NoOutputLost, NoPageLost, OneLife, OutputCommit, Soundness,
};
use super::seeds::first_violation;
use crate::fault::Fault;

/// Seeds within which every fault is found, most of them in the first hundreds.
const SEEDS: Range<u64> = 0..8_000;

fn is_found(fault: Fault, expected: &[Invariant]) {
    match first_violation(SEEDS, Some(fault)) {
        Ok(tally) => panic!("{fault:?} is not found in seeds {SEEDS:?}: {tally:?}"),
        Err((seed, violation)) => {
            println!("{fault:?}: seed {seed}: {violation:?}");
            assert!(
                expected.contains(&violation.invariant),
                "{fault:?} shows as {violation:?} in seed {seed}"
            );
        }
    }
}

#[test]
fn outputs_that_leave_before_their_ack_are_seen() {
    is_found(Fault::ReleaseWhenSent, &[OutputCommit]);
}

#[test]
fn a_primary_that_forgets_that_its_first_checkpoint_may_be_there_is_seen() {
    is_found(Fault::SoloAlthoughSent, &[OutputCommit]);
}

#[test]
fn a_commit_that_gets_there_after_it_was_counted_as_lost_is_seen() {
    is_found(Fault::DeliverAtTheEnd, &[OutputCommit]);
}

#[test]
fn pages_that_are_applied_before_their_commit_are_seen() {
    is_found(Fault::ApplyBeforeCommit, &[AllOrNothing, NoPageLost]);
}

#[test]
fn changes_of_what_is_not_there_are_seen() {
    is_found(Fault::StaleBase, &[AllOrNothing, NoPageLost]);
}

#[test]
fn pages_of_a_failed_checkpoint_that_are_forgotten_are_seen() {
    is_found(Fault::ForgetOwedPages, &[NoPageLost]);
}

#[test]
fn a_guest_that_runs_on_after_its_end_is_seen() {
    is_found(Fault::RunOnAlthoughHalted, &[OneLife, NoOutputLost]);
}

#[test]
fn a_promotion_of_what_is_not_complete_is_seen() {
    is_found(Fault::PromoteAnything, &[AllOrNothing, Soundness]);
}

#[test]
fn a_farewell_that_counts_although_a_new_replica_was_built_is_seen() {
    is_found(Fault::OldFarewell, &[OutputCommit, OneLife]);
}

#[test]
fn a_second_replica_of_what_waits_for_the_first_is_seen() {
    is_found(Fault::CallOthers, &[OutputCommit, OneLife]);
}

#[test]
fn outputs_that_a_promotion_does_not_send_again_are_seen() {
    is_found(Fault::NoReplay, &[NoOutputLost]);
}

#[test]
fn outputs_that_a_secondary_does_not_keep_are_seen() {
    is_found(Fault::KeepNoOutputs, &[NoOutputLost]);
}

#[test]
fn a_last_checkpoint_that_leaves_outputs_behind_is_seen() {
    is_found(Fault::LastAlthoughOutputsWait, &[NoOutputLost]);
}

#[test]
fn outputs_that_are_not_taken_while_written_pages_are_looked_for_are_seen() {
    is_found(Fault::NoDrainWhileLooking, &[NoOutputLost]);
}

#[test]
fn the_state_of_a_guest_that_died_while_it_was_saved_is_seen() {
    is_found(Fault::CommitUnconfirmed, &[AllOrNothing]);
}

#[test]
fn changes_of_pages_that_were_sent_in_parts_later_are_seen() {
    is_found(Fault::KeepBasesOfParts, &[Soundness]);
}

#[test]
fn a_transaction_of_a_guest_that_was_not_held_is_seen() {
    is_found(Fault::SendAlthoughItRanOn, &[AllOrNothing, NoPageLost]);
}

#[test]
fn frames_that_are_taken_in_any_order_are_seen() {
    is_found(Fault::AnySequence, &[AllOrNothing, NoPageLost]);
}

#[test]
fn frames_of_another_connection_that_are_taken_are_seen() {
    is_found(Fault::AnySession, &[AllOrNothing, NoPageLost]);
}

#[test]
fn a_transaction_that_is_taken_for_the_next_one_is_seen() {
    // Changes of what that transaction should have left are refused, too.
    is_found(Fault::AnyEpoch, &[AllOrNothing, NoPageLost, Soundness]);
}
