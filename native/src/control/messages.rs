//! The messages, exactly as the golden samples in `test/contract/control` have them.

mod event;
mod reply;
mod request;
mod status;

pub use event::{Event, EventLine};
pub use reply::{DemoteOutcome, ErrorBody, ErrorCode, OkBody, Outcome, Reply};
pub use request::{BadRequest, Command, PromoteMode, Request};
pub use status::{
    Accel, GuestState, PauseParts, PausedFor, Peer, PromotionTimes, Quantiles, Role, Setting,
    State, Status, SyncProgress, Tracker, Transport,
};

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
