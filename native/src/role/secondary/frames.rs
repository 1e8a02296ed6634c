//! What the primary says, frame by frame.

use super::super::host_clocks::Arrival;
use super::super::replica::ReplicaState;
use super::super::{Engine, Ports};
use super::Secondary;
use super::connection::Connection;
use crate::fault::{Fault, makes};
use crate::guest::Vm;
use crate::link::LinkError;
use crate::wire::{ControlKind, FrameKind, Header, Step};

/// Refuses what may not follow: a primary that has handed its guest over has none any more, and can only pass on what is still
/// sent to it; and none goes back to an earlier generation than its own.
fn check_place(state: ReplicaState, generation: u64, found: &Header) -> Result<(), LinkError> {
    let passes_on = matches!(found.kind, FrameKind::Input | FrameKind::Heartbeat);
    let state = if state == ReplicaState::HandedOver && !passes_on {
        "the guest has been handed over to this side"
    } else if found.kind == FrameKind::SyncBegin && found.generation < generation {
        "it is in a later generation"
    } else {
        return Ok(());
    };
    Err(LinkError::Turn {
        found: found.kind,
        state,
    })
}

impl<P: Ports> Secondary<P> {
    /// Takes one frame; false if there is none.
    pub(super) fn take_frame(&mut self, engine: &Engine<P>) -> Result<bool, LinkError> {
        let Some(Connection {
            link,
            engine_id,
            generation,
            ..
        }) = self.link.as_mut()
        else {
            return Ok(false);
        };
        let Some(frame) = link.reader.next()? else {
            return Ok(false);
        };
        let header = frame.header;
        check_place(self.replica.state, *generation, &header)?;
        if header.kind.is_transaction() || header.kind == FrameKind::SyncPages {
            (self.trial).check_turn(header.kind, self.replica.is_complete())?;
        }
        match header.kind {
            kind if kind.is_transaction() => {
                if makes(Fault::ApplyBeforeCommit) && header.kind == FrameKind::Pages {
                    let pages = self.guest.pages() as u64;
                    self.replica
                        .apply_baseline(self.guest.ram_mut(), frame.payload, pages)?;
                }
                if self.assembly.feed(&header, frame.payload)? == Step::Complete {
                    let transaction = self.assembly.transaction().expect("the step was Complete");
                    let arrival = Arrival {
                        at: engine.now(),
                        wall: engine.wall(),
                    };
                    let ram = self.guest.ram();
                    let holds =
                        |committed| self.replica.holds(ram, committed) || makes(Fault::StaleBase);
                    let acknowledgement = match transaction.acknowledgement(holds) {
                        Ok(acknowledgement) => acknowledgement,
                        Err(base) => {
                            self.assembly.reject();
                            self.discard_replica();
                            return Err(LinkError::ForeignBase { base });
                        }
                    };
                    // Staged and checked: it is ours whatever happens now, so the primary need not wait for the copy.
                    link.encoder().ack(acknowledgement);
                    let sent = link.flush(&[]);
                    let first = !self.replica.is_complete();
                    // A large one takes its time: nobody should think that we are dead.
                    let meanwhile = || {
                        engine.board.beat();
                        link.say_alive(engine.now());
                    };
                    self.replica
                        .apply(self.guest.ram_mut(), transaction, arrival, meanwhile);
                    self.assembly.reset();
                    if first {
                        self.show(engine);
                    } else {
                        let epoch = self.replica.epoch;
                        engine.board.update(|status| status.epoch = epoch);
                    }
                    // Only now: that the primary cannot hear the ack makes the transaction no less ours.
                    sent?;
                }
            }
            FrameKind::SyncPages if self.replica.state == ReplicaState::Receiving => {
                let pages = self.guest.pages() as u64;
                let before = self.replica.baseline_bytes >> 24;
                self.replica
                    .apply_baseline(self.guest.ram_mut(), frame.payload, pages)?;
                if self.replica.baseline_bytes >> 24 != before {
                    self.show(engine);
                }
            }
            FrameKind::Input => self.replica.note_input(frame.payload),
            FrameKind::Heartbeat => {}
            FrameKind::SyncBegin => {
                // A primary may have gone solo, in a new generation, since it introduced itself.
                *generation = header.generation;
                self.assembly.expect(header.generation, header.epoch);
                self.replica.begin(header.generation, *engine_id);
                self.receiving_since = engine.now();
                self.prepare_trial(engine);
                self.show(engine);
            }
            FrameKind::TrialState => {
                let most = engine.sizes.device_state_bytes;
                self.trial.take_state(frame.payload, most)?;
            }
            FrameKind::Trial => self.begin_trial(engine, header.epoch)?,
            FrameKind::Handover if self.replica.can_be_handed_over(&header) => {
                self.replica.state = ReplicaState::HandedOver;
                self.confirm(engine, ControlKind::HandoverAck, &header)?;
            }
            FrameKind::End if header.generation == self.replica.generation => {
                // The guest powered itself off. It must not come back to life from here.
                self.discard_replica();
                self.confirm(engine, ControlKind::EndAck, &header)?;
            }
            found => {
                return Err(LinkError::Turn {
                    found,
                    state: "this side is a secondary",
                });
            }
        }
        Ok(true)
    }

    /// Shows the new state first: whoever hears of the confirmation from the primary may ask here at once.
    fn confirm(
        &mut self,
        engine: &Engine<P>,
        kind: ControlKind,
        header: &Header,
    ) -> Result<(), LinkError> {
        self.show(engine);
        if let Some(Connection { link, .. }) = &mut self.link {
            link.encoder()
                .control(kind, header.generation, header.epoch, &[]);
            link.flush(&[])?;
        }
        Ok(())
    }
}
