//! Why a transaction is refused.

use thiserror::Error;

use super::super::deltas::DeltasError;
use super::super::device_delta::DeviceDeltaError;
use super::super::frame::FrameKind;
use super::super::limits::MAX_DEVICE_STATE;
use super::super::outputs::OutputsError;
use super::super::pages::PagesError;
use super::super::tally::Totals;

/// Why a frame does not fit. Everything staged has been dropped; the last complete replica is untouched; the connection
/// is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Violation {
    /// No transaction is expected: `expect` was not called, or an earlier frame did not fit.
    #[error("{found:?} frame, but no transaction is expected")]
    Unready {
        /// The frame's kind.
        found: FrameKind,
    },
    /// A frame at a place where the protocol does not have it.
    #[error("{found:?} frame, expected {expected}")]
    Order {
        /// The frame's kind.
        found: FrameKind,
        /// What may come at this place.
        expected: &'static str,
    },
    /// A frame of another history of the guest.
    #[error("{kind:?} frame of generation {found}, expected {expected}")]
    Generation {
        /// The frame's kind.
        kind: FrameKind,
        /// The generation of the replica.
        expected: u64,
        /// The frame's generation.
        found: u64,
    },
    /// A frame of another epoch than the one that comes next.
    #[error("{kind:?} frame of epoch {found}, expected {expected}")]
    Epoch {
        /// The frame's kind.
        kind: FrameKind,
        /// The epoch that comes next.
        expected: u64,
        /// The frame's epoch.
        found: u64,
    },
    /// A payload of fixed length has another one.
    #[error("{kind:?} payload of {found} bytes does not have the right length")]
    PayloadLength {
        /// The frame's kind.
        kind: FrameKind,
        /// Its length, bytes.
        found: usize,
    },
    /// A payload of pages is malformed.
    #[error("pages of the transaction are malformed")]
    Pages(#[from] PagesError),
    /// A payload of changes is malformed.
    #[error("deltas of the transaction are malformed")]
    Deltas(#[from] DeltasError),
    /// A changed device state is malformed.
    #[error("the change of the transaction's device state is malformed")]
    DeviceDelta(#[from] DeviceDeltaError),
    /// More device state than a guest has.
    #[error("device state of more than {MAX_DEVICE_STATE} bytes")]
    DeviceState,
    /// A payload of packets is malformed.
    #[error("outputs of the transaction are malformed")]
    Outputs(#[from] OutputsError),
    /// More than the staging area may hold.
    #[error("transaction of more than {limit} bytes")]
    TooLarge {
        /// The bound, bytes.
        limit: usize,
    },
    /// There is no memory for the staging area.
    #[error("no memory to stage a transaction of {bytes} bytes")]
    NoMemory {
        /// What would have been needed, bytes.
        bytes: usize,
    },
    /// Counts or digest differ: a frame is missing or not of this transaction.
    #[error("transaction is {found}, but its commit says {expected}")]
    Totals {
        /// What the primary counted.
        expected: Box<Totals>,
        /// What arrived.
        found: Box<Totals>,
    },
}
