//! The thread that answers writes to cold pages. It waits for nothing but them: a vCPU that waits for its answer cannot be
//! stopped, so this must be neither the thread that stops it nor one that waits for that thread.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::TrackerError;
use super::turns::{Cooled, Turns};
use crate::wake::Wake;

/// Changing chunks to cold takes at most one part in this many of a processor.
const COOLING_SHARE: u32 = 10;
/// When nothing is idle, it is looked for again after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// While RAM is captured nothing is cooled; most captures take less than this.
const AFTER_CAPTURE: Duration = Duration::from_millis(2);

/// The running thread; ended with this.
#[derive(Debug)]
pub(super) struct Answerer {
    stop: Wake,
    thread: Option<JoinHandle<()>>,
}

impl Answerer {
    /// `faults` is ready when somebody waits for an answer.
    pub(super) fn start(turns: Arc<Turns>, faults: OwnedFd) -> io::Result<Self> {
        let stop = Wake::new()?;
        let told = stop.clone();
        let thread = thread::Builder::new()
            .name("first-writes".to_owned())
            .spawn(move || run(&turns, &faults, &told))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        self.stop.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(turns: &Turns, faults: &OwnedFd, stop: &Wake) {
    // A vCPU waits for each answer. Where this is not allowed, it waits for its turn of the processor, too.
    let _ = rustix::process::nice(-10);
    let mut next_cooling = Instant::now();
    loop {
        let left = next_cooling.saturating_duration_since(Instant::now());
        match wait(faults, stop, left) {
            Ok(Ready::Stop) => return,
            Ok(Ready::Faults) => turns.answer_all(),
            Ok(Ready::Nothing) => {}
            Err(error) => turns.take().fail(TrackerError::call("poll")(error)),
        }
        if turns.take().has_failed() {
            return;
        }
        let began = Instant::now();
        if began < next_cooling {
            continue;
        }
        let rest = match turns.cool() {
            Cooled::Some => began.elapsed() * (COOLING_SHARE - 1),
            Cooled::Nothing => LOOK_AGAIN,
            Cooled::NotNow => AFTER_CAPTURE,
        };
        next_cooling = Instant::now() + rest;
    }
}

enum Ready {
    Faults,
    Stop,
    Nothing,
}

fn wait(faults: &OwnedFd, stop: &Wake, longest: Duration) -> io::Result<Ready> {
    let mut polled = [
        PollFd::from_borrowed_fd(faults.as_fd(), PollFlags::IN),
        PollFd::new(stop, PollFlags::IN),
    ];
    let longest = Timespec::try_from(longest).map_err(io::Error::other)?;
    match poll(&mut polled, Some(&longest)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Ok(Ready::Nothing),
        Ok(_) if !polled[1].revents().is_empty() => Ok(Ready::Stop),
        Ok(_) if polled[0].revents().contains(PollFlags::IN) => Ok(Ready::Faults),
        Ok(_) => Err(io::Error::other("the userfaultfd is unusable")),
        Err(error) => Err(error.into()),
    }
}
