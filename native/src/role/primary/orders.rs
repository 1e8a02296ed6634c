//! What the supervisor orders, and who knocks at the door of an engine that runs a guest.

use std::time::Duration;

use super::demotion::Demotion;
use super::{Engine, Fatal, Mode, Next, PeerCaller, Ports, Primary};
use crate::control::{ErrorCode, OkBody, Order, OrderCommand, PromoteMode, ReplyHandle};
use crate::guest::Vm;
use crate::link::Door;
use crate::release::Solo;
use crate::role::admission::{Ourselves, identify};
use crate::role::check_guest;
use crate::wire::RefuseCode;

impl<P: Ports> Primary<P> {
    /// Serves everybody who has rung.
    pub(super) fn obey(&mut self, engine: &mut Engine<P>) -> Result<Option<Next<P>>, Fatal> {
        while let Some(caller) = engine.listener.caller() {
            if let Some(next) = self.answer_door(engine, caller) {
                return Ok(Some(next));
            }
        }
        while let Ok(Order { command, reply }) = engine.orders.try_recv() {
            match command {
                OrderCommand::Demote { timeout_ms } => self.demote(engine, timeout_ms, reply),
                OrderCommand::EnterSolo { generation } => {
                    self.enter_solo(engine, generation, reply);
                }
                OrderCommand::Promote { mode, generation } => {
                    self.unpark(engine, mode, generation, reply)?;
                }
                OrderCommand::RestartStatistics => {
                    // What is counted is brought up to date, too.
                    engine.statistics.restart();
                    engine.show_statistics();
                    self.show(engine);
                    reply.ok(OkBody::Empty);
                }
                OrderCommand::Configure { tuning } => {
                    let configured = engine.configure(&tuning);
                    self.policy.retune(engine.tuning);
                    self.measured.chooser.wish(engine.tuning.compression);
                    reply.configured(configured);
                }
                OrderCommand::PressPowerButton => self.press_power_button(reply)?,
                OrderCommand::EndGuest => self.end_guest(engine, reply)?,
                OrderCommand::CheckGuest => check_guest(&mut self.guest, reply)?,
                OrderCommand::Stop => {
                    reply.ok(OkBody::Empty);
                    return Ok(Some(Next::Stopped));
                }
            }
        }
        Ok(None)
    }

    /// Another primary calls. Only a parked guest gives way, and only to a newer history of the same guest.
    fn answer_door(&mut self, engine: &Engine<P>, caller: PeerCaller<P>) -> Option<Next<P>> {
        let us = Ourselves {
            node: &engine.spec.node,
            resource: &engine.spec.resource,
            vm_uuid: engine.spec.machine.uuid,
            fingerprint: &self.fingerprint,
        };
        let (code, message) = match identify(&us, &caller.hello) {
            Ok(())
                if matches!(self.mode, Mode::Parked)
                    && caller.hello.generation > self.generation =>
            {
                tracing::info!(
                    theirs = caller.hello.generation,
                    ours = self.generation,
                    "the guest runs on the other host"
                );
                return Some(Next::Secondary(Some(caller)));
            }
            Ok(()) => {
                let message = format!(
                    "{} holds the guest in generation {}",
                    engine.spec.node, self.generation
                );
                (RefuseCode::Role, message)
            }
            Err(refusal) => refusal,
        };
        self.refusals.refuse(engine, caller, code, message);
        None
    }

    fn demote(&mut self, engine: &Engine<P>, timeout_ms: u64, reply: ReplyHandle) {
        if matches!(self.mode, Mode::Parked) {
            reply.demoted(crate::control::DemoteOutcome::Parked);
        } else if self.demotion.is_some() {
            reply.error(ErrorCode::WrongRole, "a demotion is under way already");
        } else {
            let deadline = engine.now() + Duration::from_millis(timeout_ms);
            self.demotion = Some(Demotion::new(reply, deadline));
        }
    }

    fn press_power_button(&mut self, reply: ReplyHandle) -> Result<(), Fatal> {
        if self.halt.is_some() || matches!(self.mode, Mode::Parked | Mode::Ended) {
            reply.error(ErrorCode::WrongRole, "the guest does not run here any more");
            return Ok(());
        }
        self.guest.press_power_button()?;
        reply.ok(OkBody::Empty);
        Ok(())
    }

    /// Ends a guest that must not go on anywhere. Its last outputs go out as those of one that has powered itself off.
    fn end_guest(&mut self, engine: &mut Engine<P>, reply: ReplyHandle) -> Result<(), Fatal> {
        if self.halt.is_some() || matches!(self.mode, Mode::Parked | Mode::Ended) {
            reply.error(ErrorCode::WrongRole, "the guest does not run here any more");
            return Ok(());
        }
        self.guest.pause()?;
        // It may have powered itself off just before.
        self.take_events(engine);
        if self.halt.is_none() {
            tracing::info!(generation = self.generation, "the guest is ended by order");
            self.guest_ended(engine);
        }
        reply.ok(OkBody::Empty);
        Ok(())
    }

    fn enter_solo(&mut self, engine: &mut Engine<P>, generation: u64, reply: ReplyHandle) {
        let (Mode::Guarded, Some(proof)) = (&self.mode, self.peer_outdated) else {
            let message = format!(
                "{} has not said that its replica of generation {} is outdated",
                self.peer(engine),
                self.generation
            );
            return reply.error(ErrorCode::PeerNotOutdated, message);
        };
        match Solo::peer_outdated(proof, generation) {
            Ok(permit) => {
                self.peer_outdated = None;
                self.replica_holder = None;
                self.generation = generation;
                self.epoch = 0;
                engine.outlet.release_all(&permit, &mut self.hold);
                self.mode = Mode::Solo(permit);
                self.solo_again(engine);
                self.show(engine);
                reply.ok(OkBody::Empty);
            }
            Err(proof) => {
                let message = format!(
                    "generation {generation} is not above the current generation {}",
                    proof.generation()
                );
                reply.error(ErrorCode::StaleGeneration, message);
            }
        }
    }

    fn unpark(
        &mut self,
        engine: &mut Engine<P>,
        mode: PromoteMode,
        generation: u64,
        reply: ReplyHandle,
    ) -> Result<(), Fatal> {
        if !matches!(self.mode, Mode::Parked) || mode != PromoteMode::Hot {
            reply.error(ErrorCode::WrongRole, "this engine holds the guest already");
        } else if generation <= self.generation {
            let message = format!(
                "generation {generation} is not above the parked guest's generation {}",
                self.generation
            );
            reply.error(ErrorCode::StaleGeneration, message);
        } else {
            self.generation = generation;
            self.epoch = 0;
            self.halt = None;
            self.mode = Mode::Solo(Solo::promoted(generation));
            self.guest.resume()?;
            self.show(engine);
            reply.promoted(PromoteMode::Hot);
        }
        Ok(())
    }
}
