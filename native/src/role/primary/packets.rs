//! Packets between the guest and the world.

use std::ops::ControlFlow;

use super::{Engine, Fatal, Mode, Ports, Primary};
use crate::clock::Clock;
use crate::fault::{Fault, makes};
use crate::guest::{GuestError, Vm};
use crate::hold::Hold;
use crate::limits::{
    MIRRORED_INPUTS_MAX_BYTES, MIRRORED_PACKET_MAX_BYTES, MIRRORING_BACKLOG_MAX_BYTES,
    NET_SOCKET_BYTES, PACKETS_PER_TURN,
};
use crate::release::{Device, Outlet};
use crate::wire::ControlKind;

/// A packet that the guest has sent: into the hold, or straight out if this engine runs the only copy.
fn pass_on<D: Device>(mode: &Mode, hold: &mut Hold, outlet: &mut Outlet<D>, packet: &[u8]) {
    match mode {
        Mode::Solo(permit) => outlet.release_packet(permit, packet),
        Mode::Guarded => hold.push(packet),
        Mode::Parked | Mode::Ended => {}
    }
}

impl<P: Ports> Primary<P> {
    /// Takes what the guest has sent: into the hold, or straight out if this engine runs the only copy.
    pub(super) fn take_outputs(&mut self, engine: &mut Engine<P>) -> Result<(), Fatal> {
        let before = self.hold.packets();
        for _ in 0..PACKETS_PER_TURN {
            if self.hold.is_full() || !self.take_output(engine)? {
                break;
            }
        }
        self.count_outputs(engine, before);
        Ok(())
    }

    /// Takes what the stopped guest had sent before it was stopped: it belongs to the epoch that ends. The socket is bounded,
    /// so this ends.
    ///
    /// False if the hold had no room for all of it: the rest stays in the socket, is taken later, and waits for the ack of a
    /// later epoch, which contains this one.
    pub(super) fn drain_outputs(&mut self, engine: &mut Engine<P>) -> Result<bool, Fatal> {
        let before = self.hold.packets();
        let all_taken = loop {
            if self.hold.is_full() {
                break false;
            }
            if !self.take_output(engine)? {
                break true;
            }
        };
        self.count_outputs(engine, before);
        Ok(all_taken)
    }

    fn count_outputs(&mut self, engine: &Engine<P>, before: usize) {
        let joined = u32::try_from(self.hold.packets() - before).unwrap_or(u32::MAX);
        self.policy.output(joined, engine.now());
    }

    fn take_output(&mut self, engine: &mut Engine<P>) -> Result<bool, Fatal> {
        let length = (self.guest.receive(&mut self.packet[..])).map_err(Fatal::Network)?;
        if let Some(length) = length {
            let packet = &self.packet[..length];
            pass_on(&self.mode, &mut self.hold, &mut engine.outlet, packet);
        }
        Ok(length.is_some())
    }

    /// Looks which pages the guest, which runs, has written; they are owed. That may take long (`guest/dirty/compare.rs`), and the
    /// socket takes only so much: what the guest sends meanwhile is taken. False if it has sent as much as may wait: then not all
    /// has been looked at, and it must be stopped first.
    pub(super) fn look(
        &mut self,
        engine: &mut Engine<P>,
    ) -> Result<Result<bool, GuestError>, Fatal> {
        let before = self.hold.packets();
        let drains = !makes(Fault::NoDrainWhileLooking);
        let runs = drains && self.halt.is_none() && !self.standing.still();
        let Self {
            guest,
            owed,
            link,
            mode,
            hold,
            packet,
            ..
        } = self;
        let mut failed = None;
        let found = guest.look_for_dirty(owed, &mut |receive| {
            engine.board.beat();
            if let Some(link) = link {
                link.say_alive(engine.clock.now());
            }
            let mut taken = 0;
            while runs && taken < NET_SOCKET_BYTES && !hold.is_above_high_water() {
                match receive(&mut packet[..]) {
                    Ok(Some(length)) => {
                        pass_on(mode, hold, &mut engine.outlet, &packet[..length]);
                        taken += length;
                    }
                    Ok(None) => break,
                    Err(error) => {
                        failed = Some(error);
                        return ControlFlow::Break(());
                    }
                }
            }
            if runs && hold.is_above_high_water() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        self.count_outputs(engine, before);
        match failed {
            Some(error) => Err(Fatal::Network(error)),
            None => Ok(found.map(|found| found.is_continue())),
        }
    }

    /// Gives the guest what the world has sent, and the secondary a copy.
    ///
    /// An input is part of no epoch, and nothing waits for the copy: what a failover loses the sender repeats. But it
    /// repeats after a time-out that has doubled with each try while nobody answered; with the copy the promoted guest
    /// answers at once.
    pub(super) fn take_inputs(&mut self, engine: &mut Engine<P>) -> Result<(), Fatal> {
        for _ in 0..PACKETS_PER_TURN {
            let Some(length) = engine
                .outlet
                .receive(&mut self.packet[..])
                .map_err(Fatal::Network)?
            else {
                break;
            };
            if !matches!(self.mode, Mode::Parked | Mode::Ended) {
                // A full queue loses the packet, as any network does.
                self.guest
                    .deliver(&self.packet[..length])
                    .map_err(Fatal::Network)?;
                self.mirror(length);
            }
        }
        self.flush_link(engine);
        Ok(())
    }

    /// Sends the secondary a copy of the packet that was just received; of an epoch's as many as it keeps, so that a flood does
    /// not take the link from the checkpoints. A guest that has been handed over has none any more.
    pub(super) fn mirror(&mut self, length: usize) {
        let wanted = matches!(self.mode, Mode::Guarded) && self.baseline.is_none();
        if let Some(link) = &mut self.link
            && wanted
            && length <= MIRRORED_PACKET_MAX_BYTES
            && (self.mirrored + length <= MIRRORED_INPUTS_MAX_BYTES
                || self.forwarding_until.is_some())
            && link.outgoing.pending_bytes() <= MIRRORING_BACKLOG_MAX_BYTES
        {
            self.mirrored += length;
            let packet = &self.packet[..length];
            link.encoder()
                .control(ControlKind::Input, self.generation, self.epoch, packet);
        }
    }
}
