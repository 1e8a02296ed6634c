//! What the engine tells its subscribers.

use serde::{Deserialize, Serialize};

use super::status::{Role, State};

/// What subscribers are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Role, state or generation changed.
    State {
        /// Whose guest runs.
        role: Role,
        /// State of the engine.
        state: State,
        /// The guest's generation.
        generation: u64,
        /// The last epoch, as in [`Status::epoch`](super::Status::epoch).
        epoch: u64,
    },
    /// The secondary's word that its replica of this generation is outdated.
    PeerOutdated {
        /// The generation.
        generation: u64,
    },
    /// The guest powered itself off.
    GuestEnded {
        /// The generation that is over.
        generation: u64,
    },
    /// The engine is about to end.
    Fatal {
        /// Why.
        message: String,
    },
}

/// An event as it travels: `{"v":1,"event":…}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    /// [`CONTROL_VERSION`](crate::control::limits::CONTROL_VERSION).
    pub v: u64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}
