//! Sees every frame of the namespace.

use std::os::fd::OwnedFd;

use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with};

use super::GUEST_MACS;

/// `ETH_P_ALL` in network byte order (packet(7)).
const EVERY_PROTOCOL: u32 = 0x0003_u16.to_be() as u32;

/// Frames of a while, with what the kernel needs for each.
const BUFFER_BYTES: usize = 128 << 20;
/// Longest frame that the guest's card sends.
const FRAME_MAX_BYTES: usize = 70_000;

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
        let socket = socket.expect("a packet socket");
        // Nothing must be lost while nobody asks.
        set_socket_recv_buffer_size_force(&socket, BUFFER_BYTES).expect("a large buffer");
        Self { socket }
    }

    /// Frames that left the guest since the last call. One that did not fit the socket's buffer is not counted, but then
    /// there are many.
    pub fn guest_frames(&self) -> usize {
        self.take_frames().len()
    }

    /// The same, and what was in them. Each is seen on every interface that it passes.
    pub fn take_frames(&self) -> Vec<Vec<u8>> {
        let (mut frames, mut frame) = (Vec::new(), vec![0; FRAME_MAX_BYTES]);
        while let Ok((length, _)) = recv(&self.socket, &mut frame[..], RecvFlags::DONTWAIT) {
            if length >= 12 && GUEST_MACS.iter().any(|mac| frame[6..12] == *mac) {
                frames.push(frame[..length].to_vec());
            }
        }
        frames
    }
}
