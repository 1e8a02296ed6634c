//! What the main thread of QEMU alone may touch. It runs the main loop, and with it every stop and start of the guest.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering};

static MAIN: AtomicU64 = AtomicU64::new(0);

fn this_thread() -> libc::pthread_t {
    // SAFETY: no pointers; a register is read.
    unsafe { libc::pthread_self() }
}

/// From here on the calling thread is the main one.
pub(crate) fn become_it() {
    MAIN.store(this_thread(), Ordering::Release);
}

/// Whether the calling thread is the main one.
pub(crate) fn is_this() -> bool {
    MAIN.load(Ordering::Acquire) == this_thread()
}

/// A value of the main thread's.
pub(crate) struct MainThread<T>(UnsafeCell<T>);

// SAFETY: `with` gives access to one thread only.
unsafe impl<T> Sync for MainThread<T> {}

impl<T> MainThread<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Does `what` with it if this is the main thread. `what` must not come back here, nor read the TSC.
    pub(crate) fn with<R>(&self, what: impl FnOnce(&mut T) -> R) -> Option<R> {
        if !is_this() {
            return None;
        }
        // SAFETY: one thread only, and not twice at a time: the trap's handler is entered from QEMU's own code, never from
        // inside of `what`.
        Some(what(unsafe { &mut *self.0.get() }))
    }
}
