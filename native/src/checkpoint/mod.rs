//! The capture of an epoch: what happens while the guest is paused, and the staging area that it is copied into.

mod shadow;
mod staging;
mod statistics;

pub use shadow::Shadow;
pub use staging::Staging;
pub use statistics::{Part, Statistics, Stopwatch};
