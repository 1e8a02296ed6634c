//! The TCP connection to the other engine, once the greetings have been exchanged, and the two ways to get one: the
//! primary dials, the secondary listens.

mod dialer;
mod greeting;
mod listener;
mod transport;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::limits::HEARTBEAT;
use crate::wire::{Direction, Encoder, Filled, FrameError, FrameReader, Outgoing, Progress};

pub use dialer::{Dial, DialError, Dialer};
pub use listener::{Caller, Door, ListenError, Listener};
pub use transport::Transport;

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
    /// The peer sent a change of something that is not here as the peer believes.
    #[error("{base} of the replica is not what the peer changes: the replica is discarded")]
    ForeignBase {
        /// What it is.
        base: crate::wire::Committed,
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

/// An established connection. Neither reads nor writes block.
#[derive(Debug)]
pub struct Link<T> {
    transport: T,
    /// What arrives.
    pub reader: FrameReader,
    /// What waits to be sent.
    pub outgoing: Outgoing,
    /// The peer has acknowledged something on this connection: it is really there.
    pub confirmed: bool,
    direction: Direction,
    /// Bytes written, and when that was last seen to change or nothing waited.
    progress: (u64, Instant),
}

impl<T: Transport> Link<T> {
    /// Goes on after the greeting.
    pub(crate) fn new(
        transport: T,
        reader: FrameReader,
        outgoing: Outgoing,
        direction: Direction,
        now: Instant,
    ) -> Self {
        Self {
            transport,
            reader,
            outgoing,
            confirmed: false,
            direction,
            progress: (0, now),
        }
    }

    /// Where to put frames to send.
    pub fn encoder(&mut self) -> Encoder<'_> {
        self.direction.encoder(&mut self.outgoing)
    }

    /// Reads what has arrived; frames are then taken from [`Link::reader`].
    ///
    /// # Errors
    /// [`LinkError::Closed`] or [`LinkError::Io`].
    pub fn fill(&mut self) -> Result<bool, LinkError> {
        match self.reader.fill(&mut self.transport)? {
            Filled::Progress | Filled::Full => Ok(true),
            Filled::WouldBlock => Ok(false),
            Filled::Eof => Err(LinkError::Closed),
        }
    }

    /// Writes what the connection takes.
    ///
    /// # Errors
    /// [`LinkError::Io`].
    pub fn flush(&mut self, body: &[u8]) -> Result<Progress, LinkError> {
        Ok(self.outgoing.write_to(&mut self.transport, body)?)
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
        clock: &impl Clock,
        mut meanwhile: impl FnMut(),
    ) -> Result<(), LinkError> {
        self.progress = (self.outgoing.bytes_written(), clock.now());
        while self.flush(body)? == Progress::Pending {
            meanwhile();
            let waited = self.stalled(clock.now());
            if waited >= patience {
                return Err(LinkError::Silent {
                    what: "taken our data",
                    waited,
                });
            }
            self.transport.wait_writable(HEARTBEAT.min(patience))?;
        }
        Ok(())
    }

    /// How long the peer has taken nothing of what waits, as far as these calls have seen: one in every turn.
    pub fn stalled(&mut self, now: Instant) -> Duration {
        let written = self.outgoing.bytes_written();
        if self.outgoing.is_empty() || written != self.progress.0 {
            self.progress = (written, now);
        }
        now.saturating_duration_since(self.progress.1)
    }
}

impl<T: AsFd> AsFd for Link<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}
