//! How a connection begins: in clear or within TLS, and then with the two frames that make its session.
//!
//! ```text
//!  caller                                 called
//!    │ TLS handshake (unless set to plain)  │  each shows that it has the one key
//!    │ ◀──────────────────────────────────▶ │
//!    │ Call                                 │
//!    │ ───────────────────────────────────▶ │
//!    │                            Challenge │
//!    │ ◀─────────────────────────────────── │
//!    │ Hello, and all that follows, in the session
//! ```
//!
//! Whoever begins otherwise is told why, in clear if that is what it speaks, and gets no further. All of it blocks, with
//! one deadline.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::secure::{self, Key, KeyError, SecureError};
use super::{Channel, LinkError, greeting};
use crate::limits::FORGOTTEN_MAX_BYTES;
use crate::spec::TransportChoice;
use crate::wire::{
    ControlKind, Direction, Frame, FrameError, FrameKind, FrameReader, Half, Outgoing, Refuse,
    RefuseCode, session,
};

/// First byte of a frame: the `K` of its magic.
pub(super) const FRAME_BYTE: u8 = b'K';
/// First byte of a TLS record with a handshake message.
const TLS_BYTE: u8 = 0x16;

/// Why a connection did not begin.
#[derive(Debug, thiserror::Error)]
pub enum OpeningError {
    /// Ours is to be encrypted, theirs not.
    #[error("{WITHOUT_TLS}")]
    WithoutTls,
    /// Theirs is to be encrypted, ours not.
    #[error("{WITH_TLS}")]
    WithTls,
    /// Ours is to be encrypted, and somebody refuses us in clear: nobody knows who, so its words are not passed on.
    #[error("whoever is there speaks without TLS and refuses us ({code:?})")]
    RefusedInClear {
        /// Why.
        code: RefuseCode,
    },
    /// It is something else.
    #[error("the peer is no Kemari: it begins with the byte {found:#04x}")]
    Stranger {
        /// Its first byte.
        found: u8,
    },
    /// Our key is not usable.
    #[error(transparent)]
    Key(#[from] KeyError),
}

const WITHOUT_TLS: &str = "one side of the link is set to plain TCP and the other to TLS (here): set the same \
                           \"transport\" in the VM's config on both hosts";
const WITH_TLS: &str = "one side of the link is set to TLS and the other to plain TCP (here): set the same \
                        \"transport\" in the VM's config on both hosts";

/// What both sides have after the beginning.
#[derive(Debug)]
pub struct Opened<T> {
    pub(crate) channel: T,
    pub(crate) reader: FrameReader,
    pub(crate) outgoing: Outgoing,
    pub(super) direction: Direction,
}

impl<T> Opened<T> {
    /// Before the first frame.
    pub fn new(channel: T) -> Self {
        Self::with_reader(channel, FrameReader::new())
    }

    /// The same, with a reader for this connection.
    pub fn with_reader(channel: T, reader: FrameReader) -> Self {
        Self {
            channel,
            reader,
            outgoing: Outgoing::new(),
            direction: Direction::new(),
        }
    }

    /// From here on all frames bear this session.
    pub(crate) fn join(&mut self, session: u64) {
        self.direction.join(session);
        self.reader.join(session);
    }
}

impl Opened<Channel> {
    fn say(
        &mut self,
        kind: ControlKind,
        payload: &[u8],
        deadline: Instant,
    ) -> Result<(), LinkError> {
        self.direction
            .encoder(&mut self.outgoing)
            .control(kind, 0, 0, payload);
        greeting::send(&mut self.channel, &mut self.outgoing, deadline)
    }

    /// Waits for the next frame and passes it to `take`.
    pub(super) fn hear<T>(
        &mut self,
        deadline: Instant,
        take: impl FnOnce(Frame<'_>) -> T,
    ) -> Result<T, LinkError> {
        greeting::receive(&mut self.channel, &mut self.reader, deadline, take)
    }
}

/// Begins as the one who calls.
///
/// # Errors
/// A [`LinkError`], also if it is not there at the `deadline`.
pub fn call(
    socket: TcpStream,
    choice: &TransportChoice,
    deadline: Instant,
) -> Result<Opened<Channel>, LinkError> {
    let channel = match choice {
        TransportChoice::Plain => Channel::Plain(socket),
        TransportChoice::Tls { key } => {
            let key = Key::read(key).map_err(OpeningError::from)?;
            match secure::connect(&socket, key, deadline) {
                Ok(stream) => Channel::Secure(Box::new(stream)),
                Err(LinkError::Secure(SecureError::WithoutTls)) => {
                    return Err(hear_refusal(socket, deadline));
                }
                Err(error) => return Err(error),
            }
        }
    };
    let mut opened = Opened::new(channel);
    let call = Half::random();
    opened.say(ControlKind::Call, call.payload(), deadline)?;
    let challenge = opened.hear(deadline, |frame| {
        if frame.header.kind == FrameKind::Refuse {
            return Err(refused(frame));
        }
        Ok(Half::from_frame(&frame, FrameKind::Challenge)?)
    })??;
    opened.join(session(call, challenge));
    Ok(opened)
}

/// What a peer that does not speak TLS says about it.
fn hear_refusal(socket: TcpStream, deadline: Instant) -> LinkError {
    let heard =
        Opened::new(Channel::Plain(socket)).hear(deadline, |frame| match frame.header.kind {
            FrameKind::Refuse => match Refuse::from_payload(frame.payload) {
                Ok(Refuse { code, .. }) if code != RefuseCode::Transport => {
                    OpeningError::RefusedInClear { code }.into()
                }
                _ => OpeningError::WithoutTls.into(),
            },
            _ => OpeningError::WithoutTls.into(),
        });
    heard.unwrap_or_else(|error| error)
}

fn refused(frame: Frame<'_>) -> LinkError {
    match Refuse::from_payload(frame.payload) {
        Ok(refuse) => LinkError::Refused(refuse),
        Err(error) => io::Error::other(error).into(),
    }
}

/// Begins as the one who is called. The caller is told why not.
///
/// # Errors
/// A [`LinkError`], also if it is not there at the `deadline`.
pub fn answer(
    socket: TcpStream,
    choice: &TransportChoice,
    deadline: Instant,
) -> Result<Opened<Channel>, LinkError> {
    let channel = match (choice, first_byte(&socket, deadline)?) {
        (TransportChoice::Tls { key }, TLS_BYTE) => {
            let key = Key::read(key).map_err(OpeningError::from)?;
            Channel::Secure(Box::new(secure::accept(&socket, key, deadline)?))
        }
        (TransportChoice::Plain, FRAME_BYTE) => Channel::Plain(socket),
        (TransportChoice::Tls { .. }, FRAME_BYTE) => {
            let mut opened = Opened::new(Channel::Plain(socket));
            // An older engine, perhaps: then that is what is wrong.
            let error = match opened.hear(deadline, |_| ()) {
                Ok(()) => OpeningError::WithoutTls.into(),
                Err(error) => error,
            };
            return Err(send_away(opened, error, deadline));
        }
        (TransportChoice::Plain, TLS_BYTE) => {
            let opened = Opened::new(Channel::Plain(socket));
            return Err(send_away(opened, OpeningError::WithTls.into(), deadline));
        }
        (_, found) => return Err(OpeningError::Stranger { found }.into()),
    };
    let mut opened = Opened::new(channel);
    let call = opened
        .hear(deadline, |frame| Half::from_frame(&frame, FrameKind::Call))
        .and_then(|half| Ok(half?));
    let call = match call {
        Ok(call) => call,
        Err(error) => return Err(send_away(opened, error, deadline)),
    };
    let challenge = Half::random();
    opened.say(ControlKind::Challenge, challenge.payload(), deadline)?;
    opened.join(session(call, challenge));
    Ok(opened)
}

/// Tells a caller what is wrong with it, and waits until it can have read that. Returns what is wrong.
fn send_away(mut opened: Opened<Channel>, error: LinkError, deadline: Instant) -> LinkError {
    let code = match &error {
        LinkError::Opening(_) => RefuseCode::Transport,
        LinkError::Frame(FrameError::Version { .. }) => RefuseCode::Protocol,
        LinkError::Frame(_) => RefuseCode::BadHello,
        _ => return error,
    };
    let message = crate::report::chain(&error);
    if let Ok(payload) = (Refuse { code, message }).to_payload()
        && opened.say(ControlKind::Refuse, &payload, deadline).is_ok()
    {
        drain(opened.channel.socket(), deadline);
    }
    error
}

/// What the peer begins with; nothing is taken.
pub(super) fn first_byte(socket: &TcpStream, deadline: Instant) -> Result<u8, LinkError> {
    let mut byte = [0];
    loop {
        socket.set_read_timeout(Some(left(deadline)?))?;
        match socket.peek(&mut byte) {
            Ok(0) => return Err(LinkError::Closed),
            Ok(_) => return Ok(byte[0]),
            Err(error) if is_late(&error) => _ = left(deadline)?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads and forgets until the peer closes: a close with something unread would take back what was said last. Not beyond
/// the `deadline`, and no more than anybody has to say who would listen.
pub(super) fn drain(mut socket: &TcpStream, deadline: Instant) {
    let _ = socket.flush();
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let (mut bytes, mut forgotten) = ([0; 4096], 0);
    while let Ok(left) = left(deadline)
        && forgotten < FORGOTTEN_MAX_BYTES
        && socket.set_read_timeout(Some(left)).is_ok()
    {
        match socket.read(&mut bytes) {
            Ok(0) => return,
            Ok(read) => forgotten += read,
            Err(_) => {}
        }
    }
}

/// Whether a read or a write came to nothing only because its time was over.
pub(super) fn is_late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// The time until the deadline.
///
/// # Errors
/// `TimedOut` if there is none.
pub(super) fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}
