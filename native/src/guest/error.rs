//! What can go wrong with a guest, in sentences that say what to do.

use std::io;
use std::path::PathBuf;

use crate::guest::dirty::TrackerError;
use crate::guest::ram_blocks::RamBlockError;
use crate::qmp::QmpError;

/// Why a guest could not be started or went away.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The host lacks the memory.
    #[error(
        "cannot reserve {mib} MiB of memory for the guest's RAM: free memory on this host, or make the guest smaller"
    )]
    Memory {
        /// RAM of the guest.
        mib: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The host lacks the memory for a second copy.
    #[error(
        "cannot reserve another {mib} MiB of memory to compare the guest's RAM with: free memory on this host, make the \
         guest smaller, or boot Linux 6.7 or later, where nothing has to be compared"
    )]
    Copy {
        /// RAM of the guest.
        mib: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// QEMU did not come up.
    #[error("QEMU did not start: {output}")]
    Start {
        /// QEMU's own words.
        output: String,
        /// What failed on our side.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The preload library did not deliver.
    #[error(
        "QEMU did not hand over its userfaultfds ({detail}): is the preload library {library} in place?"
    )]
    Preload {
        /// The library's path.
        library: PathBuf,
        /// What came instead.
        detail: String,
    },
    /// The machine contains something whose state cannot be saved.
    #[error("the state of this machine cannot be saved: {0}")]
    NotMigratable(String),
    /// The machine contains memory that a replica would lack.
    #[error(transparent)]
    RamBlock(#[from] RamBlockError),
    /// The machine type is another machine with another QEMU.
    #[error(
        "the machine type {alias} means another machine with each version of QEMU: write {name} instead, on both nodes"
    )]
    MachineAlias {
        /// What was written.
        alias: String,
        /// What it means to this QEMU.
        name: String,
    },
    /// QEMU is gone.
    #[error("QEMU (pid {pid}) {how}")]
    Gone {
        /// Its pid.
        pid: u32,
        /// How it ended.
        how: String,
    },
    /// The state could not be loaded at promotion.
    #[error("QEMU could not load the replica's device state: {output}")]
    Load {
        /// QEMU's own words.
        output: String,
    },
    /// The gate did not hold.
    #[error(
        "QEMU (pid {pid}) did not wait while the guest's RAM was read: what was read is worthless"
    )]
    RanOn {
        /// QEMU.
        pid: u32,
    },
    /// The dirty-page tracker failed.
    #[error(transparent)]
    Tracker(#[from] TrackerError),
    /// QMP failed.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// A system call failed.
    #[error("{step} failed")]
    Call {
        /// Which.
        step: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A system call of `step` has failed.
pub(super) fn call(step: &'static str) -> impl FnOnce(io::Error) -> GuestError {
    move |source| GuestError::Call { step, source }
}
