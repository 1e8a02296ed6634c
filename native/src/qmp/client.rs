//! The client: commands in order, answers matched by id, events kept for whoever asks.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use super::message::{GuestEvent, Line};
use crate::limits::{QMP_LINE_MAX_BYTES, QMP_TIMEOUT, QMP_YIELD};

/// Why a conversation with QEMU failed. All but [`QmpError::Refused`] mean that QEMU is lost.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// QEMU said no.
    #[error("QEMU refused {command}: {description}")]
    Refused {
        /// What was asked.
        command: String,
        /// QEMU's words.
        description: String,
    },
    /// QEMU said nothing.
    #[error("QEMU did not answer {command} within {} ms", .waited.as_millis())]
    Silent {
        /// What was asked.
        command: String,
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

/// A connection to one QEMU.
#[derive(Debug)]
pub struct Qmp {
    socket: UnixStream,
    received: Vec<u8>,
    consumed: usize,
    request: Vec<u8>,
    next_id: u64,
    /// The answer to the last `cont`, which nobody waits for inside the pause.
    pending_cont: Option<u64>,
    events: VecDeque<GuestEvent>,
    /// The guest is paused: do not sleep before this.
    yield_until: Option<Instant>,
}

impl Qmp {
    /// Takes over a connected socket, reads the greeting and enables `events` of migrations.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn negotiate(socket: UnixStream, timeout: Duration) -> Result<Self, QmpError> {
        socket.set_nonblocking(true)?;
        let mut qmp = Self {
            socket,
            received: Vec::with_capacity(64 * 1024),
            consumed: 0,
            request: Vec::with_capacity(512),
            next_id: 1,
            pending_cont: None,
            events: VecDeque::with_capacity(16),
            yield_until: None,
        };
        let deadline = Instant::now() + timeout;
        loop {
            match qmp.next_line(deadline)? {
                Some(Line::Greeting) => break,
                Some(_) => {}
                None => {
                    return Err(QmpError::Silent {
                        command: "the greeting".to_owned(),
                        waited: timeout,
                    });
                }
            }
        }
        qmp.execute("qmp_capabilities", &json!({}))?;
        let capabilities = json!({"capabilities": [{"capability": "events", "state": true}]});
        qmp.execute("migrate-set-capabilities", &capabilities)?;
        Ok(qmp)
    }

    /// Runs one command and waits for its answer.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, QmpError> {
        let id = self.push(command, arguments)?;
        self.flush(command)?;
        self.wait(id, command)
    }

    /// Stops the vCPUs and saves the state of CPUs and devices to `path` (as QEMU sees it). Both commands travel
    /// together, so that QEMU goes from one to the other without asking us.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn stop_and_save(&mut self, path: &str) -> Result<(), QmpError> {
        let stop = self.push("stop", &Value::Null)?;
        let save = self.push(
            "xen-save-devices-state",
            &json!({"filename": path, "live": false}),
        )?;
        self.flush("stop")?;
        self.yield_until = Some(Instant::now() + QMP_YIELD);
        self.wait(stop, "stop")?;
        self.wait(save, "xen-save-devices-state")?;
        self.yield_until = None;
        Ok(())
    }

    /// Lets the vCPUs run. The answer is taken when it comes; a refusal shows as an error of a later call.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn cont(&mut self) -> Result<(), QmpError> {
        let id = self.push("cont", &Value::Null)?;
        self.flush("cont")?;
        self.pending_cont = Some(id);
        Ok(())
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
        name: &str,
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
                    command: name.to_owned(),
                    waited: timeout,
                });
            };
            self.sort(line, None)?;
        }
    }

    fn push(&mut self, command: &str, arguments: &Value) -> Result<u64, QmpError> {
        let id = self.next_id;
        self.next_id += 1;
        if arguments.is_null() {
            write!(self.request, "{{\"execute\":\"{command}\",\"id\":{id}}}")?;
        } else {
            write!(
                self.request,
                "{{\"execute\":\"{command}\",\"arguments\":{arguments},\"id\":{id}}}"
            )?;
        }
        Ok(id)
    }

    fn flush(&mut self, command: &str) -> Result<(), QmpError> {
        let deadline = Instant::now() + QMP_TIMEOUT;
        let mut sent = 0;
        while sent < self.request.len() {
            match self.socket.write(&self.request[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.poll(PollFlags::OUT, deadline)? {
                        return Err(QmpError::Silent {
                            command: command.to_owned(),
                            waited: QMP_TIMEOUT,
                        });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Err(QmpError::Closed);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.request.clear();
        Ok(())
    }

    fn wait(&mut self, id: u64, command: &str) -> Result<Value, QmpError> {
        let deadline = Instant::now() + QMP_TIMEOUT;
        loop {
            let Some(line) = self.next_line(deadline)? else {
                return Err(QmpError::Silent {
                    command: command.to_owned(),
                    waited: QMP_TIMEOUT,
                });
            };
            if let Some(answer) = self.sort(line, Some(id))? {
                return answer.map_err(|description| QmpError::Refused {
                    command: command.to_owned(),
                    description,
                });
            }
        }
    }

    /// Files a line; returns the answer if it is the one to `awaited`.
    fn sort(
        &mut self,
        line: Line,
        awaited: Option<u64>,
    ) -> Result<Option<Result<Value, String>>, QmpError> {
        match line {
            Line::Event(event) => self.events.push_back(event),
            Line::Return { id, value } if awaited == Some(id) => return Ok(Some(Ok(value))),
            Line::Return { id, .. } if self.pending_cont == Some(id) => self.pending_cont = None,
            Line::Error { id, description } if awaited.is_some() && awaited == id => {
                return Ok(Some(Err(description)));
            }
            Line::Error { description, .. } => {
                return Err(QmpError::Refused {
                    command: "cont".to_owned(),
                    description,
                });
            }
            Line::Greeting | Line::Return { .. } | Line::Other => {}
        }
        Ok(None)
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
            let mut chunk = [0; 4096];
            match self.socket.read(&mut chunk) {
                Ok(0) => return Err(QmpError::Closed),
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.yield_until.is_some_and(|until| Instant::now() < until) {
                        std::thread::yield_now();
                    } else if !self.poll(PollFlags::IN, deadline)? {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(QmpError::Closed);
                }
                Err(error) => return Err(error.into()),
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
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(QmpError::Io(error.into())),
            }
        }
    }
}

impl AsFd for Qmp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead;

    /// A QEMU of a few lines: for each line that it reads it writes the next of `answers`.
    fn qemu(answers: &'static [&'static str]) -> Result<Qmp, QmpError> {
        let (ours, theirs) = UnixStream::pair().expect("pair");
        std::thread::spawn(move || {
            let mut out = theirs.try_clone().expect("clone");
            let mut requests = io::BufReader::new(theirs);
            out.write_all(b"{\"QMP\":{}}\n").expect("write");
            for answer in answers {
                let mut byte = Vec::new();
                // Requests are not terminated by a newline; each ends with its id and a brace.
                while !byte.ends_with(b"}") || !byte.windows(5).any(|w| w == b"\"id\":") {
                    if requests.read_until(b'}', &mut byte).expect("read") == 0 {
                        return;
                    }
                }
                out.write_all(answer.as_bytes()).expect("write");
                out.write_all(b"\n").expect("write");
            }
        });
        Qmp::negotiate(ours, Duration::from_secs(20))
    }

    const READY: &str = r#"{"return":{},"id":1}"#;
    const EVENTS: &str = r#"{"return":{},"id":2}"#;

    #[test]
    fn stop_and_save_wait_for_both_and_keep_events() {
        let save = "{\"event\":\"STOP\"}\n{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true}}\n{\"return\":{},\"id\":4}";
        let answers: &'static [&'static str] = Box::leak(Box::new([
            READY,
            EVENTS,
            r#"{"return":{},"id":3}"#,
            Box::leak(save.to_owned().into_boxed_str()),
        ]));
        let mut qmp = qemu(answers).expect("negotiated");
        qmp.stop_and_save("/proc/self/fd/9").expect("saved");
        assert_eq!(qmp.next_event(), Some(GuestEvent::PoweredOff));
        assert_eq!(qmp.next_event(), None);
    }

    #[test]
    fn a_refused_cont_is_an_error_of_the_next_call() {
        let mut qmp = qemu(&[
            READY,
            EVENTS,
            r#"{"error":{"class":"x","desc":"reset required"},"id":3}"#,
        ])
        .expect("negotiated");
        qmp.cont().expect("sent");
        let error = loop {
            match qmp.pump() {
                Ok(()) => std::thread::yield_now(),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("reset required"), "{error}");
    }

    #[test]
    fn a_qemu_that_is_gone_is_named() {
        let mut qmp = qemu(&[READY, EVENTS]).expect("negotiated");
        assert!(matches!(
            qmp.execute("stop", &Value::Null),
            Err(QmpError::Closed)
        ));
    }
}
