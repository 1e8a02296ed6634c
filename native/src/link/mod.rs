//! The TCP connection to the other engine, once the greetings have been exchanged, and the two ways to get one: the
//! primary dials, the secondary listens.

mod dialer;
mod greeting;
mod listener;

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::limits::HEARTBEAT;
use crate::wire::{Direction, Encoder, Filled, FrameError, FrameReader, Outgoing, Progress};

pub use dialer::{DialError, Dialer};
pub use listener::{Caller, ListenError, Listener};

/// Why a link came to its end.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Closed,
    /// The kernel reported a failure.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The peer sent what cannot be a frame.
    #[error("the peer sent a bad frame")]
    Frame(#[from] FrameError),
    /// The peer sent a transaction that does not fit.
    #[error("the peer sent a transaction that does not fit")]
    Violation(#[from] crate::wire::Violation),
    /// The peer sent baseline pages that do not fit.
    #[error("the peer sent pages that do not fit")]
    Pages(#[from] crate::wire::PagesError),
    /// The peer sent a change of a page that is not here as the peer believes.
    #[error("page {page} of the replica is not what the peer changes: the replica is discarded")]
    ForeignBase {
        /// Which page.
        page: u64,
    },
    /// The peer sent a frame out of turn.
    #[error("the peer sent {found:?} while {state}")]
    Turn {
        /// What it sent.
        found: crate::wire::FrameKind,
        /// What was going on.
        state: &'static str,
    },
    /// The peer is there but does not answer.
    #[error("the peer has not {what} for {} ms", .waited.as_millis())]
    Silent {
        /// What it should have done.
        what: &'static str,
        /// For how long we waited.
        waited: Duration,
    },
    /// Another connection has taken its place.
    #[error("the peer has connected anew")]
    Replaced,
}

/// An epoch is one burst on a link of its own, and outputs wait for its end: a congestion control that paces (BBR, which some
/// hosts have as default) spreads it over the round trips that it has measured.
fn unpace(socket: &TcpStream) {
    if let Err(error) = rustix::net::sockopt::set_tcp_congestion(socket, "cubic") {
        tracing::info!(%error, "the sync link keeps the host's congestion control");
    }
}

/// An established connection. Neither reads nor writes block.
#[derive(Debug)]
pub struct Link {
    socket: TcpStream,
    /// What arrives.
    pub reader: FrameReader,
    /// What waits to be sent.
    pub outgoing: Outgoing,
    /// The peer has acknowledged something on this connection: it is really there.
    pub confirmed: bool,
    direction: Direction,
    last_progress: Instant,
}

impl Link {
    fn new(
        socket: TcpStream,
        reader: FrameReader,
        outgoing: Outgoing,
        direction: Direction,
    ) -> io::Result<Self> {
        socket.set_read_timeout(None)?;
        socket.set_write_timeout(None)?;
        socket.set_nonblocking(true)?;
        unpace(&socket);
        Ok(Self {
            socket,
            reader,
            outgoing,
            confirmed: false,
            direction,
            last_progress: Instant::now(),
        })
    }

    /// Where to put frames to send.
    pub fn encoder(&mut self) -> Encoder<'_> {
        if self.outgoing.is_empty() {
            self.last_progress = Instant::now();
        }
        self.direction.encoder(&mut self.outgoing)
    }

    /// Reads what has arrived; frames are then taken from [`Link::reader`].
    ///
    /// # Errors
    /// [`LinkError::Closed`] or [`LinkError::Io`].
    pub fn fill(&mut self) -> Result<bool, LinkError> {
        match self.reader.fill(&mut self.socket)? {
            Filled::Progress | Filled::Full => Ok(true),
            Filled::WouldBlock => Ok(false),
            Filled::Eof => Err(LinkError::Closed),
        }
    }

    /// Writes what the socket takes.
    ///
    /// # Errors
    /// [`LinkError::Io`].
    pub fn flush(&mut self, body: &[u8]) -> Result<Progress, LinkError> {
        let before = self.outgoing.bytes_written();
        let progress = self.outgoing.write_to(&mut self.socket, body)?;
        if self.outgoing.bytes_written() != before {
            self.last_progress = Instant::now();
        }
        Ok(progress)
    }

    /// Writes everything, waiting for the peer to take it, but no longer than `patience` without progress; calls
    /// `meanwhile` again and again.
    ///
    /// # Errors
    /// [`LinkError::Io`] or [`LinkError::Silent`].
    pub fn flush_all(
        &mut self,
        body: &[u8],
        patience: Duration,
        mut meanwhile: impl FnMut(),
    ) -> Result<(), LinkError> {
        while self.flush(body)? == Progress::Pending {
            meanwhile();
            let waited = self.stalled();
            if waited >= patience {
                return Err(LinkError::Silent {
                    what: "taken our data",
                    waited,
                });
            }
            let timeout = Timespec::try_from(HEARTBEAT.min(patience)).map_err(io::Error::other)?;
            match poll(
                &mut [PollFd::new(&self.socket, PollFlags::OUT)],
                Some(&timeout),
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(LinkError::Io(error.into())),
            }
        }
        Ok(())
    }

    /// How long the peer has taken nothing of what waits.
    pub fn stalled(&self) -> Duration {
        if self.outgoing.is_empty() {
            Duration::ZERO
        } else {
            self.last_progress.elapsed()
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
