//! The secondary: takes whole transactions, acknowledges them, applies them, and waits to be promoted.

mod connection;
mod frames;
mod orders;
mod promotion;
mod silence;
mod trial;
mod waiting;

use std::time::Instant;

use self::connection::Connection;
use self::trial::TrialStage;
use super::refusals::Refusals;
use super::replica::{Replica, ReplicaState};
use super::strays::Strays;
use super::{Engine, Face, Fatal, Next, PeerCaller, Ports, Ready};
use crate::control::Role;
use crate::control::messages::{GuestState, SyncProgress};
use crate::guest::{Ram, Start, Vm};
use crate::link::Door;
use crate::wire::{Assembly, Fingerprint, limits};

/// A secondary with its waiting QEMU.
pub struct Secondary<P: Ports> {
    guest: P::Vm,
    fingerprint: Fingerprint,
    assembly: Assembly,
    replica: Replica,
    link: Option<Connection<P>>,
    trial: TrialStage<P::Trial>,
    receiving_since: Instant,
    strays: Strays,
    refusals: Refusals,
}

/// What a secondary is after a turn.
pub enum Turn<P: Ports> {
    /// The same.
    Stay(Box<Secondary<P>>),
    /// Not any more.
    Leave(Next<P>),
}

impl<P: Ports> Secondary<P> {
    /// Takes over a QEMU that waits for a state.
    ///
    /// # Errors
    /// If the files that the guest boots from cannot be read.
    pub fn new(engine: &Engine<P>, guest: P::Vm) -> Result<Self, Fatal> {
        let fingerprint = guest.fingerprint(&engine.spec)?;
        let pages = guest.pages() as u64;
        let now = engine.now();
        let limit = limits::default_staging_bytes(pages);
        let mut assembly = Assembly::new(pages, limit);
        // A replica must not find out at a checkpoint that the host is full.
        assembly
            .reserve(engine.sizes.assembly_bytes.min(limit))
            .map_err(|violation| Fatal::Staging(std::io::Error::other(violation)))?;
        let secondary = Self {
            assembly,
            guest,
            fingerprint,
            replica: Replica::default(),
            link: None,
            trial: TrialStage::Absent,
            receiving_since: now,
            strays: Strays::new(engine.spec.guest_addresses(), engine.spec.silence(), now),
            refusals: Refusals::default(),
        };
        engine.board.update(|status| {
            status.qemu_pid = Some(secondary.guest.pid());
            (status.held_packets, status.held_bytes) = (0, 0);
            (status.paused_percent, status.guest_lag_ms) = (None, None);
        });
        engine.show_peer(false, None, None);
        secondary.show(engine);
        Ok(secondary)
    }

    /// Starts a QEMU that waits for a state; answers the primary that waits at the door, if one does.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(engine: &Engine<P>, caller: Option<PeerCaller<P>>) -> Result<Self, Fatal> {
        let guest = engine.ports.start_guest(&engine.spec, Start::Incoming)?;
        let mut secondary = Self::new(engine, guest)?;
        if let Some(caller) = caller {
            secondary.receive_caller(engine, caller);
        }
        Ok(secondary)
    }

    /// What a promotion would go on from.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Whether a primary is connected.
    pub fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    /// Looks at what is `ready` and does what is due.
    ///
    /// # Errors
    /// [`Fatal`] if QEMU is lost.
    pub fn turn(
        mut self: Box<Self>,
        engine: &mut Engine<P>,
        ready: Ready,
    ) -> Result<Turn<P>, Fatal> {
        engine.board.beat();
        if ready.link {
            self.serve_link(engine);
        }
        self.keep_link(engine);
        if ready.world {
            self.take_strays(engine);
        }
        self.notice_silence(engine);
        if ready.death {
            return Err(self.guest.obituary().into());
        }
        if ready.orders {
            while let Some(caller) = engine.listener.caller() {
                self.receive_caller(engine, caller);
            }
            self.advance_trial(engine);
            while let Ok(order) = engine.orders.try_recv() {
                match self.obey(engine, order)? {
                    Turn::Stay(secondary) => self = secondary,
                    leave @ Turn::Leave(_) => return Ok(leave),
                }
            }
        }
        Ok(Turn::Stay(self))
    }

    fn show(&self, engine: &Engine<P>) {
        engine.show(Face {
            role: Role::Secondary,
            state: self.replica.state.shown(),
            guest: GuestState::Incoming,
            generation: self.replica.generation,
            epoch: self.replica.epoch,
        });
        let progress =
            (self.replica.state == ReplicaState::Receiving).then(|| self.progress(engine.now()));
        engine
            .board
            .update(|status| status.sync_progress = progress);
    }

    fn progress(&self, now: Instant) -> SyncProgress {
        let bytes = self.replica.baseline_bytes;
        let total = self.guest.ram().bytes() as u64;
        let elapsed = now.saturating_duration_since(self.receiving_since);
        let elapsed_us = u64::try_from(elapsed.as_micros())
            .unwrap_or(u64::MAX)
            .max(1);
        let bytes_per_second = bytes.saturating_mul(1_000_000) / elapsed_us;
        let remaining_bytes = total.saturating_sub(bytes);
        SyncProgress {
            percent: u8::try_from((bytes * 100 / total).min(99)).unwrap_or(99),
            round: u32::try_from(bytes / total)
                .unwrap_or(u32::MAX)
                .saturating_add(1),
            bytes,
            bytes_per_second,
            // How much is written again only the primary knows.
            remaining_bytes,
            remaining_seconds: (bytes_per_second > 0 && remaining_bytes > 0)
                .then(|| remaining_bytes.div_ceil(bytes_per_second)),
            brake_percent: 0,
        }
    }
}
