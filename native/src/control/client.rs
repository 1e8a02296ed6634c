//! One connection to the control socket: whole lines in, bounded lines out.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use serde::Serialize;

use super::limits::{MAX_LINE, MAX_QUEUED};

/// What the connection has to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A whole line, without its newline.
    Whole(Vec<u8>),
    /// A line beyond the bound; nothing after it can be trusted.
    TooLong,
}

#[derive(Debug)]
pub(super) struct Client {
    /// Never used again for another connection.
    pub(super) key: u64,
    /// Whether it wants events.
    pub(super) subscribed: bool,
    /// Orders that have not been answered.
    pub(super) pending_orders: usize,
    stream: UnixStream,
    incoming: Vec<u8>,
    searched: usize,
    outgoing: Vec<u8>,
    written: usize,
    read_ended: bool,
    dead: bool,
}

impl Client {
    pub(super) fn new(key: u64, stream: UnixStream) -> Self {
        Self {
            key,
            subscribed: false,
            pending_orders: 0,
            stream,
            incoming: Vec::new(),
            searched: 0,
            outgoing: Vec::new(),
            written: 0,
            read_ended: false,
            dead: false,
        }
    }

    /// Whether there may be more to read.
    pub(super) fn wants_to_read(&self) -> bool {
        !self.read_ended && !self.dead
    }

    /// Whether something waits to be written.
    pub(super) fn wants_to_write(&self) -> bool {
        !self.outgoing.is_empty() && !self.dead
    }

    /// Whether nothing more will come of it.
    pub(super) fn is_finished(&self) -> bool {
        let silent = self.outgoing.is_empty() && self.pending_orders == 0 && !self.subscribed;
        self.dead || (self.read_ended && silent)
    }

    /// The other end is gone for good.
    pub(super) fn hang_up(&mut self) {
        self.dead = true;
    }

    /// Reads nothing more; what is queued is still delivered.
    pub(super) fn stop_reading(&mut self) {
        self.read_ended = true;
        self.subscribed = false;
        self.incoming = Vec::new();
        self.searched = 0;
    }

    /// Reads once; the lines are then taken with `next_line`.
    pub(super) fn fill(&mut self) {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.read_ended = true,
            Ok(bytes) => self.incoming.extend_from_slice(&chunk[..bytes]),
            Err(error) => self.tolerate(&error),
        }
    }

    pub(super) fn next_line(&mut self) -> Option<Line> {
        let Some(newline) = self.incoming[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n')
        else {
            self.searched = self.incoming.len();
            return (self.searched > MAX_LINE).then_some(Line::TooLong);
        };
        let length = self.searched + newline;
        self.searched = 0;
        if length > MAX_LINE {
            return Some(Line::TooLong);
        }
        let mut line: Vec<u8> = self.incoming.drain(..=length).collect();
        line.pop();
        Some(Line::Whole(line))
    }

    /// Queues one message. A client that lets too much wait is given up.
    pub(super) fn say(&mut self, message: &impl Serialize) {
        if self.dead {
            return;
        }
        if serde_json::to_writer(&mut self.outgoing, message).is_err() {
            self.dead = true;
            return;
        }
        self.outgoing.push(b'\n');
        self.flush();
        if self.outgoing.len() - self.written > MAX_QUEUED {
            tracing::warn!(
                client = self.key,
                "a control client that does not read was closed"
            );
            self.dead = true;
        }
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&mut self) {
        while self.written < self.outgoing.len() && !self.dead {
            match self.stream.write(&self.outgoing[self.written..]) {
                Ok(0) => self.dead = true,
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => self.tolerate(&error),
            }
        }
        self.outgoing.drain(..self.written);
        self.written = 0;
    }

    fn tolerate(&mut self, error: &io::Error) {
        if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
            self.dead = true;
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
