//! The guest's time, which stands still in QEMU while its vCPUs are stopped.
//!
//! QEMU keeps it as two differences to clocks of the host: `CLOCK_MONOTONIC`, for its timers and every emulated clock, and
//! the TSC, for the guest's. It reads both when it stops the guest and both when it starts it, and takes what has passed
//! in between off the guest's time (`cpu_disable_ticks` and `cpu_enable_ticks`, softmmu/cpu-timers.c):
//!
//! ```text
//!  host      ───┬──────────────────────┬──────►        ───┬──────────────────────┬──────►
//!             stop                   start              stop                   start
//!  QEMU reads   a          b = a + stood                  a          told again: a
//!  guest     ───┘······················└──────►        ───┘······················──────►  as if it had not stood still
//! ```
//! So at a start it is told what it read at the stop. The differences are then what they were, to the nanosecond and to
//! the tick: no error adds up, a thread that reads the guest's time at any moment never sees it go back, and both clocks
//! stay in step. A guest that stood still for longer than a bound is set forward by the bound only; a state that was
//! loaded is a guest that stood still since it was captured.
//!
//! [`Keeper`] is the arithmetic, [`Page`] what the engine and the library inside QEMU say to each other.

mod keeper;
mod page;

pub use keeper::{Keeper, Moment, Told, forward_ns};
pub use page::{PAGE_BYTES, Page};
