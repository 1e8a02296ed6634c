//! What this host offers for a guest to run on.

use crate::guest::accel::{self, Accel};
use crate::guest::dirty::choice::{self, Kind};

/// Chosen once, when the engine starts.
#[derive(Debug, Clone)]
pub struct Platform {
    /// How QEMU runs the guest.
    pub accel: accel::Choice,
    /// How the pages that it writes are found.
    pub tracker: choice::Choice,
}

impl Platform {
    /// What was asked for, and not found by probing.
    pub fn of(accel: Accel, kind: Kind) -> Self {
        Self {
            accel: accel::Choice {
                accel,
                reason: None,
            },
            tracker: choice::Choice { kind, reason: None },
        }
    }
}
