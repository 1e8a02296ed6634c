//! The handshake's payloads: bounded JSON. Unknown fields are ignored, so that later engines may say more.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::fingerprint::Fingerprint;
use super::limits::{MAX_HELLO, WORDS_MAX};

/// What is wrong with a handshake's payload.
#[derive(Debug, Error)]
pub enum HelloError {
    /// Longer than the bound.
    #[error("{payload} of {found} bytes, expected at most {MAX_HELLO}")]
    TooLong {
        /// Which payload.
        payload: &'static str,
        /// Its length, bytes.
        found: usize,
    },
    /// Not the JSON that is expected.
    #[error("{payload} is not well-formed")]
    Json {
        /// Which payload.
        payload: &'static str,
        /// What the parser says.
        source: serde_json::Error,
    },
}

/// What the caller of the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HelloRole {
    /// It runs the guest.
    Primary,
}

/// The primary's first word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol version, as in the frame's header.
    pub protocol: u16,
    /// Name of the Pacemaker resource.
    pub resource: String,
    /// UUID of the guest.
    pub vm_uuid: Uuid,
    /// The primary's node name.
    pub node: String,
    /// This life of the primary's engine.
    pub engine_id: Uuid,
    /// Version of the primary's engine.
    pub engine_version: String,
    /// Always [`HelloRole::Primary`].
    pub role: HelloRole,
    /// The guest's generation.
    pub generation: u64,
    /// The last epoch of this generation that was acked to the primary; 0 if none was.
    pub acked_epoch: u64,
    /// What must be the same on both hosts.
    pub fingerprint: Fingerprint,
}

/// The secondary's consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The secondary's node name.
    pub node: String,
    /// This life of the secondary's engine.
    pub engine_id: Uuid,
    /// The replica that it holds, if it is complete.
    pub replica: Option<ReplicaHeld>,
}

/// A complete replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaHeld {
    /// Its generation.
    pub generation: u64,
    /// The last epoch in it.
    pub epoch: u64,
    /// The primary engine's life that it came from.
    pub primary_engine_id: Uuid,
}

/// The secondary's refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    /// Why, for the program.
    pub code: RefuseCode,
    /// Why, for a person.
    pub message: String,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialResult {
    /// Why the guest could not go on at the secondary; `None` if it could.
    pub failure: Option<String>,
}

/// Why a secondary refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefuseCode {
    /// The hello cannot be read.
    BadHello,
    /// Another protocol version.
    Protocol,
    /// One side within TLS and the other not.
    Transport,
    /// Another resource.
    Resource,
    /// Another guest.
    Guest,
    /// The machines are not built the same way.
    Fingerprint,
    /// This engine is not a secondary.
    Role,
    /// The primary's generation is older than the replica's.
    Generation,
    /// Another primary is connected.
    Busy,
    /// A code that this version does not know.
    #[serde(other)]
    Other,
}

impl Hello {
    /// The payload of a `Hello` frame.
    ///
    /// # Errors
    /// [`HelloError::TooLong`].
    pub fn to_payload(&self) -> Result<Vec<u8>, HelloError> {
        encode("hello", self)
    }

    /// Reads the payload of a `Hello` frame.
    ///
    /// # Errors
    /// [`HelloError`].
    pub fn from_payload(payload: &[u8]) -> Result<Self, HelloError> {
        decode("hello", payload)
    }
}

impl Welcome {
    /// The payload of a `Welcome` frame.
    ///
    /// # Errors
    /// [`HelloError::TooLong`].
    pub fn to_payload(&self) -> Result<Vec<u8>, HelloError> {
        encode("welcome", self)
    }

    /// Reads the payload of a `Welcome` frame.
    ///
    /// # Errors
    /// [`HelloError`].
    pub fn from_payload(payload: &[u8]) -> Result<Self, HelloError> {
        decode("welcome", payload)
    }
}

impl Refuse {
    /// The payload of a `Refuse` frame; of a long explanation only the beginning.
    ///
    /// # Errors
    /// [`HelloError`].
    pub fn to_payload(&self) -> Result<Vec<u8>, HelloError> {
        encode(
            "refuse",
            &Self {
                code: self.code,
                message: shortened(&self.message),
            },
        )
    }

    /// Reads the payload of a `Refuse` frame; of a long explanation only the beginning.
    ///
    /// # Errors
    /// [`HelloError`].
    pub fn from_payload(payload: &[u8]) -> Result<Self, HelloError> {
        let refuse: Self = decode("refuse", payload)?;
        Ok(Self {
            message: shortened(&refuse.message),
            ..refuse
        })
    }
}

/// Its beginning, if it is long: it ends up in a log.
fn shortened(text: &str) -> String {
    text.chars().take(WORDS_MAX).collect()
}

impl TrialResult {
    /// The payload of a `TrialResult` frame; of a long explanation only the beginning.
    ///
    /// # Errors
    /// [`HelloError`].
    pub fn to_payload(&self) -> Result<Vec<u8>, HelloError> {
        let failure = self.failure.as_deref().map(shortened);
        encode("result of a trial", &Self { failure })
    }

    /// Reads the payload of a `TrialResult` frame; of a long explanation only the beginning.
    ///
    /// # Errors
    /// [`HelloError`].
    pub fn from_payload(payload: &[u8]) -> Result<Self, HelloError> {
        let Self { failure } = decode("result of a trial", payload)?;
        let failure = failure.as_deref().map(shortened);
        Ok(Self { failure })
    }
}

fn encode<T: Serialize>(payload: &'static str, value: &T) -> Result<Vec<u8>, HelloError> {
    let bytes = serde_json::to_vec(value).map_err(|source| HelloError::Json { payload, source })?;
    bounded(payload, bytes.len()).map(|()| bytes)
}

fn decode<T: DeserializeOwned>(payload: &'static str, bytes: &[u8]) -> Result<T, HelloError> {
    bounded(payload, bytes.len())?;
    serde_json::from_slice(bytes).map_err(|source| HelloError::Json { payload, source })
}

fn bounded(payload: &'static str, found: usize) -> Result<(), HelloError> {
    if found > MAX_HELLO {
        Err(HelloError::TooLong { payload, found })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            protocol: 1,
            resource: "vm1".to_owned(),
            vm_uuid: Uuid::from_u128(1),
            node: "n1".to_owned(),
            engine_id: Uuid::from_u128(2),
            engine_version: "0.1.0".to_owned(),
            role: HelloRole::Primary,
            generation: 2,
            acked_epoch: 4711,
            fingerprint: Fingerprint {
                values: [("machine".to_owned(), "pc-q35-7.2".to_owned())].into(),
                sets: [("devices".to_owned(), ["VGA".to_owned()].into())].into(),
            },
        }
    }

    #[test]
    fn the_handshake_survives_the_wire() {
        let payload = hello().to_payload().expect("short");
        assert_eq!(Hello::from_payload(&payload).expect("its own"), hello());
        let replica = ReplicaHeld {
            generation: 2,
            epoch: 9,
            primary_engine_id: Uuid::from_u128(3),
        };
        for replica in [None, Some(replica)] {
            let welcome = Welcome {
                node: "n2".to_owned(),
                engine_id: Uuid::from_u128(4),
                replica,
            };
            let payload = welcome.to_payload().expect("short");
            assert_eq!(Welcome::from_payload(&payload).expect("its own"), welcome);
        }
        let refuse = Refuse {
            code: RefuseCode::Fingerprint,
            message: "cpu differs".to_owned(),
        };
        assert_eq!(
            Refuse::from_payload(&refuse.to_payload().expect("short")).expect("its own"),
            refuse
        );
    }

    #[test]
    fn the_result_of_a_trial_survives_the_wire_and_is_never_too_long_for_it() {
        let long = "\u{1}".repeat(MAX_HELLO);
        for (failure, arrives) in [
            (None, None),
            (Some("no such device"), Some("no such device")),
            (Some(long.as_str()), Some(&long[..WORDS_MAX])),
        ] {
            let result = TrialResult {
                failure: failure.map(str::to_owned),
            };
            let payload = result.to_payload().expect("short");
            let read = TrialResult::from_payload(&payload).expect("its own");
            assert_eq!(read.failure.as_deref(), arrives);
        }
    }

    #[test]
    fn unknown_fields_and_codes_are_accepted() {
        let refuse = br#"{"code":"moon-phase","message":"no","since":3}"#;
        assert_eq!(
            Refuse::from_payload(refuse).expect("readable").code,
            RefuseCode::Other
        );
    }

    #[test]
    fn payloads_beyond_the_bound_are_refused_on_both_sides() {
        let long = Hello {
            node: "n".repeat(MAX_HELLO),
            ..hello()
        };
        assert!(matches!(
            long.to_payload(),
            Err(HelloError::TooLong {
                payload: "hello",
                ..
            })
        ));
        assert!(matches!(
            Hello::from_payload(&vec![b' '; MAX_HELLO + 1]),
            Err(HelloError::TooLong { .. })
        ));
    }
}
