//! What carries the bytes of a link: a TCP connection, or a simulated one.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A byte stream in both directions whose reads and writes do not block: they report `WouldBlock` instead.
pub trait Transport: Read + Write {
    /// Waits until something can be written, or `timeout` has passed; which of the two does not matter.
    ///
    /// # Errors
    /// Whatever waiting reports; the connection is of no more use then.
    fn wait_writable(&mut self, timeout: Duration) -> io::Result<()>;
}

impl Transport for TcpStream {
    fn wait_writable(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(self, PollFlags::OUT)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// An epoch is one burst on a link of its own, and outputs wait for its end: a congestion control that paces (BBR, which some
/// hosts have as default) spreads it over the round trips that it has measured.
fn unpace(socket: &TcpStream) {
    if let Err(error) = rustix::net::sockopt::set_tcp_congestion(socket, "cubic") {
        tracing::info!(%error, "the sync link keeps the host's congestion control");
    }
}

/// Ends the greeting, in which reads and writes block.
pub(super) fn established(socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_read_timeout(None)?;
    socket.set_write_timeout(None)?;
    socket.set_nonblocking(true)?;
    unpace(&socket);
    Ok(socket)
}
