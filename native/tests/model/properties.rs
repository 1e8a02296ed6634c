//! What must always hold, and what must be possible so that this says something.

use stateright::Property;

use super::Protocol;
use super::state::{Mode, PAGES, ReplicaState, State};

pub fn properties() -> Vec<Property<Protocol>> {
    vec![
        Property::always(
            super::super::OUTPUT_COMMIT,
            |_: &Protocol, state: &State| {
                let secondary = &state.secondary;
                secondary.state != ReplicaState::InSync || state.seen <= secondary.snapshot.moment
            },
        ),
        Property::always(
            super::super::ALL_OR_NOTHING,
            |_: &Protocol, state: &State| {
                let secondary = &state.secondary;
                let is_what_it_was = secondary.ram == secondary.snapshot.ram;
                secondary.state != ReplicaState::InSync || is_what_it_was
            },
        ),
        Property::always(super::super::NO_PAGE_LOST, |_: &Protocol, state: &State| {
            let (Some(primary), secondary) = (&state.primary, &state.secondary) else {
                return true;
            };
            let is_ours = primary.mode == Mode::Guarded
                && primary.replica_holder
                && secondary.state == ReplicaState::InSync;
            let knows =
                |page: usize| primary.dirty[page] || primary.owed[page] || primary.captured[page];
            !is_ours
                || (0..PAGES).all(|page| primary.ram[page] == secondary.ram[page] || knows(page))
        }),
        Property::sometimes(
            "a guest is promoted of which something was seen",
            |_: &Protocol, state: &State| state.promoted.is_some() && state.seen > 0,
        ),
        Property::sometimes(
            super::super::AFTER_TAMPERING,
            |protocol: &Protocol, state: &State| {
                // Where nobody tampers there is nothing to ask for.
                state.promoted.is_some() && (state.tampered || !protocol.tampers)
            },
        ),
        Property::sometimes(
            "the same replica is gone on from",
            |_: &Protocol, state: &State| {
                state.connections == 2
                    && state
                        .primary
                        .as_ref()
                        .is_some_and(|p| p.epoch > 1 && !p.baseline)
            },
        ),
    ]
}
