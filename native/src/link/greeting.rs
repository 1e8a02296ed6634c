//! Blocking exchange of the first frames, with one deadline for the whole of it.

use std::io::{self, Write};
use std::time::Instant;

use super::opening::left;
use super::{Channel, LinkError};
use crate::wire::{Filled, Frame, FrameReader, Outgoing, Progress};

/// Waits for the next frame and passes it to `take`.
pub(super) fn receive<T>(
    channel: &mut Channel,
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
        channel.socket().set_read_timeout(Some(left(deadline)?))?;
        match reader.fill(channel)? {
            Filled::Progress | Filled::Full => {}
            Filled::Eof => return Err(LinkError::Closed),
            Filled::WouldBlock => _ = left(deadline)?,
        }
    }
}

/// Sends everything in `outgoing`.
pub(super) fn send(
    channel: &mut Channel,
    outgoing: &mut Outgoing,
    deadline: Instant,
) -> Result<(), LinkError> {
    channel.socket().set_write_timeout(Some(left(deadline)?))?;
    match outgoing.write_to(channel, &[])? {
        // Too late if it would still block.
        Progress::Done => Ok(channel.flush()?),
        Progress::Pending => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}
