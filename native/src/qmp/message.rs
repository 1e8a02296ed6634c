//! One line from QEMU, parsed into a type.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Something that QEMU tells unasked and that concerns us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestEvent {
    /// The guest powered itself off; QEMU has paused it (`-action shutdown=pause`).
    PoweredOff,
    /// The machine was reset; it runs on by itself.
    Reset,
    /// The vCPUs stand still since this time of the host's clock (since 1970).
    Stopped(Duration),
    /// The vCPUs run again since this time of the host's clock (since 1970).
    Resumed(Duration),
    /// The incoming device state has been loaded.
    Loaded,
    /// The incoming device state could not be loaded.
    LoadFailed,
}

/// A line, sorted by what it is.
#[derive(Debug)]
pub(super) enum Line {
    Greeting,
    /// The answer to the command that has waited for longest.
    Return(Value),
    /// The same, and the command was refused.
    Error {
        description: String,
    },
    Event(GuestEvent),
    /// An event that means nothing to us.
    Other,
}

/// What tells the kinds of lines apart. Text is borrowed: most lines come while the guest stands still, where nothing is
/// allocated.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(rename = "QMP")]
    greeting: Option<IgnoredAny>,
    #[serde(rename = "return")]
    value: Option<Value>,
    error: Option<RawError>,
    #[serde(borrow)]
    event: Option<Name<'a>>,
    timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A line again, now that it is known to be of an event that says more.
#[derive(Deserialize)]
struct Telling<T> {
    data: T,
}

#[derive(Deserialize)]
struct Shutdown {
    guest: bool,
}

#[derive(Deserialize)]
struct Migration<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Timestamp {
    seconds: u64,
    microseconds: u64,
}

impl Timestamp {
    fn since_1970(&self) -> Duration {
        Duration::from_secs(self.seconds) + Duration::from_micros(self.microseconds)
    }
}

#[derive(Deserialize)]
struct RawError {
    desc: String,
}

impl Line {
    pub(super) fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        let raw: Raw = serde_json::from_slice(line)?;
        Ok(match raw {
            Raw {
                greeting: Some(_), ..
            } => Self::Greeting,
            Raw {
                value: Some(value), ..
            } => Self::Return(value),
            Raw {
                error: Some(error), ..
            } => Self::Error {
                description: error.desc,
            },
            Raw {
                event: Some(Name(name)),
                timestamp,
                ..
            } => event(&name, line, timestamp.as_ref())?.map_or(Self::Other, Self::Event),
            _ => Self::Other,
        })
    }
}

fn event(
    name: &str,
    line: &[u8],
    timestamp: Option<&Timestamp>,
) -> Result<Option<GuestEvent>, serde_json::Error> {
    let at = timestamp.map(Timestamp::since_1970);
    Ok(match name {
        "SHUTDOWN" => {
            let told: Telling<Shutdown> = serde_json::from_slice(line)?;
            // Not when QEMU is being ended from outside: that guest is to be continued elsewhere.
            told.data.guest.then_some(GuestEvent::PoweredOff)
        }
        "STOP" => at.map(GuestEvent::Stopped),
        "RESUME" => at.map(GuestEvent::Resumed),
        "RESET" => Some(GuestEvent::Reset),
        "MIGRATION" => {
            let told: Telling<Migration<'_>> = serde_json::from_slice(line)?;
            match &*told.data.status {
                "completed" => Some(GuestEvent::Loaded),
                "failed" => Some(GuestEvent::LoadFailed),
                _ => None,
            }
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sorted_by_what_they_are() {
        let parse = |text: &str| Line::parse(text.as_bytes()).expect("valid");
        assert!(matches!(parse(r#"{"QMP":{"version":{}}}"#), Line::Greeting));
        assert!(matches!(parse(r#"{"return":{}}"#), Line::Return(_)));
        assert!(matches!(
            parse(r#"{"error":{"class":"GenericError","desc":"no"}}"#),
            Line::Error { .. }
        ));
        let shutdown = r#"{"timestamp":{"seconds":1,"microseconds":2},"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-shutdown"}}"#;
        assert!(matches!(
            parse(shutdown),
            Line::Event(GuestEvent::PoweredOff)
        ));
        assert!(matches!(
            parse(r#"{"event":"MIGRATION","data":{"status":"completed"}}"#),
            Line::Event(GuestEvent::Loaded)
        ));
        assert!(matches!(parse(r#"{"event":"STOP"}"#), Line::Other));
        let stop = r#"{"timestamp":{"seconds":7,"microseconds":8},"event":"STOP"}"#;
        let at = Duration::from_micros(7_000_008);
        assert!(matches!(parse(stop), Line::Event(GuestEvent::Stopped(found)) if found == at));
        let other = r#"{"event":"JOB","data":{"status":1,"guest":"x"},"timestamp":{"seconds":1,"microseconds":2}}"#;
        assert!(matches!(parse(other), Line::Other));
        for broken in [
            "not json",
            r#"{"event":"MIGRATION","data":{"status":7}}"#,
            r#"{"event":"SHUTDOWN"}"#,
        ] {
            assert!(Line::parse(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
