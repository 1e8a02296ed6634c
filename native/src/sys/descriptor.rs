//! Pairs of sockets, and descriptors that come through one.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};

/// A connected pair of datagram sockets, each able to queue `bytes` bytes.
///
/// # Errors
/// Whatever socketpair(2) or setsockopt(2) report; raising the limit needs `CAP_NET_ADMIN`.
pub fn datagram_pair(bytes: usize) -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = socketpair(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    for end in [&one, &other] {
        // Beyond net.core.wmem_max only the privileged form works.
        rustix::net::sockopt::set_socket_send_buffer_size_force(end, bytes)?;
    }
    Ok((one, other))
}

/// A connected pair of sockets that keep messages apart, and whose end shows at the other end.
///
/// # Errors
/// Whatever socketpair(2) reports.
pub fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = SocketType::SEQPACKET;
    Ok(socketpair(
        AddressFamily::UNIX,
        kind,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Receives the two descriptors that the preload library sends.
///
/// # Errors
/// The library's error number, or that the peer closed the socket or was silent for the socket's time-out.
pub fn receive(socket: &UnixStream) -> io::Result<[OwnedFd; 2]> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0u8; 1];
    let mut content = [io::IoSliceMut::new(&mut byte)];
    let received = recvmsg(
        socket.as_fd(),
        &mut content,
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the socket was closed without a word",
        ));
    }
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message
            && let (Some(one), Some(other)) = (descriptors.next(), descriptors.next())
        {
            return Ok([one, other]);
        }
    }
    Err(io::Error::from_raw_os_error(i32::from(byte[0])))
}
