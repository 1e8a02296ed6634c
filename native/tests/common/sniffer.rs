//! Sees every frame of the namespace.

use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with};

use super::GUEST_MAC;

/// `ETH_P_ALL` in network byte order (packet(7)).
const EVERY_PROTOCOL: u32 = 0x0003_u16.to_be() as u32;

/// A packet socket on all interfaces.
pub struct Sniffer {
    socket: OwnedFd,
}

impl Sniffer {
    /// Sees frames from now on.
    pub fn new() -> Self {
        let protocol = std::num::NonZero::new(EVERY_PROTOCOL).map(Protocol::from_raw);
        let socket = socket_with(
            AddressFamily::PACKET,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        );
        Self {
            socket: socket.expect("a packet socket"),
        }
    }

    /// Frames that left the guest since the last call. One that did not fit the socket's buffer is not counted, but then
    /// there are many.
    pub fn guest_frames(&self) -> usize {
        let (mut count, mut frame) = (0, [0; 64]);
        while let Ok((length, _)) = recv(&self.socket, &mut frame, RecvFlags::DONTWAIT) {
            if length >= 12 && frame[6..12] == GUEST_MAC {
                count += 1;
            }
        }
        count
    }
}
