//! What the supervisor asks.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::level_filters::LevelFilter;

use super::super::limits::CONTROL_VERSION;
use crate::checkpoint::TuningChange;

/// How to promote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromoteMode {
    /// Start the guest from its disk.
    Cold,
    /// Continue the guest from its replica.
    Hot,
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
    /// Begin the quantiles of `status` anew.
    RestartStatistics {},
    /// Synchronize differently from now on.
    Configure {
        /// What changes; the rest stays.
        tuning: TuningChange,
    },
    /// Log so much from now on.
    LogLevel {
        /// How much.
        level: LogLevel,
    },
    /// Ask the guest to power itself off.
    PressPowerButton {},
    /// End the guest as if it had powered itself off: no replica of it goes on.
    EndGuest {},
    /// Ask QEMU how the guest is; an answer without an error says that it is well.
    CheckGuest {},
    /// End QEMU and the engine.
    Stop {},
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What may be wrong.
    Warn,
    /// What happened.
    Info,
    /// Why.
    Debug,
    /// Everything.
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
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
