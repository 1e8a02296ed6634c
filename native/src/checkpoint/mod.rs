//! The capture of an epoch: when, what happens while the guest is paused, and the staging area that it is copied into.

mod paused_share;
mod policy;
mod shadow;
mod staging;
mod statistics;
mod tuning;

pub use paused_share::PausedShare;
pub use policy::{EpochBounds, Policy};
pub use shadow::Shadow;
pub use staging::Staging;
pub use statistics::{Part, Statistics, Stopwatch};
pub use tuning::{Commit, SyncMode, Tuning, TuningChange, TuningError};
