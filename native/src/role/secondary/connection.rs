//! The secondary's end of the link: letting a primary in, reading what it sends, losing it.

use super::super::admission::{Admission, Ourselves, admit};
use super::super::{Engine, PeerCaller, PeerLink, Ports};
use super::Secondary;
use crate::link::LinkError;
use crate::report;
use crate::wire::{ReplicaHeld, Welcome};

/// A primary that was let in.
pub(super) struct Connection<P: Ports> {
    pub(super) link: PeerLink<P>,
    /// The primary's generation when it introduced itself.
    pub(super) generation: u64,
    pub(super) engine_id: uuid::Uuid,
    pub(super) node: String,
    /// The primary was told why it cannot stay.
    pub(super) told: bool,
}

impl<P: Ports> Secondary<P> {
    pub(super) fn receive_caller(&mut self, engine: &Engine<P>, caller: PeerCaller<P>) {
        let us = Ourselves {
            node: &engine.spec.node,
            resource: &engine.spec.resource,
            vm_uuid: engine.spec.machine.uuid,
            fingerprint: &self.fingerprint,
        };
        match admit(&us, &self.replica, &caller.hello) {
            Err((code, message)) => {
                self.refusals.refuse(engine, caller, code, message);
            }
            Ok(admission) => {
                if self.link.is_some() {
                    self.lose_link(engine, &LinkError::Replaced);
                }
                if admission == Admission::Discard {
                    tracing::info!(
                        ours = self.replica.generation,
                        theirs = caller.hello.generation,
                        "the replica is outdated"
                    );
                    self.discard_replica();
                }
                self.connect(engine, caller, admission);
            }
        }
        self.show(engine);
    }

    fn connect(&mut self, engine: &Engine<P>, caller: PeerCaller<P>, admission: Admission) {
        let replica = (admission == Admission::Continue).then_some(ReplicaHeld {
            generation: self.replica.generation,
            epoch: self.replica.epoch,
            primary_engine_id: self.replica.primary_engine_id,
        });
        let hello = caller.hello.clone();
        let welcome = Welcome {
            node: engine.spec.node.clone(),
            engine_id: engine.id,
            replica,
        };
        match caller.welcome(&welcome, engine.now()) {
            Ok(link) => {
                if admission == Admission::Continue {
                    self.assembly
                        .expect(self.replica.generation, self.replica.epoch + 1);
                }
                engine.show_peer(true, Some(&hello.node), Some(hello.engine_id));
                tracing::info!(
                    node = hello.node,
                    generation = hello.generation,
                    ?admission,
                    "the primary is connected"
                );
                self.link = Some(Connection {
                    link,
                    generation: hello.generation,
                    engine_id: hello.engine_id,
                    node: hello.node,
                    told: false,
                });
            }
            Err(error) => tracing::warn!(
                node = hello.node,
                error = report::chain(&error),
                "the primary hung up"
            ),
        }
    }

    pub(super) fn serve_link(&mut self, engine: &Engine<P>) {
        let result = self.take_frames(engine);
        if let Err(error) = result {
            self.lose_link(engine, &error);
        }
    }

    /// Says that we live, and gives up a primary that says nothing.
    pub(super) fn keep_link(&mut self, engine: &Engine<P>) {
        let Some(Connection { link, .. }) = &mut self.link else {
            return;
        };
        if let Err(error) = link.keep_alive(engine.now()) {
            self.lose_link(engine, &error);
        }
    }

    fn take_frames(&mut self, engine: &Engine<P>) -> Result<(), LinkError> {
        let Some(connection) = self.link.as_mut() else {
            return Ok(());
        };
        connection.link.flush(&[])?;
        // Frames that arrived before the end count: an ack may have been the last thing that the primary needed.
        let filled = connection.link.fill();
        if matches!(filled, Ok(true)) {
            self.strays.heard(engine.now());
        }
        while self.take_frame(engine)? {}
        filled.map(|_| ())
    }

    pub(super) fn lose_link(&mut self, engine: &Engine<P>, why: &LinkError) {
        let Some(connection) = self.link.take() else {
            return;
        };
        // A partial transaction never was; a partial baseline is worth nothing. A complete replica stays what it is.
        self.assembly.abandon();
        if !self.replica.is_complete() {
            self.discard_replica();
        }
        engine.show_peer(false, None, None);
        if !connection.told {
            engine.complain(format!(
                "the link from {} was lost: {}",
                connection.node,
                report::chain(why)
            ));
        }
        self.show(engine);
    }
}
