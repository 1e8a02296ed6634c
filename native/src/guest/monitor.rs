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
}

impl Monitor {
    /// For a QEMU whose vCPUs are stopped, and which saves its state to `state_path` (as it sees it). `run` keeps events.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn new(mut run: Qmp, save: Qmp, state_path: &str) -> Result<Self, QmpError> {
        let capabilities = json!({"capabilities": [{"capability": "events", "state": true}]});
        run.execute("migrate-set-capabilities", &capabilities)?;
        Ok(Self {
            run,
            save,
            // "live": false leaves the block devices alone.
            save_arguments: json!({"filename": state_path, "live": false}),
            running: false,
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

    /// Stops the vCPUs, if they run, and saves the state of CPUs and devices.
    ///
    /// # Errors
    /// A [`QmpError`].
    pub fn stop_and_save(&mut self) -> Result<(), QmpError> {
        let until = Instant::now() + QMP_YIELD;
        self.run.yield_until(until);
        self.save.yield_until(until);
        self.stop()?;
        let ticket = self.save.fire(SAVE, &self.save_arguments)?;
        // QEMU reads it while it saves.
        self.run.prime(CONT, &Value::Null)?;
        self.save.wait(ticket, SAVE)?;
        self.run.sleep_again();
        self.save.sleep_again();
        Ok(())
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
