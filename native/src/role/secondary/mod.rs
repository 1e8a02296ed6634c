//! The secondary: takes whole transactions, acknowledges them, applies them, and waits to be promoted.

mod promotion;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::PollFlags;

use super::admission::{Admission, Ourselves, admit};
use super::replica::{Replica, ReplicaState};
use super::strays::Strays;
use super::{Engine, Face, Fatal, Next, check_alive, wait};
use crate::control::messages::{GuestState, SyncProgress};
use crate::control::{ErrorCode, Order, OrderCommand, PromoteMode, Role};
use crate::guest::{Guest, Start};
use crate::limits::{FAREWELL_TIMEOUT, HEARTBEAT, MIRRORED_PACKET_MAX_BYTES, PACKETS_PER_TURN};
use crate::link::{Caller, Link, LinkError};
use crate::report;
use crate::sys::bridge;
use crate::wire::{Assembly, ControlKind, FrameKind, Header, ReplicaHeld, Step, Welcome, limits};

/// A secondary with its waiting QEMU.
pub struct Secondary {
    guest: Guest,
    fingerprint: BTreeMap<String, String>,
    assembly: Assembly,
    replica: Replica,
    link: Option<Connection>,
    receiving_since: Instant,
    strays: Strays,
}

struct Connection {
    link: Link,
    /// The primary's generation when it introduced itself.
    generation: u64,
    engine_id: uuid::Uuid,
    node: String,
}

impl Secondary {
    /// Takes over a QEMU that waits for a state.
    ///
    /// # Errors
    /// If the files that the guest boots from cannot be read.
    pub fn new(engine: &Engine, guest: Guest) -> Result<Self, Fatal> {
        let fingerprint = guest.fingerprint(&engine.spec)?;
        let pages = guest.pages() as u64;
        let limit = limits::default_staging_bytes(pages);
        let mut assembly = Assembly::new(pages, limit);
        // A replica must not find out at a checkpoint that the host is full.
        assembly
            .reserve(limits::STAGING_RETAINED_BYTES.min(limit))
            .map_err(|violation| Fatal::Staging(std::io::Error::other(violation)))?;
        let secondary = Self {
            assembly,
            guest,
            fingerprint,
            replica: Replica::default(),
            link: None,
            receiving_since: Instant::now(),
            strays: Strays::new(engine.spec.guest_address(), engine.spec.silence()),
        };
        engine.board.update(|status| {
            status.qemu_pid = Some(secondary.guest.pid());
            (status.held_packets, status.held_bytes) = (0, 0);
        });
        engine.show_peer(false, None, None);
        secondary.show(engine);
        Ok(secondary)
    }

    /// Starts a QEMU that waits for a state.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(engine: &Engine) -> Result<Self, Fatal> {
        let guest = Guest::start(&engine.spec, engine.accel.accel, Start::Incoming)?;
        Self::new(engine, guest)
    }

    /// Runs until promoted or stopped.
    ///
    /// # Errors
    /// [`Fatal`] if QEMU is lost.
    pub fn run(mut self, engine: &mut Engine, caller: Option<Caller>) -> Result<Next, Fatal> {
        if let Some(caller) = caller {
            self.receive_caller(engine, caller);
        }
        loop {
            let link = self.link.as_ref();
            let link_flags = match link {
                Some(connection) if !connection.link.outgoing.is_empty() => {
                    PollFlags::IN | PollFlags::OUT
                }
                _ => PollFlags::IN,
            };
            let ready = wait(
                [
                    (link.map(|connection| connection.link.as_fd()), link_flags),
                    (Some(engine.wake.as_fd()), PollFlags::IN),
                    (Some(engine.outlet.as_fd()), PollFlags::IN),
                    (Some(self.guest.pidfd()), PollFlags::IN),
                ],
                self.patience(),
                &engine.wake,
            )?;
            engine.board.beat();
            if !ready[0].is_empty() {
                self.serve_link(engine);
            }
            if !ready[2].is_empty() {
                self.take_strays(engine);
            }
            self.notice_silence(engine);
            check_alive(&mut self.guest, ready[3])?;
            if !ready[1].is_empty() {
                engine.wake.hush();
                while let Some(caller) = engine.listener.caller() {
                    self.receive_caller(engine, caller);
                }
                while let Ok(order) = engine.orders.try_recv() {
                    match self.obey(engine, order)? {
                        Obeyed::Stay(secondary) => self = *secondary,
                        Obeyed::Leave(next) => return Ok(next),
                    }
                }
            }
        }
    }

    fn patience(&self) -> std::time::Duration {
        let until_silence = self
            .strays
            .patience()
            .filter(|_| self.replica.is_complete());
        until_silence.map_or(HEARTBEAT, |left| left.min(HEARTBEAT))
    }

    /// A primary that says nothing may be dead: what the world sends to the guest should come here.
    fn notice_silence(&mut self, engine: &Engine) {
        if !self.replica.is_complete() || !self.strays.begins() {
            return;
        }
        let Some(bridge) = &engine.spec.machine.interfaces[0].bridge else {
            return;
        };
        match bridge::forget_addresses(bridge) {
            Ok(()) => tracing::info!(
                bridge,
                "the primary is silent: frames for the guest are kept"
            ),
            Err(error) => tracing::warn!(
                bridge,
                %error,
                "the primary is silent, but the bridge does not forget where the guest was: what is sent to it is lost until it is repeated"
            ),
        }
    }

    /// Frames that a bridge sends to this side too. Nobody here wants them, unless nobody gets them elsewhere.
    fn take_strays(&mut self, engine: &Engine) {
        // What is cut off is not wanted.
        let mut frame = [0; MIRRORED_PACKET_MAX_BYTES];
        for _ in 0..PACKETS_PER_TURN {
            match engine.outlet.receive(&mut frame) {
                Ok(Some(length)) if length < frame.len() => self.strays.take(&frame[..length]),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn show(&self, engine: &Engine) {
        engine.show(Face {
            role: Role::Secondary,
            state: self.replica.state.shown(),
            guest: GuestState::Incoming,
            generation: self.replica.generation,
            epoch: self.replica.epoch,
        });
        let progress = (self.replica.state == ReplicaState::Receiving).then(|| self.progress());
        engine
            .board
            .update(|status| status.sync_progress = progress);
    }

    fn progress(&self) -> SyncProgress {
        let bytes = self.replica.baseline_bytes;
        let total = self.guest.ram.bytes() as u64;
        let elapsed_us = u64::try_from(self.receiving_since.elapsed().as_micros())
            .unwrap_or(u64::MAX)
            .max(1);
        SyncProgress {
            percent: u8::try_from((bytes * 100 / total).min(99)).unwrap_or(99),
            round: u32::try_from(bytes / total)
                .unwrap_or(u32::MAX)
                .saturating_add(1),
            bytes,
            bytes_per_second: bytes.saturating_mul(1_000_000) / elapsed_us,
        }
    }

    fn receive_caller(&mut self, engine: &Engine, caller: Caller) {
        let us = Ourselves {
            resource: &engine.spec.resource,
            vm_uuid: engine.spec.machine.uuid,
            fingerprint: &self.fingerprint,
        };
        match admit(&us, &self.replica, &caller.hello) {
            Err((code, message)) => {
                engine.complain(format!("{} was refused: {message}", caller.hello.node));
                caller.refuse(code, message);
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
                    self.replica.discard();
                }
                self.connect(engine, caller, admission);
            }
        }
        self.show(engine);
    }

    fn connect(&mut self, engine: &Engine, caller: Caller, admission: Admission) {
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
        match caller.welcome(&welcome) {
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
                });
            }
            Err(error) => tracing::warn!(
                node = hello.node,
                error = report::chain(&error),
                "the primary hung up"
            ),
        }
    }

    fn serve_link(&mut self, engine: &Engine) {
        let result = self.take_frames(engine);
        if let Err(error) = result {
            self.lose_link(engine, &error);
        }
    }

    fn take_frames(&mut self, engine: &Engine) -> Result<(), LinkError> {
        let Some(connection) = self.link.as_mut() else {
            return Ok(());
        };
        connection.link.flush(&[])?;
        // Frames that arrived before the end count: an ack may have been the last thing that the primary needed.
        let filled = connection.link.fill();
        if matches!(filled, Ok(true)) {
            self.strays.heard();
        }
        while self.take_frame(engine)? {}
        filled.map(|_| ())
    }

    /// Takes one frame; false if there is none.
    fn take_frame(&mut self, engine: &Engine) -> Result<bool, LinkError> {
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
        match header.kind {
            kind if kind.is_transaction() => {
                if self.assembly.feed(&header, frame.payload)? == Step::Complete {
                    let transaction = self.assembly.transaction().expect("the step was Complete");
                    let ram = &self.guest.ram;
                    let holds = |page, hash| Replica::holds(ram, page, hash);
                    let acknowledgement = match transaction.acknowledgement(holds) {
                        Ok(acknowledgement) => acknowledgement,
                        Err(page) => {
                            self.assembly.reject();
                            self.replica.discard();
                            return Err(LinkError::ForeignBase { page });
                        }
                    };
                    // Staged and checked: it is ours whatever happens now, so the primary need not wait for the copy.
                    link.encoder().ack(acknowledgement);
                    let sent = link.flush(&[]);
                    let first = !self.replica.is_complete();
                    self.replica.apply(&mut self.guest.ram, transaction);
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
                    .apply_baseline(&mut self.guest.ram, frame.payload, pages)?;
                if self.replica.baseline_bytes >> 24 != before {
                    self.show(engine);
                }
            }
            FrameKind::Input => self.replica.note_input(frame.payload),
            FrameKind::SyncBegin => {
                // A primary may have gone solo, in a new generation, since it introduced itself.
                *generation = header.generation;
                self.assembly.expect(header.generation, header.epoch);
                self.replica.begin(header.generation, *engine_id);
                self.receiving_since = Instant::now();
                self.show(engine);
            }
            FrameKind::Handover if self.replica.can_be_handed_over(&header) => {
                self.replica.state = ReplicaState::HandedOver;
                self.confirm(engine, ControlKind::HandoverAck, &header)?;
            }
            FrameKind::End if header.generation == self.replica.generation => {
                // The guest powered itself off. It must not come back to life from here.
                self.replica.discard();
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
        engine: &Engine,
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

    fn lose_link(&mut self, engine: &Engine, why: &LinkError) {
        let Some(connection) = self.link.take() else {
            return;
        };
        // A partial transaction never was; a partial baseline is worth nothing. A complete replica stays what it is.
        self.assembly.abandon();
        if !self.replica.is_complete() {
            self.replica.discard();
        }
        engine.show_peer(false, None, None);
        engine.complain(format!(
            "the link from {} was lost: {}",
            connection.node,
            report::chain(why)
        ));
        self.show(engine);
    }

    fn obey(mut self, engine: &mut Engine, order: Order) -> Result<Obeyed, Fatal> {
        match order.command {
            OrderCommand::Promote {
                mode: PromoteMode::Hot,
                generation,
            } => match self.refuse_hot(engine, generation) {
                Some((code, message)) => order.reply.error(code, message),
                None => {
                    return self
                        .promote_hot(engine, generation, order.reply)
                        .map(Obeyed::Leave);
                }
            },
            OrderCommand::Promote {
                mode: PromoteMode::Cold,
                generation,
            } => match self.refuse_cold(engine) {
                Some((code, message)) => order.reply.error(code, message),
                None => {
                    return self
                        .promote_cold(engine, generation, order.reply)
                        .map(Obeyed::Leave);
                }
            },
            OrderCommand::Demote { .. }
            | OrderCommand::EnterSolo { .. }
            | OrderCommand::RestartStatistics => order.reply.error(
                ErrorCode::WrongRole,
                format!(
                    "this needs a primary; this engine is secondary ({:?})",
                    self.replica.state
                ),
            ),
            OrderCommand::Configure { tuning } => {
                order.reply.configured(engine.configure(&tuning));
            }
            OrderCommand::Stop => {
                self.say_farewell();
                order.reply.ok(crate::control::OkBody::Empty);
                return Ok(Obeyed::Leave(Next::Stopped));
            }
        }
        Ok(Obeyed::Stay(Box::new(self)))
    }

    /// Tells the primary that this replica will never be resumed, so that it need not wait for us.
    fn say_farewell(&mut self) {
        if self.replica.state == ReplicaState::HandedOver {
            return;
        }
        if let Some(Connection {
            link, generation, ..
        }) = &mut self.link
        {
            link.encoder()
                .control(ControlKind::Farewell, *generation, self.replica.epoch, &[]);
            if let Err(error) = link.flush_all(&[], FAREWELL_TIMEOUT, || {}) {
                tracing::warn!(
                    error = report::chain(&error),
                    "the farewell did not reach the primary"
                );
            }
        }
    }
}

enum Obeyed {
    Stay(Box<Secondary>),
    Leave(Next),
}
