//! The device that leads to the world, and the rule of who may write to it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::permit::{Acked, Solo};
use crate::hold::{Hold, PacketLog};
use crate::sys::interface::Tap;

/// What carries Ethernet frames: a TAP device, or a simulated one. Neither call blocks.
pub trait Device {
    /// Its name.
    fn name(&self) -> &str;

    /// One frame out.
    ///
    /// # Errors
    /// Whatever the device reports; the frame is lost then.
    fn send(&self, packet: &[u8]) -> io::Result<()>;

    /// One frame from the world; `None` if none is waiting.
    ///
    /// # Errors
    /// Whatever the device reports.
    fn receive(&self, into: &mut [u8]) -> io::Result<Option<usize>>;
}

impl Device for Tap {
    fn name(&self) -> &str {
        Self::name(self)
    }

    fn send(&self, packet: &[u8]) -> io::Result<()> {
        Self::send(self, packet)
    }

    fn receive(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        Self::receive(self, into)
    }
}

/// The guest's way to the world and back.
#[derive(Debug)]
pub struct Outlet<D> {
    device: D,
    released: u64,
    refused: u64,
}

impl<D: Device> Outlet<D> {
    /// Takes over an open device.
    pub fn new(device: D) -> Self {
        Self {
            device,
            released: 0,
            refused: 0,
        }
    }

    /// Lets the outputs of an acknowledged epoch go, in order.
    pub fn release_epoch(&mut self, permit: &Acked, hold: &mut Hold) {
        hold.settle(permit.epoch(), |log| self.emit_all(log));
    }

    /// Lets everything go that was held: this engine runs the only copy.
    pub fn release_all(&mut self, _permit: &Solo, hold: &mut Hold) {
        hold.settle_all(|log| self.emit_all(log));
    }

    /// Lets one packet go at once.
    pub fn release_packet(&mut self, _permit: &Solo, packet: &[u8]) {
        self.emit(packet);
    }

    /// Sends again what the former primary may or may not have let go; a network may repeat packets.
    pub fn replay(&mut self, _permit: &Solo, log: &PacketLog) {
        self.emit_all(log);
    }

    /// One frame from the world; `None` if none is waiting.
    ///
    /// # Errors
    /// Whatever read(2) reports.
    pub fn receive(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        self.device.receive(into)
    }

    /// Packets let go since the start.
    pub fn released(&self) -> u64 {
        self.released
    }

    fn emit_all(&mut self, log: &PacketLog) {
        for packet in log.iter() {
            self.emit(packet);
        }
    }

    fn emit(&mut self, packet: &[u8]) {
        match self.device.send(packet) {
            Ok(()) => self.released += 1,
            Err(error) => {
                // As on a wire that is cut: the sender's protocol repeats it. Said at 1, 2, 4, 8 … so as not to flood.
                self.refused += 1;
                if self.refused.is_power_of_two() {
                    tracing::warn!(tap = self.device.name(), count = self.refused, %error, "the TAP device refused a packet");
                }
            }
        }
    }
}

impl<D: AsFd> AsFd for Outlet<D> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}
