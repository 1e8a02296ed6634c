//! The transaction protocol: one TCP connection from the primary to the secondary.
//!
//! ```text
//!  primary                                               secondary
//!    │ Hello {resource, vm, generation, fingerprint…}        │
//!    │ ────────────────────────────────────────────────────▶ │
//!    │            Welcome {what replica I hold} │ Refuse     │
//!    │ ◀──────────────────────────────────────────────────── │
//!    │                                                       │
//!    │ SyncBegin (from here the replica is worthless)        │
//!    │ SyncPages* (baseline, applied directly)               │
//!    │ ────────────────────────────────────────────────────▶ │
//!    │                                                       │
//!    │ Begin, Pages*, Deltas?, (DeviceState+ or DeviceDelta),│  staged: nothing of it counts
//!    │ Outputs*, Commit                                      │  before Commit has been checked
//!    │ ────────────────────────────────────────────────────▶ │
//!    │                                      Ack (whole epoch)│
//!    │ ◀──────────────────────────────────────────────────── │  then it is applied, in order
//!    │                                                       │
//!    │ Input*       what the guest was given since           │
//!    │ Handover / HandoverAck     planned switchover         │
//!    │ End / EndAck               the guest powered off      │
//!    │              Farewell      my replica is outdated     │
//! ```
//!
//! Every frame is a 64-byte [`Header`] and its payload. Each direction numbers its frames from 0, so that a lost,
//! repeated or reordered frame is noticed; header and payload have a checksum each; `Commit` repeats the counts and a
//! digest of the whole transaction. Whatever does not fit ends the connection and changes nothing (invariant I4).
//!
//! `Deltas` and `DeviceDelta` change what this very connection has committed; each names the hash of that, and the secondary
//! looks before it acknowledges. A connection begins with nothing that could be changed. Payloads of which there is much may
//! travel packed ([`packing`]).
//!
//! **Compatibility.** The first six bytes (magic and version) keep their meaning for ever; everything else belongs to
//! the version. A receiver refuses a version, a kind and a packing that it does not know, and reserved bytes that are not zero:
//! both engines of a resource run the same protocol version, so both hosts are updated before the resource is protected
//! again. Only the JSON payloads of `Hello`, `Welcome` and `Refuse` may gain fields within a version; a receiver ignores those
//! that it does not know. Any other change raises [`limits::PROTOCOL_VERSION`]. Numbers of kinds that are gone are not given
//! again.
//!
//! | version | changed |
//! |---|---|
//! | 1 | the first |
//! | 2 | `Deltas` |
//! | 3 | `Hello` says what the machine is by value and by set; `DeviceDelta`; packed payloads; no `Cancel` (11): what has begun is all captured, so it ends with its connection only |

mod cursor;
pub mod deltas;
pub mod device_delta;
pub mod encoder;
mod fingerprint;
pub mod frame;
pub mod hello;
pub mod limits;
pub mod outgoing;
pub mod outputs;
pub mod packing;
mod page_frame;
pub mod pages;
mod patch;
pub mod reader;
mod tally;
pub mod transaction;

#[cfg(test)]
mod properties;

pub use deltas::{Base, Delta, Deltas, DeltasError, page_hash};
pub use device_delta::{DeviceBase, DeviceDelta, DeviceDeltaError, device_state_hash};
pub use encoder::{CapturedRun, ControlKind, Direction, Encoder};
pub use fingerprint::Fingerprint;
pub use frame::{Frame, FrameError, FrameKind, Header};
pub use hello::{Hello, HelloError, HelloRole, Refuse, RefuseCode, ReplicaHeld, Welcome};
pub use outgoing::{Outgoing, Progress};
pub use outputs::{OutputsError, Packets};
pub use packing::{Codec, PackingError};
pub use pages::{Content, PageRun, PageRuns, PagesError};
pub use reader::{Filled, FrameReader};
pub use transaction::{
    Acknowledgement, Assembly, Committed, CompleteTransaction, DeviceState, Step, Violation,
};
