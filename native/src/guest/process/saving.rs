//! A guest's state is saved: from the order to stop until the state has been read, or is not wanted any more.

use std::io;
use std::time::{Duration, Instant};

use super::Guest;
use crate::guest::error::{GuestError, call};
use crate::guest::monitor::AfterSave;
use crate::limits::QMP_TIMEOUT;

/// Between two looks at whether QEMU has given a save up.
const SAVE_LOOK: Duration = Duration::from_millis(10);
/// How long that may take. With the wait for the save itself it is less than what a monitor takes for a stuck engine.
const GIVE_UP_TIMEOUT: Duration = Duration::from_secs(4);

impl Guest {
    /// Stops the vCPUs and saves the device state. The guest stands still from here to [`Guest::release`].
    ///
    /// # Errors
    /// A [`GuestError`]; the guest must be given up then, its state is not known.
    pub fn stop_and_save(&mut self, after: AfterSave) -> Result<(), GuestError> {
        self.discard_state()?;
        if let Some(tracker) = &mut self.tracker {
            tracker.begin_pause();
        }
        self.gate.shut().map_err(call("fcntl(F_SETPIPE_SZ)"))?;
        Ok(self.monitor.stop_and_save(after, &self.gate)?)
    }

    /// The engine is done with the RAM of a guest that was saved: it runs on if it was to. What was read of its RAM and the
    /// state belong together.
    ///
    /// # Errors
    /// [`GuestError::RanOn`] if they may not.
    pub fn release(&mut self) -> Result<(), GuestError> {
        self.gate.let_on(self.child.id())?;
        if let Some(tracker) = &mut self.tracker {
            tracker.end_pause();
        }
        // Where QEMU was woken on our processor it goes first: the guest stands still until it has run.
        std::thread::yield_now();
        Ok(())
    }

    /// Copies the state that was saved to `into`, once; returns its length. The guest must have been released. Nothing may
    /// follow from it before [`Guest::confirm_state`].
    ///
    /// # Errors
    /// A [`GuestError`]; the guest must be given up then.
    pub fn read_device_state(&mut self, into: &mut [u8]) -> Result<usize, GuestError> {
        self.gate
            .read(into, Instant::now() + QMP_TIMEOUT)
            .map_err(call("reading the guest's device state"))
    }

    /// Waits until QEMU says that the state is whole: one that died in the middle of it closed the pipe, too.
    ///
    /// # Errors
    /// A [`GuestError`]; the guest must be given up then.
    pub fn confirm_state(&mut self) -> Result<(), GuestError> {
        Ok(self.monitor.finish_save()?)
    }

    /// After a failure from [`Guest::stop_and_save`] on: nobody wants the state any more. A QEMU that has refused to save it, or has
    /// saved more than was wanted, lets the guest go on as it was before; so does this.
    ///
    /// # Errors
    /// A [`GuestError`] if QEMU does not answer any more; the guest must be given up then.
    pub fn give_up_save(&mut self) -> Result<(), GuestError> {
        if let Some(tracker) = &mut self.tracker {
            tracker.end_pause();
        }
        self.gate.open().map_err(call("fcntl(F_SETPIPE_SZ)"))?;
        let deadline = Instant::now() + GIVE_UP_TIMEOUT;
        // One that has failed in the middle keeps its end of the pipe, and one whose end is closed may yet say nothing.
        while self.monitor.awaits_save()? {
            if Instant::now() >= deadline {
                let error = io::ErrorKind::TimedOut.into();
                return Err(call("waiting for the end of a save that has failed")(error));
            }
            self.waste_state()?;
            std::thread::sleep(SAVE_LOOK);
        }
        // What it wrote before it answered would be in the way of the next one.
        self.waste_state()?;
        self.run_state().map(|_| ())
    }

    fn waste_state(&self) -> Result<(), GuestError> {
        let wasted = self.gate.empty();
        wasted.map_err(call("reading the guest's device state"))
    }

    /// Reads a state that nobody wanted in the end.
    fn discard_state(&mut self) -> Result<(), GuestError> {
        while self.monitor.is_saving() {
            let mut waste = [0; 16 << 10];
            self.gate.open().map_err(call("fcntl(F_SETPIPE_SZ)"))?;
            let read = self.gate.read(&mut waste, Instant::now() + QMP_TIMEOUT);
            match read {
                Ok(_) => self.monitor.finish_save()?,
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {}
                Err(error) => return Err(call("reading the guest's device state")(error)),
            }
        }
        Ok(())
    }
}
