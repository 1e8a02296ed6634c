//! The capture of an epoch: when, what happens while the guest is paused, and the staging area that it is copied into.

mod encoding;
mod growth;
mod paused_share;
mod policy;
mod shadow;
mod staging;
mod statistics;
mod tuning;

pub use encoding::{
    Chooser, DrainRate, Encoding, EncodingName, LinkRate, UNKNOWN_LINK_NS_PER_BYTE,
};
pub use paused_share::PausedShare;
pub use policy::{EpochBounds, Policy};
pub use shadow::Shadow;
pub use staging::Staging;
pub use statistics::{Part, Statistics, Stopwatch};
pub use tuning::{Commit, Compression, SyncMode, Tuning, TuningChange, TuningError};
