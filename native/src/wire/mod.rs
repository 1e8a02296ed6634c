//! The transaction protocol: one TCP connection from the primary to the secondary.
//!
//! ```text
//!  primary                                               secondary
//!    │ Call {half of the session}                            │
//!    │ ────────────────────────────────────────────────────▶ │
//!    │                        Challenge {half of the session}│
//!    │ ◀──────────────────────────────────────────────────── │
//!    │ Hello {resource, vm, generation, fingerprint…}        │
//!    │ ────────────────────────────────────────────────────▶ │
//!    │            Welcome {what replica I hold} │ Refuse     │
//!    │ ◀──────────────────────────────────────────────────── │
//!    │                                                       │
//!    │ SyncBegin (from here the replica is worthless)        │
//!    │ SyncPages* (baseline, applied directly)               │
//!    │ TrialState+, Trial (load this into a scratch machine) │
//!    │ ────────────────────────────────────────────────────▶ │  no page is sent meanwhile
//!    │                                  TrialResult          │
//!    │ ◀──────────────────────────────────────────────────── │
//!    │ SyncPages* (what was written meanwhile)               │
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
//!    │              Heartbeat     nothing else to say (both) │
//! ```
//!
//! Every frame is a 64-byte [`Header`] and its payload. Each direction numbers its frames from 0, so that a lost,
//! repeated or reordered frame is noticed; header and payload have a checksum each; `Commit` repeats the counts and a
//! digest of the whole transaction. From `Hello` on every frame bears the connection's session ([`session()`]), so that
//! no frame of another connection or of another life of an engine is ever taken for one of this. Whatever does not fit
//! ends the connection and changes nothing (invariant I4).
//!
//! Between hosts all of this travels within TLS 1.3 (`link/secure`), which keeps it secret and makes it impossible to
//! forge; plain TCP is for those who ask for it. The checksums find what is broken, they keep out nobody.
//!
//! `Deltas` and `DeviceDelta` change what this very connection has committed; each names the hash of that, and the secondary
//! looks before it acknowledges. A connection begins with nothing that could be changed. Payloads of which there is much may
//! travel packed ([`packing`]).
//!
//! # Compatibility
//! 1. The first six bytes of every frame (magic and version, little-endian) keep their meaning for ever. So do the
//!    first byte's uses before the first frame: 0x4b (`K`) begins a frame, 0x16 begins TLS.
//! 2. Everything else belongs to the version, what precedes the first frame (TLS or nothing) included. Both engines of a
//!    resource run the same version: there is no negotiation, and no other format is ever written or read. A version, a
//!    kind, a packing or a size that is not known ends the connection.
//! 3. Who is called by another version answers with a `Refuse` of its own version, so that the other side can read that
//!    number: both say which versions met. The guest and the replica are as they were; for the primary it is a lost link
//!    as any other (frozen, or solo without a replica).
//! 4. Only the JSON payloads of `Hello`, `Welcome` and `Refuse` may gain fields within a version. None may go or change its
//!    meaning, and a receiver must be right without those that it does not know.
//! 5. Any other change of bytes, or of what they mean, raises [`limits::PROTOCOL_VERSION`], and the table below says what.
//!    Numbers of kinds that are gone are not given again. The format of QEMU's device state is no part of the version:
//!    the fingerprint in `Hello` compares the machines.
//!
//! So two versions never share a guest. To install another one, upgrade the secondary's host first (the guest runs on
//! without a replica), then end the guest, and upgrade the other host.
//!
//! | version | changed |
//! |---|---|
//! | 1 | the first |
//! | 2 | `Deltas` |
//! | 3 | `Hello` says what the machine is by value and by set; `DeviceDelta`; packed payloads; no `Cancel` (11): what has begun is all captured, so it ends with its connection only |
//! | 4 | TLS before the first frame; `Call`, `Challenge` and a session in every header; `Heartbeat`; `TrialState`, `Trial`, `TrialResult` |
//! | 5 | `Begin` says when the guest was stopped, and how far its clocks were behind |
//! | 6 | every packet in `Outputs` and `Input` begins with the number of its interface |

mod cursor;
pub mod deltas;
pub mod device_delta;
pub mod encoder;
mod fingerprint;
pub mod frame;
pub mod hello;
pub mod limits;
pub mod opening;
pub mod outgoing;
pub mod outputs;
pub mod packing;
mod page_frame;
pub mod pages;
mod patch;
pub mod reader;
pub mod session;
mod tally;
pub mod transaction;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;

pub use deltas::{Base, Delta, Deltas, DeltasError, page_hash};
pub use device_delta::{DeviceBase, DeviceDelta, DeviceDeltaError, device_state_hash};
pub use encoder::{CapturedRun, ControlKind, Direction, Encoder};
pub use fingerprint::Fingerprint;
pub use frame::{Frame, FrameError, FrameKind, Header};
pub use hello::{
    Hello, HelloError, HelloRole, Refuse, RefuseCode, ReplicaHeld, TrialResult, Welcome,
};
pub use opening::Opening;
pub use outgoing::{Outgoing, Progress};
pub use outputs::{OutputsError, Packets};
pub use packing::{Codec, PackingError};
pub use pages::{Content, PageRun, PageRuns, PagesError};
pub use reader::{Filled, FrameReader};
pub use session::{Half, session};
pub use transaction::{
    Acknowledgement, Assembly, Committed, CompleteTransaction, DeviceState, Step, Violation,
};
