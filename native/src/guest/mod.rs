//! The guest: its RAM, its QEMU, and the tracker of the pages that it writes.

pub mod accel;
mod checks;
pub mod clock;
pub mod command;
pub mod dirty;
mod error;
pub mod executable;
pub mod fingerprint;
pub mod identity;
mod incoming;
mod launch;
pub mod monitor;
mod output;
pub mod pages;
mod platform;
pub mod process;
pub mod ram_blocks;
mod run_state;
pub mod scratch;
pub mod state_gate;
pub mod vm;
mod vnc;

pub use error::GuestError;
pub use monitor::AfterSave;
pub use platform::Platform;
pub use process::{Guest, Start};
pub use run_state::RunState;
pub use scratch::{Scratch, Trial};
pub use vm::{Meanwhile, Ram, Receive, Vm};
