//! Packets between the guest and the world.

use super::{Engine, Fatal, Mode, Primary};
use crate::limits::PACKETS_PER_TURN;

impl Primary {
    /// Takes what the guest has sent: into the hold, or straight out if this engine runs the only copy.
    pub(super) fn take_outputs(&mut self, engine: &mut Engine) -> Result<(), Fatal> {
        for _ in 0..PACKETS_PER_TURN {
            if self.hold.is_full() || !self.take_output(engine)? {
                break;
            }
        }
        Ok(())
    }

    /// Takes everything that the stopped guest had sent before it was stopped: it belongs to the epoch that ends.
    ///
    /// The socket is bounded, so this ends; the hold was below its high water, so there is room.
    pub(super) fn drain_outputs(&mut self, engine: &mut Engine) -> Result<(), Fatal> {
        while self.take_output(engine)? {}
        Ok(())
    }

    fn take_output(&mut self, engine: &mut Engine) -> Result<bool, Fatal> {
        let Some(length) = self
            .guest
            .receive(&mut self.packet[..])
            .map_err(Fatal::Network)?
        else {
            return Ok(false);
        };
        match &self.mode {
            Mode::Solo(permit) => engine.outlet.release_packet(permit, &self.packet[..length]),
            Mode::Guarded => self.hold.push(&self.packet[..length]),
            Mode::Parked | Mode::Ended => {}
        }
        Ok(true)
    }

    /// Gives the guest what the world has sent. It is part of no epoch: what a failover loses the sender repeats.
    pub(super) fn take_inputs(&mut self, engine: &mut Engine) -> Result<(), Fatal> {
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
            }
        }
        Ok(())
    }
}
