//! The two control connections to a QEMU, and what its vCPUs were told last.
//!
//! ```text
//!  guest runs            paused                                            guest runs
//!  run:  {…"stop"   ──►  }   {…"cont"  ─────────────────────────────────►  }   {…"stop"
//!  save: {…"save…"  ────────► }  when stopped                                  {…"save…"
//! ```
//! What a checkpoint asks for has been sent before, but for one byte each. Two connections, because on one QEMU reads a
//! command only after it has run the one before.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::limits::QMP_YIELD;
use crate::qmp::{GuestEvent, Qmp, QmpError};
use crate::sys::process::GivingWay;

const STOP: &str = "stop";
const CONT: &str = "cont";
const SAVE: &str = "xen-save-devices-state";

/// A QEMU's monitors.
#[derive(Debug)]
pub struct Monitor {
    run: Qmp,
    save: Qmp,
    save_arguments: Value,
    running: bool,
    reader: Option<GivingWay>,
}

impl Monitor {
    /// For a QEMU whose vCPUs are stopped, and which saves its state to `state_path` (as it sees it). `run` keeps events.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn new(
        mut run: Qmp,
        save: Qmp,
        state_path: &str,
        reader: Option<GivingWay>,
    ) -> Result<Self, QmpError> {
        let capabilities = json!({"capabilities": [{"capability": "events", "state": true}]});
        run.execute("migrate-set-capabilities", &capabilities)?;
        Ok(Self {
            run,
            save,
            // "live": false leaves the block devices alone.
            save_arguments: json!({"filename": state_path, "live": false}),
            running: false,
            reader,
        })
    }

    /// Runs any other command.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn execute(&mut self, command: &'static str, arguments: &Value) -> Result<Value, QmpError> {
        self.run.execute(command, arguments)
    }

    /// Has everything ready for [`Monitor::stop_and_save`].
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn prepare(&mut self) -> Result<(), QmpError> {
        if self.save.is_primed() {
            return Ok(());
        }
        // What is read beforehand must not delay the guest; what it stands still for must not wait for others.
        if let Some(reader) = &self.reader {
            reader.give_way(true);
        }
        if self.running {
            self.run.prime(STOP, &Value::Null)?;
        }
        self.save.prime(SAVE, &self.save_arguments)
    }

    /// Stops the vCPUs.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn stop(&mut self) -> Result<(), QmpError> {
        if self.running {
            let ticket = self.run.fire(STOP, &Value::Null)?;
            self.run.wait(ticket, STOP)?;
            self.running = false;
        }
        Ok(())
    }

    /// Stops the vCPUs, if they run, and saves the state of CPUs and devices; returns when the vCPUs stood still.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn stop_and_save(&mut self) -> Result<Instant, QmpError> {
        if let Some(reader) = &self.reader {
            reader.give_way(false);
        }
        let until = Instant::now() + QMP_YIELD;
        self.run.yield_until(until);
        self.save.yield_until(until);
        self.stop()?;
        let stopped_at = Instant::now();
        let ticket = self.save.fire(SAVE, &self.save_arguments)?;
        // QEMU reads it while it saves.
        self.run.prime(CONT, &Value::Null)?;
        self.save.wait(ticket, SAVE)?;
        self.run.sleep_again();
        self.save.sleep_again();
        // QEMU told first what it has met with while it stopped: a guest that has powered itself off must not be resumed.
        self.run.pump()?;
        Ok(stopped_at)
    }

    /// Lets the vCPUs run. The answer is taken when it comes; a refusal shows as an error of a later call.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn cont(&mut self) -> Result<(), QmpError> {
        if !self.running {
            self.run.fire_and_forget(CONT)?;
            self.running = true;
        }
        Ok(())
    }

    /// Reads what has arrived without waiting.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn pump(&mut self) -> Result<(), QmpError> {
        self.run.pump()?;
        self.save.pump()
    }

    /// The next event that concerns us, of those read so far.
    pub fn next_event(&mut self) -> Option<GuestEvent> {
        self.run.next_event()
    }

    /// As [`Qmp::wait_event`].
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn wait_event(
        &mut self,
        name: &'static str,
        timeout: Duration,
        wanted: impl Fn(&GuestEvent) -> bool,
    ) -> Result<GuestEvent, QmpError> {
        self.run.wait_event(name, timeout, wanted)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.run.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qmp::Events;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    /// Reads until the sum of braces is even, and answers.
    fn answer(socket: &mut UnixStream, lines: &str) -> String {
        let (mut request, mut byte) = (String::new(), [0]);
        let depth = |text: &str| text.matches('{').count() - text.matches('}').count();
        while request.is_empty() || depth(&request) > 0 {
            socket.read_exact(&mut byte).expect("a request");
            request.push(char::from(byte[0]));
        }
        socket.write_all(lines.as_bytes()).expect("an answer");
        request
    }

    #[test]
    fn a_power_off_that_comes_while_the_state_is_saved_is_known_when_it_is() {
        const OK: &str = "{\"return\":{}}\n";
        let ((run, mut qemu_run), (save, mut qemu_save)) = (
            UnixStream::pair().expect("pair"),
            UnixStream::pair().expect("pair"),
        );
        let qemu = std::thread::spawn(move || {
            for socket in [&mut qemu_run, &mut qemu_save] {
                socket.write_all(b"{\"QMP\":{}}\n").expect("greeting");
                answer(socket, OK);
            }
            let mut heard = vec![answer(&mut qemu_run, OK), answer(&mut qemu_run, OK)];
            heard.push(answer(&mut qemu_run, OK));
            let event = "{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true}}\n";
            qemu_run.write_all(event.as_bytes()).expect("an event");
            heard.push(answer(&mut qemu_save, OK));
            // Open until the end.
            (heard, qemu_run)
        });
        let timeout = Duration::from_secs(20);
        let run = Qmp::negotiate(run, Events::Keep, timeout).expect("run");
        let save = Qmp::negotiate(save, Events::Drop, timeout).expect("save");
        let mut monitor = Monitor::new(run, save, "9", None).expect("monitor");
        monitor.cont().expect("cont");
        monitor.prepare().expect("primed");
        monitor.stop_and_save().expect("saved");
        assert_eq!(monitor.next_event(), Some(GuestEvent::PoweredOff));
        drop(monitor);
        let (heard, _) = qemu.join().expect("qemu");
        let save =
            r#"{"execute":"xen-save-devices-state","arguments":{"filename":"9","live":false}}"#;
        let wanted = [r#"{"execute":"cont"}"#, r#"{"execute":"stop"}"#, save];
        assert_eq!(heard[1..], wanted);
    }
}
