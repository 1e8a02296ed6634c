//! From a secondary to a primary: hot, from a complete replica, or cold, where there is nothing to go on from.

use super::super::primary::Beginning;
use super::super::replica::ReplicaState;
use super::super::{Engine, Fatal, Next, Ports, Primary};
use super::Secondary;
use crate::control::messages::PromotionTimes;
use crate::control::{ErrorCode, PromoteMode, ReplyHandle};
use crate::fault::{Fault, makes};
use crate::guest::{Start, Vm};
use crate::release::Solo;
use crate::report;

impl<P: Ports> Secondary<P> {
    pub(super) fn refuse_hot(
        &self,
        engine: &Engine<P>,
        generation: u64,
    ) -> Option<(ErrorCode, String)> {
        if !self.replica.is_complete() && !makes(Fault::PromoteAnything) {
            let how_far = match self.replica.state {
                ReplicaState::Receiving => {
                    format!("receiving, {}%", self.progress(engine.now()).percent)
                }
                _ => "empty".to_owned(),
            };
            let message = format!(
                "the replica of {} on {} is not complete ({how_far}): promoting it would start a broken guest",
                engine.spec.resource, engine.spec.node
            );
            return Some((ErrorCode::ReplicaIncomplete, message));
        }
        (generation <= self.replica.generation).then(|| {
            let message = format!(
                "generation {generation} is not above the replica's generation {}",
                self.replica.generation
            );
            (ErrorCode::StaleGeneration, message)
        })
    }

    pub(super) fn refuse_cold(&self, engine: &Engine<P>) -> Option<(ErrorCode, String)> {
        if let Some(connection) = &self.link {
            let message = format!(
                "{} runs the guest of {}: a cold start here would make a second one",
                connection.node, engine.spec.resource
            );
            return Some((ErrorCode::PeerIsPrimary, message));
        }
        self.replica.is_complete().then(|| {
            let message =
                "a complete replica is here: promote it hot instead of throwing it away".to_owned();
            (ErrorCode::WrongRole, message)
        })
    }

    pub(super) fn promote_hot(
        mut self,
        engine: &mut Engine<P>,
        generation: u64,
        reply: ReplyHandle,
    ) -> Result<Next<P>, Fatal> {
        let started = engine.now();
        self.link = None;
        let captured = self.replica.captured.expect("a complete replica has one");
        let gap = started.saturating_duration_since(captured.at);
        if let Err(error) = self.guest.load(&self.replica.device_state, captured) {
            reply.error(ErrorCode::EngineFailed, report::chain(&error));
            return Err(error.into());
        }
        let load = engine.now().saturating_duration_since(started);
        let permit = Solo::promoted(generation);
        if !makes(Fault::NoReplay) {
            engine.outlet.replay(&permit, &self.replica.unreleased);
        }
        self.guest.announce()?;
        self.guest.resume()?;
        let [latest, earlier] = &self.replica.inputs;
        let mut strays = 0;
        for packet in earlier.iter().chain(latest.iter()) {
            self.guest.deliver(packet).map_err(Fatal::Network)?;
        }
        for packet in self.strays.recent(engine.now()) {
            self.guest.deliver(packet).map_err(Fatal::Network)?;
            strays += 1;
        }
        self.guest.show_display();
        let micros =
            |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        engine.promotion = Some(PromotionTimes {
            load: micros(load),
            total: micros(engine.now().saturating_duration_since(started)),
        });
        tracing::info!(
            generation,
            from_epoch = self.replica.epoch,
            replayed = self.replica.unreleased.len(),
            inputs = latest.len() + earlier.len(),
            strays,
            ?gap,
            host_clocks_agree = self.replica.clocks.agree(),
            "promoted"
        );
        let primary = Primary::begin(
            engine,
            self.guest,
            Beginning {
                permit,
                fingerprint: self.fingerprint,
            },
        )?;
        reply.promoted(PromoteMode::Hot);
        Ok(Next::Primary(Box::new(primary)))
    }

    pub(super) fn promote_cold(
        self,
        engine: &mut Engine<P>,
        generation: u64,
        reply: ReplyHandle,
    ) -> Result<Next<P>, Fatal> {
        drop(self.guest);
        let mut guest = match engine.ports.start_guest(&engine.spec, Start::Cold) {
            Ok(guest) => guest,
            Err(error) => {
                reply.error(ErrorCode::EngineFailed, report::chain(&error));
                return Err(error.into());
            }
        };
        // QEMU may have been replaced by another since the waiting one was started.
        let fingerprint = guest.fingerprint(&engine.spec)?;
        guest.resume()?;
        guest.show_display();
        let permit = Solo::cold_start(generation);
        let primary = Primary::begin(
            engine,
            guest,
            Beginning {
                permit,
                fingerprint,
            },
        )?;
        reply.promoted(PromoteMode::Cold);
        Ok(Next::Primary(Box::new(primary)))
    }
}
