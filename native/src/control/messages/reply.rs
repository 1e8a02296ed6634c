//! What the engine answers.

use serde::{Deserialize, Serialize};

use super::super::limits::CONTROL_VERSION;
use super::request::PromoteMode;
use super::status::Status;
use crate::checkpoint::Tuning;

/// What became of the guest at a demotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DemoteOutcome {
    /// The secondary has it, complete.
    HandedOver,
    /// It is paused here; this is the only copy.
    Parked,
    /// It had ended; there is nothing to keep.
    Discarded,
}

/// What went wrong with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The request cannot be read.
    BadRequest,
    /// This engine is not what the order needs.
    WrongRole,
    /// The replica is not complete.
    ReplicaIncomplete,
    /// The peer runs the guest.
    PeerIsPrimary,
    /// The generation is not above the one held.
    StaleGeneration,
    /// The peer has not said that its replica is outdated.
    PeerNotOutdated,
    /// Not done within the time given.
    Timeout,
    /// QEMU has stopped the guest for good.
    GuestBroken,
    /// The engine or QEMU failed.
    EngineFailed,
}

/// What a successful reply says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "OkFields", try_from = "OkFields")]
pub enum OkBody {
    /// Done.
    Empty,
    /// The status.
    Status(Box<Status>),
    /// The guest runs.
    Promoted(PromoteMode),
    /// The guest does not run here any more.
    Demoted(DemoteOutcome),
    /// The settings now in force.
    Configured(Tuning),
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OkFields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<Box<Status>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    promoted: Option<PromoteMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    demoted: Option<DemoteOutcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    configured: Option<Tuning>,
}

impl From<OkBody> for OkFields {
    fn from(body: OkBody) -> Self {
        let empty = Self::default();
        match body {
            OkBody::Empty => empty,
            OkBody::Status(status) => Self {
                status: Some(status),
                ..empty
            },
            OkBody::Promoted(mode) => Self {
                promoted: Some(mode),
                ..empty
            },
            OkBody::Demoted(outcome) => Self {
                demoted: Some(outcome),
                ..empty
            },
            OkBody::Configured(tuning) => Self {
                configured: Some(tuning),
                ..empty
            },
        }
    }
}

impl TryFrom<OkFields> for OkBody {
    type Error = &'static str;

    fn try_from(fields: OkFields) -> Result<Self, Self::Error> {
        let OkFields {
            status,
            promoted,
            demoted,
            configured,
        } = fields;
        match (status, promoted, demoted, configured) {
            (None, None, None, None) => Ok(Self::Empty),
            (Some(status), None, None, None) => Ok(Self::Status(status)),
            (None, Some(mode), None, None) => Ok(Self::Promoted(mode)),
            (None, None, Some(outcome), None) => Ok(Self::Demoted(outcome)),
            (None, None, None, Some(tuning)) => Ok(Self::Configured(tuning)),
            _ => Err("a reply says one thing only"),
        }
    }
}

/// What a reply that is an error says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorBody {
    /// For the program.
    pub code: ErrorCode,
    /// For a person.
    pub message: String,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Well.
    Ok(OkBody),
    /// Not well.
    Error(ErrorBody),
}

/// A reply: `{"v":1,"id":…,"ok":{…}}` or `{"v":1,"id":…,"error":{…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// [`CONTROL_VERSION`].
    pub v: u64,
    /// The request's number.
    pub id: u64,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Reply {
    /// A reply of this engine's version.
    pub fn new(id: u64, outcome: Outcome) -> Self {
        Self {
            v: CONTROL_VERSION,
            id,
            outcome,
        }
    }
}
