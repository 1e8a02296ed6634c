//! An encrypted connection as a stream of bytes that does not block.
//!
//! What is written is encrypted at once and handed to the kernel as far as that takes it; at most one piece
//! ([`PIECE_BYTES`]) waits here, and nothing more is taken before it has gone. What is read is decrypted at once and
//! handed on: but for the beginning of a record nothing stays here, so that the socket's readiness tells all there is.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use rustls::Connection;

use super::{Key, SecureError};

/// Most plaintext taken at once: seven records. More would not stay in the allocator's pool, and not in a cache either.
const PIECE_BYTES: usize = 7 << 14;
/// Room for what one read of the socket brings.
const ARRIVED_BYTES: usize = 256 << 10;
/// Most bytes of one record on the wire (RFC 8446, 5.2).
const RECORD_MAX_BYTES: usize = 5 + (1 << 14) + 256;

/// A connection after its handshake.
pub struct SecureStream {
    socket: TcpStream,
    tls: Connection,
    key: Key,
    arrived: Box<[u8]>,
    /// Why the socket takes nothing more, to be told by the next write: what was taken before must count as taken.
    failed: Option<io::Error>,
    /// The peer has said that nothing follows.
    ended: bool,
}

impl std::fmt::Debug for SecureStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SecureStream({:?})", self.socket)
    }
}

impl SecureStream {
    pub(super) fn new(socket: TcpStream, mut tls: Connection, key: Key) -> Self {
        tls.set_buffer_limit(Some(PIECE_BYTES));
        Self {
            socket,
            tls,
            key,
            arrived: vec![0; ARRIVED_BYTES].into_boxed_slice(),
            failed: None,
            ended: false,
        }
    }

    /// What carries it.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether something waits here to be handed to the kernel.
    pub fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Hands to the kernel what waits.
    fn push(&mut self) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Moves what is decrypted.
    fn take(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut taken = 0;
        while taken < into.len() && !self.ended {
            match self.tls.reader().read(&mut into[taken..]) {
                Ok(0) => self.ended = true,
                Ok(bytes) => taken += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    fn decrypt(&mut self, arrived: usize, into: &mut [u8]) -> io::Result<usize> {
        let (mut read, mut taken) = (0, 0);
        while read < arrived && !self.ended {
            match self.tls.read_tls(&mut &self.arrived[read..arrived])? {
                0 => break,
                bytes => read += bytes,
            }
            if let Err(error) = self.tls.process_new_packets() {
                // The peer should hear why; that it may not changes nothing.
                let _ = self.push();
                return Err(io::Error::other(SecureError::new(error, &self.key)));
            }
            taken += self.take(&mut into[taken..])?;
        }
        Ok(taken)
    }
}

impl Read for SecureStream {
    /// Reads from the socket once. `WouldBlock` also if that brought no whole record. `into` should have room for two.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let waiting = self.take(into)?;
        if waiting > 0 || self.ended {
            return Ok(waiting);
        }
        // What begins here may end a record that began before: also then there must be room for all of it.
        let room = into.len().saturating_sub(RECORD_MAX_BYTES).max(1);
        let most = room.min(self.arrived.len());
        let arrived = self.socket.read(&mut self.arrived[..most])?;
        if arrived == 0 {
            // Without a goodbye. Frames say themselves where they end, so nothing is taken for whole that is not.
            self.ended = true;
            return Ok(0);
        }
        match self.decrypt(arrived, into)? {
            0 if !self.ended => Err(ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }
}

impl Write for SecureStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.push()?;
        let taken = self.tls.writer().write_vectored(pieces)?;
        match self.push() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => self.failed = Some(error),
            _ => {}
        }
        Ok(taken)
    }

    /// `WouldBlock` while something waits here.
    fn flush(&mut self) -> io::Result<()> {
        self.push()
    }
}

impl AsFd for SecureStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for SecureStream {
    /// Says goodbye, if that does not take any time. Not behind something that waits here: it was counted as not delivered,
    /// and must not be after that.
    fn drop(&mut self) {
        if !self.tls.wants_write() && self.socket.set_nonblocking(true).is_ok() {
            self.tls.send_close_notify();
            let _ = self.push();
        }
    }
}
