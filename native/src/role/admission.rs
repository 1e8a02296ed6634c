//! Whether a primary that introduces itself is let in: pure, so that every row can be tested.

use uuid::Uuid;

use crate::role::replica::{Replica, ReplicaState};
use crate::wire::{Fingerprint, Hello, RefuseCode};

/// Who we are, as far as a caller must match it.
#[derive(Debug)]
pub struct Ourselves<'a> {
    /// Name of this node.
    pub node: &'a str,
    /// Name of the resource.
    pub resource: &'a str,
    /// UUID of the guest.
    pub vm_uuid: Uuid,
    /// Our machine.
    pub fingerprint: &'a Fingerprint,
}

/// What to do with a caller that is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Our replica is of the caller's own history: it may go on from it.
    Continue,
    /// Our replica is of no use to it and, its history being newer than ours, to nobody else.
    Discard,
    /// We have no replica.
    Fresh,
}

/// Whether a caller runs the guest that we are here for, on the same machine.
///
/// # Errors
/// Why not, for the program and for a person.
pub fn identify(us: &Ourselves<'_>, hello: &Hello) -> Result<(), (RefuseCode, String)> {
    if hello.resource != us.resource {
        let message = format!(
            "this is the engine of {}, not of {}: check the sync ports",
            us.resource, hello.resource
        );
        return Err((RefuseCode::Resource, message));
    }
    if hello.vm_uuid != us.vm_uuid {
        let message = format!(
            "the VM's uuid is {} here and {} on {}",
            us.vm_uuid, hello.vm_uuid, hello.node
        );
        return Err((RefuseCode::Guest, message));
    }
    let difference = us
        .fingerprint
        .difference(us.node, &hello.fingerprint, &hello.node);
    if let Some(difference) = difference {
        let message = format!("the two hosts would not run the same machine: {difference}");
        return Err((RefuseCode::Fingerprint, message));
    }
    Ok(())
}

/// Decides about a caller.
///
/// # Errors
/// Why not, for the program and for a person.
pub fn admit(
    us: &Ourselves<'_>,
    replica: &Replica,
    hello: &Hello,
) -> Result<Admission, (RefuseCode, String)> {
    identify(us, hello)?;
    if !replica.is_complete() {
        return Ok(Admission::Fresh);
    }
    if hello.generation < replica.generation {
        let message = format!(
            "the replica here is of generation {}, newer than yours ({})",
            replica.generation, hello.generation
        );
        return Err((RefuseCode::Generation, message));
    }
    if hello.generation > replica.generation {
        return Ok(Admission::Discard);
    }
    if replica.state == ReplicaState::HandedOver {
        let message = format!(
            "generation {} has been handed over to this host",
            replica.generation
        );
        return Err((RefuseCode::Role, message));
    }
    if replica.primary_engine_id != hello.engine_id {
        let message = format!(
            "the replica of generation {} here comes from another life of your engine",
            replica.generation
        );
        return Err((RefuseCode::Generation, message));
    }
    Ok(Admission::Continue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::HelloRole;

    fn hello(generation: u64, engine: u128) -> Hello {
        Hello {
            protocol: 1,
            resource: "vm1".to_owned(),
            vm_uuid: Uuid::from_u128(1),
            node: "n1".to_owned(),
            engine_id: Uuid::from_u128(engine),
            engine_version: "0.1.0".to_owned(),
            role: HelloRole::Primary,
            generation,
            acked_epoch: 0,
            fingerprint: Fingerprint::default(),
        }
    }

    fn replica(state: ReplicaState, generation: u64, engine: u128) -> Replica {
        Replica {
            state,
            generation,
            primary_engine_id: Uuid::from_u128(engine),
            ..Replica::default()
        }
    }

    fn decide(replica: &Replica, hello: &Hello) -> Result<Admission, RefuseCode> {
        let none = Fingerprint::default();
        let us = Ourselves {
            node: "n2",
            resource: "vm1",
            vm_uuid: Uuid::from_u128(1),
            fingerprint: &none,
        };
        admit(&us, replica, hello).map_err(|(code, _)| code)
    }

    #[test]
    fn every_case_of_replica_and_caller() {
        use ReplicaState::{Empty, HandedOver, InSync, Receiving};
        for (state, ours, engine, expected) in [
            (Empty, 0, 0, Ok(Admission::Fresh)),
            (Receiving, 5, 9, Ok(Admission::Fresh)),
            (InSync, 5, 7, Ok(Admission::Continue)),
            (InSync, 5, 8, Err(RefuseCode::Generation)),
            (InSync, 4, 7, Ok(Admission::Discard)),
            (InSync, 4, 8, Ok(Admission::Discard)),
            (InSync, 6, 7, Err(RefuseCode::Generation)),
            (HandedOver, 5, 7, Err(RefuseCode::Role)),
            (HandedOver, 4, 8, Ok(Admission::Discard)),
        ] {
            assert_eq!(
                decide(&replica(state, ours, engine), &hello(5, 7)),
                expected,
                "{state:?} {ours} {engine}"
            );
        }
    }

    #[test]
    fn a_stranger_is_refused_before_its_generation_matters() {
        let ours = replica(ReplicaState::InSync, 1, 7);
        let stranger = |change: fn(&mut Hello)| {
            let mut hello = hello(9, 7);
            change(&mut hello);
            decide(&ours, &hello)
        };
        assert_eq!(
            stranger(|h| h.resource = "vm2".to_owned()),
            Err(RefuseCode::Resource)
        );
        assert_eq!(
            stranger(|h| h.vm_uuid = Uuid::from_u128(2)),
            Err(RefuseCode::Guest)
        );
        assert_eq!(
            stranger(|h| h.fingerprint.values = [("vCPUs".to_owned(), "2".to_owned())].into()),
            Err(RefuseCode::Fingerprint)
        );
    }
}
