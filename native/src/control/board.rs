//! What the data thread last said about itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::messages::Status;

/// Written by the data thread, read by the control thread. Clones share it.
#[derive(Debug, Clone)]
pub struct StatusBoard {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    status: Mutex<Status>,
    made: Instant,
    last_beat_ms: AtomicU64,
}

impl StatusBoard {
    /// A board that says `status` until something else is published.
    pub fn new(status: Status) -> Self {
        let shared = Shared {
            status: Mutex::new(status),
            made: Instant::now(),
            last_beat_ms: AtomicU64::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The data thread is alive. Cheap: call it in every round of its loop.
    pub fn beat(&self) {
        self.shared
            .last_beat_ms
            .store(self.now_ms(), Ordering::Relaxed);
    }

    /// Replaces the status. Its `data_thread_idle_ms` is not looked at. A sign of life, like `beat`.
    pub fn publish(&self, status: Status) {
        *self.lock() = status;
        self.beat();
    }

    /// Changes some of the status in place, without an allocation. A sign of life, like `beat`.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.lock());
        self.beat();
    }

    /// The status with `data_thread_idle_ms` as of now.
    pub fn snapshot(&self) -> Status {
        let mut status = self.lock().clone();
        let last_beat_ms = self.shared.last_beat_ms.load(Ordering::Relaxed);
        status.data_thread_idle_ms = self.now_ms().saturating_sub(last_beat_ms);
        status
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        // A panic while the status was changed leaves it readable: the last words of an engine matter most.
        self.shared
            .status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.shared.made.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
