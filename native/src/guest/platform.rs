//! What this host offers for a guest to run on.

use crate::guest::accel;
use crate::guest::dirty::choice;

/// Chosen once, when the engine starts.
#[derive(Debug, Clone)]
pub struct Platform {
    /// How QEMU runs the guest.
    pub accel: accel::Choice,
    /// How the pages that it writes are found.
    pub tracker: choice::Choice,
}
