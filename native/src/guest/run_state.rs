//! How QEMU says that the guest is.

use serde_json::Value;

/// Whether the guest can run, now or when it is told to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// It runs, or waits to be told to.
    Sound,
    /// It does not run, and will not: QEMU's word for why.
    Broken(String),
}

/// QEMU's words (qapi/run-state.json, `RunState`) for a guest that something has stopped for good.
const BROKEN: [&str; 4] = ["internal-error", "io-error", "guest-panicked", "watchdog"];

impl RunState {
    /// Of the answer to `query-status`. A word that is not known says nothing against the guest.
    pub fn from_answer(answer: &Value) -> Self {
        match answer["status"].as_str() {
            Some(word) if BROKEN.contains(&word) => Self::Broken(word.to_owned()),
            _ => Self::Sound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_stops_a_guest_for_good_counts_against_it() {
        for word in [
            "running",
            "paused",
            "inmigrate",
            "postmigrate",
            "shutdown",
            "not known yet",
        ] {
            assert_eq!(
                RunState::from_answer(&json!({"status": word})),
                RunState::Sound
            );
        }
        for word in BROKEN {
            let answer = json!({"status": word, "running": false, "singlestep": false});
            assert_eq!(
                RunState::from_answer(&answer),
                RunState::Broken(word.to_owned())
            );
        }
        assert_eq!(RunState::from_answer(&json!(null)), RunState::Sound);
    }
}
