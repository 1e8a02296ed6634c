//! Where QEMU writes the state of CPUs and devices: a pipe that is shut until the engine is done with guest RAM.
//!
//! ```text
//!  engine    fire save           scan, copy         open ──► read
//!  QEMU            stop, save, write ··· blocked ···     ──► written, close, cont
//!                  └─────────── the guest stands still ──────────────┘
//! ```
//! `xen-save-devices-state` stops the guest, saves, writes, and lets the guest run again. The pipe takes less than the state,
//! so the command waits in its write until the gate is opened: one command, and one wake-up of QEMU's main thread, instead of
//! stop, save and cont. QEMU closes the pipe before it lets the guest run, which proves afterwards that the guest stood still.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::guest::error::{GuestError, call};
use crate::limits::{DEVICE_STATE_GATE_BYTES, DEVICE_STATE_PIPE_BYTES};

/// Where QEMU runs: its own descriptors.
pub const WORKING_FOLDER: &str = "/proc/self/fd";

/// The pipe.
#[derive(Debug)]
pub struct StateGate {
    reader: OwnedFd,
}

impl StateGate {
    /// An open one that nobody writes to.
    ///
    /// # Errors
    /// Whatever `pipe2(2)` reports.
    pub fn create() -> io::Result<Self> {
        let (reader, _) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self { reader })
    }

    /// The path under which QEMU, having inherited the descriptor, opens it from [`WORKING_FOLDER`]: QEMU reads it byte by
    /// byte at every checkpoint. What it inherits is the reading end, or the pipe would never be seen to be closed.
    pub fn path_in_qemu(&self) -> String {
        self.reader.as_raw_fd().to_string()
    }

    /// Shuts it, empty: of what is written from now on only [`DEVICE_STATE_GATE_BYTES`] are taken.
    ///
    /// # Errors
    /// Whatever `fcntl(2)` reports.
    pub fn shut(&self) -> io::Result<()> {
        Ok(fcntl_setpipe_size(&self.reader, DEVICE_STATE_GATE_BYTES).map(|_| ())?)
    }

    /// Whether QEMU has begun to write: the guest stands still. Of its state as much has been taken as QEMU collects before it
    /// writes (32 KiB); the rest of a longer one follows when the gate is open, still before the guest runs on. It is the same
    /// state, for no device of ours writes to guest RAM when it is saved.
    pub fn is_reached(flags: PollFlags) -> bool {
        flags.contains(PollFlags::IN)
    }

    /// Whether QEMU is still kept from letting the guest run: true proves it for the time since the gate was reached.
    ///
    /// # Errors
    /// Whatever `poll(2)` reports.
    pub fn holds(&self) -> io::Result<bool> {
        let mut pipe = [PollFd::new(&self.reader, PollFlags::IN)];
        poll(&mut pipe, Some(&Timespec::default()))?;
        Ok(!pipe[0].revents().contains(PollFlags::HUP))
    }

    /// Opens it for the QEMU `pid`, which it has held until now.
    ///
    /// # Errors
    /// [`GuestError::RanOn`] if it has not.
    pub fn let_on(&self, pid: u32) -> Result<(), GuestError> {
        if !self.holds().map_err(call("poll"))? {
            return Err(GuestError::RanOn { pid });
        }
        self.open().map_err(call("fcntl(F_SETPIPE_SZ)"))
    }

    /// Opens it: QEMU writes the rest, closes, and goes on.
    ///
    /// # Errors
    /// Whatever `fcntl(2)` reports.
    pub fn open(&self) -> io::Result<()> {
        Ok(fcntl_setpipe_size(&self.reader, DEVICE_STATE_PIPE_BYTES).map(|_| ())?)
    }

    /// Reads the state to its end into `into`, waiting for QEMU to write it; returns its length.
    ///
    /// # Errors
    /// `FileTooLarge` if it does not fit, `TimedOut` at the deadline.
    pub fn read(&self, into: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let mut length = 0;
        loop {
            if length == into.len() {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            match rustix::io::read(&self.reader, &mut into[length..]) {
                Ok(0) => return Ok(length),
                Ok(count) => length += count,
                Err(rustix::io::Errno::AGAIN) => self.wait(deadline)?,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Throws away what QEMU has written by now.
    ///
    /// # Errors
    /// Whatever `read(2)` reports.
    pub fn empty(&self) -> io::Result<()> {
        let mut waste = [0; 16 << 10];
        loop {
            match rustix::io::read(&self.reader, &mut waste) {
                Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wait(&self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(
            &mut [PollFd::new(&self.reader, PollFlags::IN)],
            Some(&timeout),
        ) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for StateGate {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    fn patience() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// As QEMU: opens by path, writes, closes; then `gone_on`.
    fn save(
        gate: &StateGate,
        state: Vec<u8>,
        gone_on: &'static AtomicBool,
    ) -> std::thread::JoinHandle<()> {
        let path = format!("/proc/self/fd/{}", gate.path_in_qemu());
        std::thread::spawn(move || {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)
                .expect("a pipe is opened for writing");
            file.write_all(&state).expect("written");
            drop(file);
            gone_on.store(true, Ordering::SeqCst);
        })
    }

    fn reached(gate: &StateGate) {
        let mut pipe = [PollFd::new(gate, PollFlags::IN)];
        while !StateGate::is_reached(pipe[0].revents()) {
            poll(&mut pipe, Some(&Timespec::default())).expect("poll");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_state_that_nobody_wants_is_not_in_the_way_of_the_next() {
        static GONE_ON: AtomicBool = AtomicBool::new(false);
        let gate = StateGate::create().expect("pipe");
        gate.shut().expect("empty");
        let saving = save(&gate, vec![7; 100_000], &GONE_ON);
        reached(&gate);
        gate.open().expect("room for all of it");
        saving.join().expect("written");
        gate.shut().expect_err("it is full");
        gate.empty().expect("read");
        gate.shut().expect("empty");
    }

    #[test]
    fn whoever_saves_does_not_go_on_before_the_gate_is_opened_save_after_save() {
        static GONE_ON: AtomicBool = AtomicBool::new(false);
        let gate = StateGate::create().expect("pipe");
        for (round, bytes) in [10_050usize, 4097, 65_536, 300_000].into_iter().enumerate() {
            let state: Vec<u8> = (0..bytes)
                .map(|n| u8::try_from((n + round) % 251).expect("small"))
                .collect();
            GONE_ON.store(false, Ordering::SeqCst);
            gate.shut().expect("empty");
            let saving = save(&gate, state.clone(), &GONE_ON);
            reached(&gate);
            // Long enough for it to go on if it could.
            std::thread::sleep(Duration::from_millis(20));
            assert!(gate.holds().expect("poll") && !GONE_ON.load(Ordering::SeqCst));
            gate.let_on(7).expect("held until now");
            let mut into = vec![0; bytes + 1];
            let length = gate.read(&mut into, patience()).expect("read");
            assert_eq!(into[..length], state);
            assert!(!gate.holds().expect("poll"));
            // It goes on when its file is closed, which may be after we have read all of it.
            saving.join().expect("it went on");
        }
    }

    #[test]
    fn a_state_that_fits_into_the_gate_is_seen_not_to_have_been_held() {
        static GONE_ON: AtomicBool = AtomicBool::new(false);
        let gate = StateGate::create().expect("pipe");
        gate.shut().expect("empty");
        save(&gate, vec![1; 4096], &GONE_ON);
        while !GONE_ON.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        assert!(!gate.holds().expect("poll"));
        // What was read of RAM meanwhile belongs to no state.
        let refused = gate.let_on(7).expect_err("nothing held it");
        assert!(matches!(refused, GuestError::RanOn { pid: 7 }));
    }

    #[test]
    fn a_state_that_does_not_fit_and_one_that_does_not_end_are_errors() {
        static GONE_ON: AtomicBool = AtomicBool::new(false);
        let gate = StateGate::create().expect("pipe");
        save(&gate, vec![1; 100], &GONE_ON);
        reached(&gate);
        let error = gate.read(&mut [0; 50], patience()).expect_err("too large");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);

        let gate = StateGate::create().expect("pipe");
        let path = format!("/proc/self/fd/{}", gate.path_in_qemu());
        let _writer = std::fs::OpenOptions::new()
            .write(true)
            .open(path)
            .expect("opened");
        let error = gate
            .read(&mut [0; 50], Instant::now())
            .expect_err("nobody writes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
