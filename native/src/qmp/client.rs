//! The client: commands and their answers in order, events kept for whoever asks.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use serde_json::Value;

use super::message::{GuestEvent, Line};
use crate::limits::{QMP_LINE_MAX_BYTES, QMP_READ_BYTES, QMP_TIMEOUT};

/// Why a conversation with QEMU failed. All but [`QmpError::Refused`] mean that QEMU is lost.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// QEMU said no.
    #[error("QEMU refused {command}: {description}")]
    Refused {
        /// What was asked.
        command: &'static str,
        /// QEMU's words.
        description: String,
    },
    /// QEMU said nothing.
    #[error("QEMU did not answer {command} within {} ms", .waited.as_millis())]
    Silent {
        /// What was asked.
        command: &'static str,
        /// For how long.
        waited: Duration,
    },
    /// QEMU closed the connection.
    #[error("QEMU closed its control connection")]
    Closed,
    /// QEMU said something that is not QMP.
    #[error("QEMU sent a line that is not QMP")]
    Parse(#[source] serde_json::Error),
    /// A line without end.
    #[error("QEMU sent a line of more than {QMP_LINE_MAX_BYTES} bytes")]
    TooLong,
    /// The socket failed.
    #[error("the control connection to QEMU failed")]
    Io(#[from] io::Error),
}

/// What becomes of the events on a connection. QEMU tells them on every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// They are kept for [`Qmp::next_event`].
    Keep,
    /// Another connection keeps them.
    Drop,
}

/// A command whose answer has not been taken yet. QEMU answers in the order in which it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// A connection to one QEMU, over a socket of either kind. Of a stream QEMU takes one byte at a time, with some seven system
/// calls for each; of packets it takes a command at once, but what it says in one packet is bounded ([`QMP_READ_BYTES`]).
#[derive(Debug)]
pub struct Qmp {
    socket: OwnedFd,
    received: Vec<u8>,
    consumed: usize,
    request: Vec<u8>,
    asked: u64,
    answered: u64,
    /// The last command whose answer nobody waits for.
    unawaited: &'static str,
    events: VecDeque<GuestEvent>,
    keep: Events,
}

impl Qmp {
    /// Takes over a connected socket and reads the greeting.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn negotiate(
        socket: impl Into<OwnedFd>,
        keep: Events,
        timeout: Duration,
    ) -> Result<Self, QmpError> {
        let mut qmp = Self {
            socket: socket.into(),
            received: Vec::with_capacity(64 * 1024),
            consumed: 0,
            request: Vec::with_capacity(512),
            asked: 0,
            answered: 0,
            unawaited: "nothing",
            events: VecDeque::with_capacity(16),
            keep,
        };
        let deadline = Instant::now() + timeout;
        loop {
            match qmp.next_line(deadline)? {
                Some(Line::Greeting) => break,
                Some(_) => {}
                None => {
                    return Err(QmpError::Silent {
                        command: "the greeting",
                        waited: timeout,
                    });
                }
            }
        }
        qmp.execute("qmp_capabilities", &Value::Null)?;
        Ok(qmp)
    }

    /// Runs one command and waits for its answer.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn execute(&mut self, command: &'static str, arguments: &Value) -> Result<Value, QmpError> {
        let ticket = self.fire(command, arguments)?;
        self.wait(ticket, command)
    }

    /// Asks for a command and does not wait.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn fire(&mut self, command: &'static str, arguments: &Value) -> Result<Ticket, QmpError> {
        self.push(command, arguments)?;
        self.flush(command)?;
        self.asked += 1;
        Ok(Ticket(self.asked))
    }

    /// As [`Qmp::fire`], for a command whose answer is taken when it comes: a refusal shows as an error of a later call. It may
    /// be waited for all the same.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn fire_and_forget(
        &mut self,
        command: &'static str,
        arguments: &Value,
    ) -> Result<Ticket, QmpError> {
        self.unawaited = command;
        self.fire(command, arguments)
    }

    /// Waits for the answer to a command that was fired.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn wait(&mut self, ticket: Ticket, command: &'static str) -> Result<Value, QmpError> {
        let deadline = Instant::now() + QMP_TIMEOUT;
        if self.has_answered(ticket) {
            // Taken when it came; had it been a refusal, that would have been an error.
            return Ok(Value::Null);
        }
        loop {
            let Some(line) = self.next_line(deadline)? else {
                return Err(QmpError::Silent {
                    command,
                    waited: QMP_TIMEOUT,
                });
            };
            if let Some(answer) = self.sort(line, Some(ticket))? {
                return answer.map_err(|description| QmpError::Refused {
                    command,
                    description,
                });
            }
        }
    }

    /// Whether the answer to a command that was fired has been read.
    pub fn has_answered(&self, ticket: Ticket) -> bool {
        self.answered >= ticket.0
    }

    /// Reads what has arrived without waiting.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn pump(&mut self) -> Result<(), QmpError> {
        while let Some(line) = self.next_line(Instant::now())? {
            self.sort(line, None)?;
        }
        Ok(())
    }

    /// The next event that concerns us, of those read so far.
    pub fn next_event(&mut self) -> Option<GuestEvent> {
        self.events.pop_front()
    }

    /// Waits until `wanted` says that the event has come.
    ///
    /// # Errors
    /// [`QmpError::Silent`] after `timeout`.
    pub fn wait_event(
        &mut self,
        name: &'static str,
        timeout: Duration,
        wanted: impl Fn(&GuestEvent) -> bool,
    ) -> Result<GuestEvent, QmpError> {
        let deadline = Instant::now() + timeout;
        loop {
            let found = self
                .events
                .iter()
                .position(&wanted)
                .and_then(|index| self.events.remove(index));
            if let Some(event) = found {
                return Ok(event);
            }
            let Some(line) = self.next_line(deadline)? else {
                return Err(QmpError::Silent {
                    command: name,
                    waited: timeout,
                });
            };
            self.sort(line, None)?;
        }
    }

    fn push(&mut self, command: &str, arguments: &Value) -> Result<(), QmpError> {
        if arguments.is_null() {
            write!(self.request, "{{\"execute\":\"{command}\"}}")?;
        } else {
            write!(
                self.request,
                "{{\"execute\":\"{command}\",\"arguments\":{arguments}}}"
            )?;
        }
        Ok(())
    }

    fn flush(&mut self, command: &'static str) -> Result<(), QmpError> {
        let deadline = Instant::now() + QMP_TIMEOUT;
        let mut sent = 0;
        while sent < self.request.len() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match send(&self.socket, &self.request[sent..], flags) {
                Ok(count) => sent += count,
                Err(Errno::AGAIN) => {
                    if !self.poll(PollFlags::OUT, deadline)? {
                        return Err(QmpError::Silent {
                            command,
                            waited: QMP_TIMEOUT,
                        });
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(broken(error)),
            }
        }
        self.request.clear();
        Ok(())
    }

    /// Files a line; returns the answer if it is the one to `awaited`.
    fn sort(
        &mut self,
        line: Line,
        awaited: Option<Ticket>,
    ) -> Result<Option<Result<Value, String>>, QmpError> {
        let answer = match line {
            Line::Event(event) => {
                if self.keep == Events::Keep {
                    self.events.push_back(event);
                }
                return Ok(None);
            }
            Line::Greeting | Line::Other => return Ok(None),
            Line::Return(value) => Ok(value),
            Line::Error { description } => Err(description),
        };
        self.answered += 1;
        if awaited == Some(Ticket(self.answered)) {
            return Ok(Some(answer));
        }
        match answer {
            Ok(_) => Ok(None),
            Err(description) => Err(QmpError::Refused {
                command: self.unawaited,
                description,
            }),
        }
    }

    /// The next complete line, or `None` at the deadline.
    fn next_line(&mut self, deadline: Instant) -> Result<Option<Line>, QmpError> {
        loop {
            if let Some(length) = self.received[self.consumed..]
                .iter()
                .position(|&byte| byte == b'\n')
            {
                let line = &self.received[self.consumed..self.consumed + length];
                let parsed = Line::parse(line).map_err(QmpError::Parse);
                self.consumed += length + 1;
                return parsed.map(Some);
            }
            self.received.drain(..self.consumed);
            self.consumed = 0;
            if self.received.len() > QMP_LINE_MAX_BYTES {
                return Err(QmpError::TooLong);
            }
            let mut chunk = [0; QMP_READ_BYTES];
            match recv(&self.socket, &mut chunk[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(QmpError::Closed),
                Ok((count, _)) => self.received.extend_from_slice(&chunk[..count]),
                Err(Errno::AGAIN) => {
                    if !self.poll(PollFlags::IN, deadline)? {
                        return Ok(None);
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(broken(error)),
            }
        }
    }

    /// Waits for `flags`; false at the deadline.
    fn poll(&self, flags: PollFlags, deadline: Instant) -> Result<bool, QmpError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&self.socket, flags)], Some(&timeout)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(broken(error)),
            }
        }
    }
}

/// What an error of the socket means.
fn broken(error: Errno) -> QmpError {
    match error {
        Errno::PIPE | Errno::CONNRESET => QmpError::Closed,
        other => QmpError::Io(other.into()),
    }
}

impl AsFd for Qmp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests;
