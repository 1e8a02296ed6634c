//! The two threads that have the ground in turn: one collects written pages and captures them, the other answers writes.
//!
//! A chunk that changes its temperature is compared with what it was before (see [`super::ground`]): a capture in the middle
//! of that could copy what the guest takes back before the comparison, and the page would count as unwritten. So there are no
//! changes from the beginning of a capture to its end, and a change that has begun is waited for. For a checkpoint that
//! is done before the guest is asked to stop: in its pause nobody waits for a change, and nobody makes one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::TrackerError;
use super::ground::Ground;

/// How often a thread that gives way looks whether the other one has come, which it does within microseconds if it gets
/// a processor.
const LOOKS_MAX: usize = 1000;

/// What came of an attempt to cool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cooled {
    /// Some chunks are cold now, or have been found busy.
    Some,
    /// There are none that should be cold.
    Nothing,
    /// RAM is being captured.
    NotNow,
}

/// The ground, and whether it may be changed.
#[derive(Debug)]
pub(super) struct Turns {
    ground: Mutex<Ground>,
    /// Threads that wait for it.
    waiting: AtomicUsize,
    capturing: AtomicBool,
}

impl Turns {
    pub(super) fn new(ground: Ground) -> Self {
        Self {
            ground: Mutex::new(ground),
            waiting: AtomicUsize::new(0),
            capturing: AtomicBool::new(false),
        }
    }

    /// A turn of its own for whoever asks.
    pub(super) fn take(&self) -> MutexGuard<'_, Ground> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let ground = self.ground.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        ground
    }

    /// The other thread's turn, if it waits for one: the mutex alone would nearly always come back to the one that has just had
    /// it.
    fn give_way<'a>(&'a self, ground: MutexGuard<'a, Ground>) -> MutexGuard<'a, Ground> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return ground;
        }
        drop(ground);
        for _ in 0..LOOKS_MAX {
            if self.waiting.load(Ordering::Relaxed) == 0 {
                break;
            }
            thread::yield_now();
        }
        self.take()
    }

    /// From now on no chunk changes its temperature.
    pub(super) fn begin_capture(&self) {
        self.capturing.store(true, Ordering::Release);
        // Whoever is changing one now comes to its end first.
        drop(self.take());
    }

    /// Chunks may change their temperature again.
    pub(super) fn end_capture(&self) {
        self.capturing.store(false, Ordering::Release);
    }

    fn may_change(&self) -> bool {
        !self.capturing.load(Ordering::Acquire)
    }

    /// Protects all of RAM: what was written before is forgotten. Piece by piece, for a guest that writes meanwhile waits.
    pub(super) fn rearm(&self) -> Result<(), TrackerError> {
        let mut ground = self.take();
        let mut rest = ground.forget();
        while !rest.is_empty() {
            rest = ground.rearm(rest)?;
            ground = self.give_way(ground);
        }
        Ok(())
    }

    /// Answers everybody who waits to write to a cold page, and has not been answered yet; after each of them the other
    /// thread has its turn if it waits for one.
    pub(super) fn answer_all(&self) {
        let mut ground = self.take();
        while ground.answer_next(self.may_change()) {
            ground = self.give_way(ground);
        }
    }

    /// Makes some chunks cold that were not written for long.
    pub(super) fn cool(&self) -> Cooled {
        if !self.may_change() {
            // Not even for a look: somebody else is about to need it.
            return Cooled::NotNow;
        }
        let mut ground = self.take();
        if !self.may_change() {
            Cooled::NotNow
        } else if ground.cool() {
            Cooled::Some
        } else {
            Cooled::Nothing
        }
    }
}
