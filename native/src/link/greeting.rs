//! Blocking exchange of the first frames, with one deadline for the whole of it.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::LinkError;
use crate::wire::{Filled, Frame, FrameReader, Outgoing};

/// Waits for the next frame and passes it to `take`.
pub(super) fn receive<T>(
    socket: &mut TcpStream,
    reader: &mut FrameReader,
    deadline: Instant,
    take: impl FnOnce(Frame<'_>) -> T,
) -> Result<T, LinkError> {
    loop {
        // Asked before it is taken: a frame that is not complete yet must not be borrowed while more is read.
        if reader.buffered_bytes() > 0
            && let Some(frame) = reader.next()?
        {
            return Ok(take(frame));
        }
        socket.set_read_timeout(Some(left(deadline)?))?;
        match reader.fill(socket)? {
            Filled::Progress | Filled::Full => {}
            Filled::Eof => return Err(LinkError::Closed),
            Filled::WouldBlock => {
                left(deadline)?;
            }
        }
    }
}

/// Sends everything in `outgoing`.
pub(super) fn send(
    socket: &mut TcpStream,
    outgoing: &mut Outgoing,
    deadline: Instant,
) -> Result<(), LinkError> {
    socket.set_write_timeout(Some(left(deadline)?))?;
    match outgoing.write_to(socket, &[])? {
        crate::wire::Progress::Done => Ok(()),
        crate::wire::Progress::Pending => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

fn left(deadline: Instant) -> Result<Duration, LinkError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::Error::from(io::ErrorKind::TimedOut).into())
    } else {
        Ok(left)
    }
}
