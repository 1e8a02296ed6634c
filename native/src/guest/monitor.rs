//! The two control connections to a QEMU, and what its vCPUs were told last.
//!
//! ```text
//!  guest runs      paused                                                         guest runs
//!  orders:  save ──►  QEMU stops, saves, waits at the gate, lets the guest run      stop; cont
//!  talk:    events, and everything else that is asked
//! ```
//! Orders are packets, of which QEMU reads a whole command at once; it would read a stream byte by byte, for a quarter of a
//! millisecond, while the guest is to be stopped. What is asked for on the other one may have long answers.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use crate::guest::state_gate::StateGate;
use crate::limits::QMP_TIMEOUT;
use crate::qmp::{GuestEvent, Qmp, QmpError, Ticket};

const STOP: &str = "stop";
const CONT: &str = "cont";
const SAVE: &str = "xen-save-devices-state";

/// What becomes of a guest whose state has been saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterSave {
    /// If it ran it runs on, as soon as the engine is done with its RAM.
    RunOn,
    /// It stands still until it is told otherwise.
    Stay,
}

/// A QEMU's monitors.
#[derive(Debug)]
pub struct Monitor {
    talk: Qmp,
    orders: Qmp,
    /// Where to save.
    save_arguments: Value,
    /// The same for a guest that is stopped already, whose block devices QEMU would take to be given away.
    save_stopped_arguments: Value,
    running: bool,
    /// The save whose end QEMU has not been asked for.
    saving: Option<Ticket>,
}

impl Monitor {
    /// For a QEMU whose vCPUs are stopped, and which saves its state to `state_path` (as it sees it). `talk` keeps events.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn new(mut talk: Qmp, orders: Qmp, state_path: &str) -> Result<Self, QmpError> {
        let capabilities = json!({"capabilities": [{"capability": "events", "state": true}]});
        talk.execute("migrate-set-capabilities", &capabilities)?;
        Ok(Self {
            talk,
            orders,
            save_arguments: json!({"filename": state_path}),
            save_stopped_arguments: json!({"filename": state_path, "live": false}),
            running: false,
            saving: None,
        })
    }

    /// Runs any other command.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn execute(&mut self, command: &'static str, arguments: &Value) -> Result<Value, QmpError> {
        self.talk.execute(command, arguments)
    }

    /// Stops the vCPUs.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn stop(&mut self) -> Result<(), QmpError> {
        if self.running {
            self.orders.execute(STOP, &Value::Null)?;
            self.running = false;
        }
        Ok(())
    }

    /// Has QEMU stop the vCPUs, if they run, and save the state of CPUs and devices into `gate`, which is shut; returns when
    /// QEMU waits there. When the gate is opened vCPUs that ran run on, unless they are to stay as they are then.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn stop_and_save(&mut self, after: AfterSave, gate: &StateGate) -> Result<(), QmpError> {
        let arguments = match after {
            AfterSave::RunOn => &self.save_arguments,
            AfterSave::Stay => {
                self.stop()?;
                &self.save_stopped_arguments
            }
        };
        self.saving = Some(self.orders.fire_and_forget(SAVE, arguments)?);
        self.wait_at(gate)?;
        // QEMU told first what it has met with while it stopped.
        self.talk.pump()
    }

    /// Waits until QEMU has reached the gate.
    fn wait_at(&mut self, gate: &StateGate) -> Result<(), QmpError> {
        let deadline = Instant::now() + QMP_TIMEOUT;
        loop {
            let patience = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
            let mut ready = [
                PollFd::new(gate, PollFlags::IN),
                PollFd::new(&self.orders, PollFlags::IN),
            ];
            match poll(&mut ready, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(QmpError::Io(error.into())),
            }
            let [at_gate, answered] = ready.map(|descriptor| descriptor.revents());
            if StateGate::is_reached(at_gate) {
                return Ok(());
            }
            if !answered.is_empty() {
                // A refusal is an error here.
                self.orders.pump()?;
            }
            if patience.is_zero() {
                return Err(QmpError::Silent {
                    command: SAVE,
                    waited: QMP_TIMEOUT,
                });
            }
            // A pipe that nobody has opened yet is ready to say so all the time.
            std::thread::yield_now();
        }
    }

    /// Waits until QEMU says that the state is whole. The gate has been opened.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn finish_save(&mut self) -> Result<(), QmpError> {
        let Some(ticket) = self.saving.take() else {
            return Ok(());
        };
        self.orders.wait(ticket, SAVE).map(|_| ())
    }

    /// Whether QEMU has not been asked whether the last state is whole.
    pub fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Whether QEMU is at a save still, whose outcome does not matter any more.
    ///
    /// # Errors
    /// A [`QmpError`], but for a refusal.
    pub fn awaits_save(&mut self) -> Result<bool, QmpError> {
        let Some(ticket) = self.saving else {
            return Ok(false);
        };
        match self.orders.pump() {
            Ok(()) | Err(QmpError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        let is_over = self.orders.has_answered(ticket);
        if is_over {
            self.saving = None;
        }
        Ok(!is_over)
    }

    /// Lets the vCPUs run. The answer is taken when it comes; a refusal shows as an error of a later call.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn cont(&mut self) -> Result<(), QmpError> {
        if !self.running {
            self.orders.fire_and_forget(CONT, &Value::Null)?;
            self.running = true;
        }
        Ok(())
    }

    /// Reads what has arrived without waiting.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn pump(&mut self) -> Result<(), QmpError> {
        self.talk.pump()?;
        self.orders.pump()
    }

    /// The next event that concerns us, of those read so far.
    pub fn next_event(&mut self) -> Option<GuestEvent> {
        self.talk.next_event()
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
        self.talk.wait_event(name, timeout, wanted)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.talk.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::state_gate::WORKING_FOLDER;
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

    /// Both ends of a connection.
    fn connection() -> [UnixStream; 2] {
        UnixStream::pair().expect("pair").into()
    }

    /// A gate, and how who saves opens it.
    fn gate() -> (StateGate, String) {
        let gate = StateGate::create().expect("pipe");
        let path = format!("{WORKING_FOLDER}/{}", gate.path_in_qemu());
        (gate, path)
    }

    /// When QEMU has greeted on both connections.
    fn monitor(talk: UnixStream, orders: UnixStream, timeout: Duration) -> Monitor {
        let talk = Qmp::negotiate(talk, Events::Keep, timeout).expect("talk");
        let orders = Qmp::negotiate(orders, Events::Drop, timeout).expect("orders");
        Monitor::new(talk, orders, "9").expect("monitor")
    }

    #[test]
    fn a_power_off_that_comes_while_the_state_is_saved_is_known_when_it_is() {
        const OK: &str = "{\"return\":{}}\n";
        let ([talk, mut qemu_talk], [orders, mut qemu_orders]) = (connection(), connection());
        let (gate, path) = gate();
        let qemu = std::thread::spawn(move || {
            for socket in [&mut qemu_talk, &mut qemu_orders] {
                socket.write_all(b"{\"QMP\":{}}\n").expect("greeting");
                answer(socket, OK);
            }
            let mut heard = vec![answer(&mut qemu_talk, OK), answer(&mut qemu_orders, OK)];
            let event = "{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true}}\n";
            qemu_talk.write_all(event.as_bytes()).expect("an event");
            heard.push(answer(&mut qemu_orders, ""));
            let mut pipe = std::fs::OpenOptions::new()
                .write(true)
                .open(path)
                .expect("pipe");
            pipe.write_all(&[7; 9000]).expect("written");
            drop(pipe);
            qemu_orders.write_all(OK.as_bytes()).expect("an answer");
            // Open until the end.
            (heard, qemu_talk)
        });
        let timeout = Duration::from_secs(20);
        let mut monitor = monitor(talk, orders, timeout);
        monitor.cont().expect("cont");
        gate.shut().expect("empty");
        monitor
            .stop_and_save(AfterSave::RunOn, &gate)
            .expect("saved");
        assert_eq!(monitor.next_event(), Some(GuestEvent::PoweredOff));
        assert!(gate.holds().expect("poll") && monitor.is_saving());
        gate.open().expect("opened");
        let deadline = Instant::now() + timeout;
        assert_eq!(gate.read(&mut [0; 10_000], deadline).expect("read"), 9000);
        monitor.finish_save().expect("whole");
        drop(monitor);
        let (heard, _) = qemu.join().expect("qemu");
        let save = r#"{"execute":"xen-save-devices-state","arguments":{"filename":"9"}}"#;
        let wanted = [r#"{"execute":"cont"}"#, save];
        assert_eq!(heard[1..], wanted);
    }

    #[test]
    fn a_save_that_is_refused_is_over_although_its_pipe_stays_open() {
        const OK: &str = "{\"return\":{}}\n";
        const NO: &str = "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}\n";
        let ([talk, mut qemu_talk], [orders, mut qemu_orders]) = (connection(), connection());
        let (gate, path) = gate();
        let qemu = std::thread::spawn(move || {
            for socket in [&mut qemu_talk, &mut qemu_orders] {
                socket.write_all(b"{\"QMP\":{}}\n").expect("greeting");
                answer(socket, OK);
            }
            answer(&mut qemu_talk, OK);
            let mut file = std::fs::OpenOptions::new();
            let pipe = file.write(true).open(path).expect("pipe");
            for line in [NO, OK, OK] {
                answer(&mut qemu_orders, line);
            }
            (pipe, qemu_talk)
        });
        let timeout = Duration::from_secs(20);
        let mut monitor = monitor(talk, orders, timeout);
        gate.shut().expect("empty");
        let refused = monitor
            .stop_and_save(AfterSave::RunOn, &gate)
            .expect_err("refused");
        assert!(matches!(refused, QmpError::Refused { command: SAVE, .. }));
        assert!(monitor.is_saving());
        assert!(!monitor.awaits_save().expect("it answers"));
        assert!(!monitor.is_saving());
        // What is asked next is answered.
        monitor.cont().expect("cont");
        monitor.stop().expect("stop");
        drop(qemu.join().expect("qemu"));
    }
}
