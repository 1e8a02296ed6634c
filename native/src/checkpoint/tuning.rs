//! How a running guest is kept in step: chosen by the user, changeable at any time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What asks for a checkpoint, beside the age and the size of the epoch, which bound every mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncMode {
    /// Every output, at once: the shortest latency for a guest that does one thing at a time.
    Event,
    /// The clock: the least cost for a guest whose outputs may wait.
    Interval,
    /// Outputs, but those that are about to follow are waited for, within the latency budget.
    Adaptive,
}

/// When the guest runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Commit {
    /// When it has been captured; only its outputs wait for the ack.
    Pipelined,
    /// When the secondary has acknowledged, the original Kemari's way. Without a link it stands still: no more is lost at a
    /// failover than what ran since the last ack.
    Sync,
}

/// Whether what travels is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Never.
    Off,
    /// By LZ4, whatever gets shorter.
    Lz4,
    /// By Zstandard, whatever gets shorter.
    Zstd,
    /// By what is measured to be fastest over this link.
    Auto,
}

/// The settings of a guest's synchronization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// What asks for a checkpoint.
    pub sync_mode: SyncMode,
    /// When the guest runs on.
    pub commit: Commit,
    /// Time between two checkpoints in the mode `interval`, milliseconds.
    pub interval_ms: u32,
    /// Longest time that an output waits for others before its checkpoint begins, milliseconds.
    pub latency_budget_ms: u32,
    /// Largest share of its time that checkpoints may keep the guest paused for; 100: no bound. The bounds of an epoch go
    /// before it, and so does what brakes a guest that writes faster than its baseline is carried.
    pub paused_max_percent: u8,
    /// Whether what travels is packed.
    pub compression: Compression,
    /// A guest that is frozen for so long stands still until its outputs may go again, milliseconds; 0: it runs on.
    pub freeze_timeout_ms: u32,
}

/// A change of some of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuningChange {
    /// See [`Tuning`], as all of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_mode: Option<SyncMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "said at the first field")]
    pub commit: Option<Commit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "said at the first field")]
    pub interval_ms: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "said at the first field")]
    pub latency_budget_ms: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "said at the first field")]
    pub paused_max_percent: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "said at the first field")]
    pub compression: Option<Compression>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "said at the first field")]
    pub freeze_timeout_ms: Option<u32>,
}

/// A setting that is out of its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}: {expected}")]
pub struct TuningError {
    /// Which.
    pub field: &'static str,
    /// What was wanted.
    pub value: u32,
    /// What is possible.
    pub expected: &'static str,
}

impl Tuning {
    /// Checks the bounds.
    ///
    /// # Errors
    /// The first setting that is out of them.
    pub fn check(&self) -> Result<(), TuningError> {
        for (field, value, range, expected) in [
            (
                "interval_ms",
                self.interval_ms,
                1..=10_000,
                "1 to 10000 are possible",
            ),
            (
                "latency_budget_ms",
                self.latency_budget_ms,
                0..=1000,
                "0 to 1000 are possible",
            ),
            (
                "paused_max_percent",
                u32::from(self.paused_max_percent),
                10..=100,
                "10 to 100 are possible; 100 is no bound",
            ),
            (
                "freeze_timeout_ms",
                self.freeze_timeout_ms,
                0..=86_400_000,
                "0 to 86400000 are possible; 0 is never",
            ),
        ] {
            if !range.contains(&value) {
                return Err(TuningError {
                    field,
                    value,
                    expected,
                });
            }
        }
        Ok(())
    }

    /// These settings with the change.
    ///
    /// # Errors
    /// If that is out of the bounds.
    pub fn with(&self, change: &TuningChange) -> Result<Self, TuningError> {
        let changed = Self {
            sync_mode: change.sync_mode.unwrap_or(self.sync_mode),
            commit: change.commit.unwrap_or(self.commit),
            interval_ms: change.interval_ms.unwrap_or(self.interval_ms),
            latency_budget_ms: change.latency_budget_ms.unwrap_or(self.latency_budget_ms),
            paused_max_percent: change.paused_max_percent.unwrap_or(self.paused_max_percent),
            compression: change.compression.unwrap_or(self.compression),
            freeze_timeout_ms: change.freeze_timeout_ms.unwrap_or(self.freeze_timeout_ms),
        };
        changed.check().map(|()| changed)
    }

    /// [`Tuning::interval_ms`].
    pub fn interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.interval_ms))
    }

    /// [`Tuning::latency_budget_ms`].
    pub fn latency_budget(&self) -> Duration {
        Duration::from_millis(u64::from(self.latency_budget_ms))
    }

    /// [`Tuning::freeze_timeout_ms`]; nothing if a frozen guest is never stopped.
    pub fn freeze_timeout(&self) -> Option<Duration> {
        (self.freeze_timeout_ms > 0)
            .then(|| Duration::from_millis(u64::from(self.freeze_timeout_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNING: Tuning = Tuning {
        sync_mode: SyncMode::Event,
        commit: Commit::Pipelined,
        interval_ms: 20,
        latency_budget_ms: 5,
        paused_max_percent: 60,
        compression: Compression::Auto,
        freeze_timeout_ms: 60_000,
    };

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let change = TuningChange {
            commit: Some(Commit::Sync),
            ..TuningChange::default()
        };
        let changed = TUNING.with(&change).expect("in bounds");
        assert_eq!(
            changed,
            Tuning {
                commit: Commit::Sync,
                ..TUNING
            }
        );
    }

    #[test]
    fn what_is_out_of_bounds_is_named_and_changes_nothing() {
        for (change, sentence) in [
            (r#"{"interval_ms":0}"#, "interval_ms is 0: 1 to 10000"),
            (
                r#"{"latency_budget_ms":1001}"#,
                "latency_budget_ms is 1001: 0 to",
            ),
            (
                r#"{"paused_max_percent":9}"#,
                "paused_max_percent is 9: 10 to",
            ),
            (
                r#"{"freeze_timeout_ms":86400001}"#,
                "freeze_timeout_ms is 86400001: 0 to",
            ),
        ] {
            let change: TuningChange = serde_json::from_str(change).expect("well-formed");
            let error = TUNING.with(&change).expect_err(sentence).to_string();
            assert!(error.starts_with(sentence), "{error}");
        }
        assert!(serde_json::from_str::<TuningChange>(r#"{"sync_mode":"sometimes"}"#).is_err());
        assert!(serde_json::from_str::<TuningChange>(r#"{"sync-mode":"event"}"#).is_err());
    }
}
