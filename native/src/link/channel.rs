//! What carries a link's bytes.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Transport;
use super::secure::SecureStream;

/// A connection to the other engine.
#[derive(Debug)]
pub enum Channel {
    /// Open to everybody on the way.
    Plain(TcpStream),
    /// TLS.
    Secure(Box<SecureStream>),
}

impl Channel {
    /// The TCP connection under it.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Secure(stream) => stream.socket(),
        }
    }

    /// Ends the greeting, in which reads and writes block.
    pub(super) fn establish(&self) -> io::Result<()> {
        let socket = self.socket();
        socket.set_read_timeout(None)?;
        socket.set_write_timeout(None)?;
        socket.set_nonblocking(true)?;
        unpace(socket);
        Ok(())
    }
}

/// An epoch is one burst on a link of its own, and outputs wait for its end: a congestion control that paces (BBR, which some
/// hosts have as default) spreads it over the round trips that it has measured.
fn unpace(socket: &TcpStream) {
    if let Err(error) = rustix::net::sockopt::set_tcp_congestion(socket, "cubic") {
        tracing::info!(%error, "the sync link keeps the host's congestion control");
    }
}

impl Transport for Channel {
    fn wait_writable(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(self, PollFlags::OUT)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Secure(stream) => stream.wants_write(),
        }
    }
}

impl Read for Channel {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Secure(stream) => stream.read(into),
        }
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Secure(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write_vectored(pieces),
            Self::Secure(stream) => stream.write_vectored(pieces),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Secure(stream) => stream.flush(),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}
