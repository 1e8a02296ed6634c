//! The messages, exactly as the golden samples in `test/contract/control` have them.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::limits::CONTROL_VERSION;

/// Whose guest runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The guest runs here.
    Primary,
    /// The replica is here.
    Secondary,
}

/// State of an engine; ARCHITECTURE.md has the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Secondary: QEMU waits with an empty replica.
    Empty,
    /// Secondary: a baseline is arriving.
    Receiving,
    /// Secondary: a complete replica of the last acked epoch.
    InSync,
    /// Secondary: the same, and the primary has given it the guest.
    HandedOver,
    /// Secondary: demoted while solo; the only copy, paused.
    Parked,
    /// Primary: runs without a replica, allowed to.
    Solo,
    /// Primary: runs, a replica is being built.
    Syncing,
    /// Primary: runs, outputs are held until acked.
    Protected,
    /// Primary: outputs are held because the replica may be gone.
    Frozen,
    /// Primary: the guest powered itself off.
    Ended,
}

/// What the guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestState {
    /// There is no QEMU.
    None,
    /// QEMU waits for a state to be loaded.
    Incoming,
    /// The guest runs (the short stops of checkpoints are not shown).
    Running,
    /// The guest is stopped.
    Paused,
    /// The guest powered itself off.
    Ended,
}

/// How QEMU runs the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accel {
    /// By KVM.
    Kvm,
    /// By translation.
    Tcg,
}

/// How changed pages are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tracker {
    /// `PAGEMAP_SCAN` (Linux 6.7).
    PagemapScan,
    /// Comparison with the last copy (slow).
    Compare,
}

/// The engine on the other host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Whether the link to it is up and its handshake accepted.
    pub connected: bool,
    /// Its node name, once known.
    pub node: Option<String>,
    /// Its life, once known.
    pub engine_id: Option<Uuid>,
}

/// How far the baseline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncProgress {
    /// 0 to 100.
    pub percent: u8,
    /// Pre-copy round, from 1.
    pub round: u32,
    /// Bytes sent or received so far.
    pub bytes: u64,
    /// Rate, bytes per second.
    pub bytes_per_second: u64,
}

/// Quantiles of a measure; the field's name has the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantiles {
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Largest.
    pub max: u64,
}

/// How long the last promotion took, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromotionTimes {
    /// Loading the device state.
    pub load: u64,
    /// All of it.
    pub total: u64,
}

/// Everything that `status` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// This life of this engine.
    pub engine_id: Uuid,
    /// Version of this engine.
    pub engine_version: String,
    /// Name of the Pacemaker resource.
    pub resource: String,
    /// Whose guest runs.
    pub role: Role,
    /// State of the engine.
    pub state: State,
    /// What the guest does.
    pub guest: GuestState,
    /// The guest's generation.
    pub generation: u64,
    /// The last acked epoch (primary) or the last epoch held (secondary).
    pub epoch: u64,
    /// The engine on the other host.
    pub peer: Peer,
    /// How QEMU runs the guest.
    pub accel: Accel,
    /// Why not otherwise.
    pub accel_reason: Option<String>,
    /// How changed pages are found.
    pub tracker: Tracker,
    /// QEMU's process id, if it runs.
    pub qemu_pid: Option<u32>,
    /// How far the baseline is, while there is one.
    pub sync_progress: Option<SyncProgress>,
    /// Packets that wait for an ack.
    pub held_packets: u64,
    /// Their bytes.
    pub held_bytes: u64,
    /// Packets released since the engine started.
    pub released_packets: u64,
    /// Checkpoints acked since the engine started.
    pub checkpoints: u64,
    /// How long the guest was paused for a checkpoint, microseconds.
    pub pause_us: Option<Quantiles>,
    /// Pages of a checkpoint.
    pub dirty_pages: Option<Quantiles>,
    /// The last promotion, microseconds.
    pub promotion_us: Option<PromotionTimes>,
    /// How long ago the data thread last went round its loop, milliseconds. The board fills it in.
    pub data_thread_idle_ms: u64,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
}

/// How to promote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromoteMode {
    /// Start the guest from its disk.
    Cold,
    /// Continue the guest from its replica.
    Hot,
}

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

/// What the supervisor asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// How are you?
    Status {},
    /// Tell me every event from now on.
    Subscribe {},
    /// Run the guest.
    Promote {
        /// From where.
        mode: PromoteMode,
        /// The generation that begins.
        generation: u64,
    },
    /// Stop running the guest, without a loss.
    Demote {
        /// How long to wait for a replica to be complete, milliseconds.
        timeout_ms: u64,
    },
    /// Run without a replica: the supervisor has proof that there is none.
    EnterSolo {
        /// The generation that begins.
        generation: u64,
    },
    /// End QEMU and the engine.
    Stop {},
}

/// A request: `{"v":1,"id":…,"command":…}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The client's number for it; the reply repeats it.
    pub id: u64,
    /// What is asked.
    pub command: Command,
}

/// A request that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct BadRequest {
    /// The request's number if that much could be read, else 0.
    pub id: u64,
    /// What is wrong with it.
    pub message: String,
}

impl Request {
    /// Reads one line.
    ///
    /// # Errors
    /// [`BadRequest`]: not JSON, another version, an unknown command, an unknown, missing or wrong field.
    pub fn parse(line: &[u8]) -> Result<Self, BadRequest> {
        let bad = |id, message| BadRequest { id, message };
        let mut value: serde_json::Value = serde_json::from_slice(line)
            .map_err(|error| bad(0, format!("line is not JSON: {error}")))?;
        let fields = value
            .as_object_mut()
            .ok_or_else(|| bad(0, "request is not a JSON object".to_owned()))?;
        let id = fields.remove("id");
        let number = id.as_ref().and_then(serde_json::Value::as_u64);
        match fields.remove("v") {
            Some(version) if version.as_u64() == Some(CONTROL_VERSION) => {}
            Some(version) => {
                let message = format!(
                    "version {version} is not supported: this engine speaks version {CONTROL_VERSION}"
                );
                return Err(bad(number.unwrap_or(0), message));
            }
            None => {
                let message =
                    format!("field \"v\" is missing: this engine speaks version {CONTROL_VERSION}");
                return Err(bad(number.unwrap_or(0), message));
            }
        }
        let Some(id) = number else {
            return Err(bad(
                0,
                "field \"id\" is missing or not a whole number from 0".to_owned(),
            ));
        };
        let command = serde_json::from_value(value)
            .map_err(|error| bad(id, format!("request is not valid: {error}")))?;
        Ok(Self { id, command })
    }
}

impl Serialize for Request {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Line<'a> {
            v: u64,
            id: u64,
            #[serde(flatten)]
            command: &'a Command,
        }
        Line {
            v: CONTROL_VERSION,
            id: self.id,
            command: &self.command,
        }
        .serialize(serializer)
    }
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
        }
    }
}

impl TryFrom<OkFields> for OkBody {
    type Error = &'static str;

    fn try_from(fields: OkFields) -> Result<Self, Self::Error> {
        match fields {
            OkFields {
                status: None,
                promoted: None,
                demoted: None,
            } => Ok(Self::Empty),
            OkFields {
                status: Some(status),
                promoted: None,
                demoted: None,
            } => Ok(Self::Status(status)),
            OkFields {
                status: None,
                promoted: Some(mode),
                demoted: None,
            } => Ok(Self::Promoted(mode)),
            OkFields {
                status: None,
                promoted: None,
                demoted: Some(outcome),
            } => Ok(Self::Demoted(outcome)),
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
        /// The last epoch, as in [`Status::epoch`].
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
    /// [`CONTROL_VERSION`].
    pub v: u64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn golden(name: &str) -> Vec<Value> {
        let path = format!(
            "{}/../test/contract/control/{name}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let samples: Vec<Value> =
            serde_json::from_str(&text).expect("golden samples are a JSON array");
        assert!(!samples.is_empty(), "{path} has samples");
        samples
    }

    #[test]
    fn every_golden_request_is_read_and_written_alike() {
        for sample in golden("requests") {
            let request = Request::parse(sample.to_string().as_bytes())
                .unwrap_or_else(|error| panic!("{sample}: {error}"));
            assert_eq!(serde_json::to_value(request).expect("serialises"), sample);
        }
    }

    #[test]
    fn every_golden_reply_is_read_and_written_alike() {
        for sample in golden("replies") {
            let reply: Reply = serde_json::from_value(sample.clone())
                .unwrap_or_else(|error| panic!("{sample}: {error}"));
            assert_eq!(serde_json::to_value(reply).expect("serialises"), sample);
        }
    }

    #[test]
    fn every_golden_event_is_read_and_written_alike() {
        for sample in golden("events") {
            let event: EventLine = serde_json::from_value(sample.clone())
                .unwrap_or_else(|error| panic!("{sample}: {error}"));
            assert_eq!(serde_json::to_value(event).expect("serialises"), sample);
        }
    }

    #[test]
    fn what_is_wrong_with_a_request_is_named() {
        for (line, id, part) in [
            ("", 0, "line is not JSON: EOF while parsing"),
            ("nonsense", 0, "line is not JSON: expected ident at line 1"),
            ("[]", 0, "not a JSON object"),
            (
                r#"{"v":2,"id":5,"command":"status"}"#,
                5,
                "version 2 is not supported: this engine speaks version 1",
            ),
            (r#"{"id":5,"command":"status"}"#, 5, "\"v\" is missing"),
            (r#"{"v":1,"command":"status"}"#, 0, "\"id\" is missing"),
            (
                r#"{"v":1,"id":-1,"command":"status"}"#,
                0,
                "\"id\" is missing or not",
            ),
            (r#"{"v":1,"id":5}"#, 5, "missing field `command`"),
            (
                r#"{"v":1,"id":5,"command":"explode"}"#,
                5,
                "unknown variant `explode`",
            ),
            (
                r#"{"v":1,"id":5,"command":"status","verbose":true}"#,
                5,
                "unknown field `verbose`",
            ),
            (
                r#"{"v":1,"id":5,"command":"stop","force":true}"#,
                5,
                "unknown field `force`",
            ),
            (
                r#"{"v":1,"id":5,"command":"demote"}"#,
                5,
                "missing field `timeout_ms`",
            ),
            (
                r#"{"v":1,"id":5,"command":"enter-solo","generation":"3"}"#,
                5,
                "invalid type: string",
            ),
        ] {
            let error = Request::parse(line.as_bytes()).expect_err(line);
            assert_eq!(error.id, id, "{line}");
            assert!(error.message.contains(part), "{line}: {error}");
        }
    }
}
