//! The device that leads to the world, and the rule of who may write to it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::permit::{Acked, Solo};
use crate::hold::{Hold, PacketLog};
use crate::interfaces::Interfaces;
use crate::sys::interface::Tap;

/// What carries packets ([`crate::interfaces`]): a TAP device for each interface, or a simulated one. Neither call blocks.
pub trait Device {
    /// The name of what carries `packet`.
    fn name(&self, packet: &[u8]) -> &str;

    /// One packet out.
    ///
    /// # Errors
    /// Whatever the device reports; the packet is lost then.
    fn send(&self, packet: &[u8]) -> io::Result<()>;

    /// One packet from the world; `None` if none is waiting.
    ///
    /// # Errors
    /// Whatever the device reports.
    fn receive(&self, into: &mut [u8]) -> io::Result<Option<usize>>;
}

impl Device for Interfaces<Tap> {
    fn name(&self, packet: &[u8]) -> &str {
        let tap = self.address(packet).map(|(tap, _)| tap);
        tap.unwrap_or(self.first()).name()
    }

    fn send(&self, packet: &[u8]) -> io::Result<()> {
        match self.address(packet) {
            Some((tap, frame)) => tap.send(frame),
            // The greeting has seen that both hosts have the same interfaces.
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn receive(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        self.receive(into, Tap::receive)
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
                    tracing::warn!(tap = self.device.name(packet), count = self.refused, %error, "the TAP device refused a packet");
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
