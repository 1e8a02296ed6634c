//! The TCP connection to the other engine, once the greetings have been exchanged, and the two ways to get one: the
//! primary dials, the secondary listens.

mod channel;
pub(crate) mod complaints;
mod connect;
mod dialer;
mod greeting;
mod listener;
mod opening;
mod pulse;
pub mod secure;
mod transport;
mod turnstile;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use self::pulse::{Pulse, Verdict};
use crate::clock::Clock;
use crate::limits::HEARTBEAT;
use crate::wire::{
    ControlKind, Direction, Encoder, Filled, FrameError, FrameReader, Outgoing, Progress, Refuse,
};

#[cfg(test)]
mod tests;

pub use channel::Channel;
#[cfg(test)]
pub(crate) use dialer::greet;
pub use dialer::{Answer, Dial, DialError, Dialed, Dialer, understand};
#[cfg(test)]
pub(crate) use listener::listen_to;
pub use listener::{Caller, Door, ListenError, Listener};
pub use opening::{Opened, OpeningError, answer, call};
pub use secure::{Key, KeyError, SecureError};
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
    /// The peer sent a message that cannot be read.
    #[error("the peer sent a message that cannot be read")]
    Message(#[from] crate::wire::HelloError),
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
    /// The connection did not begin as it should.
    #[error(transparent)]
    Opening(#[from] OpeningError),
    /// The connection could not be made a secure one.
    #[error(transparent)]
    Secure(#[from] SecureError),
    /// The peer does not want us.
    #[error("the peer refuses: {}", .0.message)]
    Refused(Refuse),
    /// Another connection has taken its place.
    #[error("the peer has connected anew")]
    Replaced,
}

impl LinkError {
    /// The kind of fault, for counting.
    fn kind(&self) -> &'static str {
        match self {
            Self::Io(error) if opening::is_late(error) => "silent",
            Self::Closed => "closed",
            Self::Io(_) => "failed",
            Self::Frame(FrameError::Version { .. }) => "version",
            Self::Frame(FrameError::Session { .. }) => "session",
            Self::Opening(OpeningError::Key(_)) => "own-key",
            Self::Opening(_) => "transport",
            Self::Secure(SecureError::ForeignKey { .. } | SecureError::KeyRefused { .. }) => "key",
            Self::Secure(_) => "tls",
            _ => "protocol",
        }
    }
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
    /// What was written, and when that was last seen to change or nothing waited.
    progress: (Written, Instant),
    /// Reads that brought something.
    arrivals: u64,
    pulse: Pulse,
}

/// Bytes taken from [`Outgoing`], and whether some of them wait in the transport.
type Written = (u64, bool);

impl<T: Transport> Link<T> {
    /// Goes on after the greeting.
    pub fn new(opened: Opened<T>, now: Instant) -> Self {
        let pulse = Pulse::new(opened.outgoing.bytes_written(), now);
        Self {
            transport: opened.channel,
            reader: opened.reader,
            outgoing: opened.outgoing,
            confirmed: false,
            direction: opened.direction,
            progress: ((0, false), now),
            arrivals: 0,
            pulse,
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
            Filled::Progress | Filled::Full => {
                self.arrivals += 1;
                Ok(true)
            }
            Filled::WouldBlock => Ok(false),
            Filled::Eof => Err(LinkError::Closed),
        }
    }

    /// Whether something waits to be written, here or in the transport: the link should be polled for it then.
    pub fn wants_write(&self) -> bool {
        !self.outgoing.is_empty() || self.transport.wants_write()
    }

    /// Writes what the connection takes. `Pending` while anything waits; the body is free when `outgoing` is empty.
    ///
    /// # Errors
    /// [`LinkError::Io`].
    pub fn flush(&mut self, body: &[u8]) -> Result<Progress, LinkError> {
        let progress = self.outgoing.write_to(&mut self.transport, body)?;
        if progress == Progress::Pending {
            return Ok(progress);
        }
        match self.transport.flush() {
            Ok(()) => Ok(Progress::Done),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Progress::Pending),
            Err(error) => Err(error.into()),
        }
    }

    /// How many of the bytes of [`Outgoing::bytes_written`] the peer may have, at most. What is encrypted is of no use
    /// without its end: while some of it waits in the transport, the last byte is not there.
    pub fn sent_at_most(&self) -> u64 {
        self.outgoing.bytes_written() - u64::from(self.transport.wants_write())
    }

    /// Tells a silent peer that we are here, if that is due. To be asked in every turn, after what has arrived was read.
    ///
    /// # Errors
    /// [`LinkError::Silent`] if the peer has been silent for too long.
    pub fn keep_alive(&mut self, now: Instant) -> Result<(), LinkError> {
        let said = self.outgoing.bytes_written();
        match self.pulse.look(self.arrivals, said, now) {
            Verdict::Silent(waited) => Err(LinkError::Silent {
                what: "said anything",
                waited,
            }),
            // What waits will be a sign of life when it gets there.
            Verdict::Due if !self.wants_write() => {
                self.encoder().control(ControlKind::Heartbeat, 0, 0, &[]);
                self.flush(&[]).map(|_| ())
            }
            Verdict::Due | Verdict::Quiet => Ok(()),
        }
    }

    /// Only the first half of [`Link::keep_alive`], for one that is too busy to read. A failure is found out later.
    pub fn say_alive(&mut self, now: Instant) {
        if self.pulse.is_due(self.outgoing.bytes_written(), now) && !self.wants_write() {
            self.encoder().control(ControlKind::Heartbeat, 0, 0, &[]);
            if let Err(error) = self.flush(&[]) {
                tracing::debug!(%error, "a heartbeat could not be sent");
            }
        }
    }

    /// When [`Link::keep_alive`] should be asked again at the latest.
    pub fn next_look(&self) -> Instant {
        self.pulse.next_look()
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
        self.progress = (self.written(), clock.now());
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

    fn written(&self) -> Written {
        (self.outgoing.bytes_written(), self.transport.wants_write())
    }

    /// How long the peer has taken nothing of what waits, as far as these calls have seen: one in every turn.
    pub fn stalled(&mut self, now: Instant) -> Duration {
        let written = self.written();
        if !self.wants_write() || written != self.progress.0 {
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
