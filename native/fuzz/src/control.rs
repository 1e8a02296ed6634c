//! What the supervisor may ask of the engine: lines of JSON.

use kemari_engine::control::messages::Request;

/// Whatever can be read can be written, and is read as the same again; whatever cannot gets one sentence.
pub fn run(data: &[u8]) {
    match Request::parse(data) {
        Ok(request) => {
            let again = serde_json::to_vec(&request).expect("a request is JSON");
            assert!(Request::parse(&again).expect("its own") == request);
        }
        Err(refused) => assert!(!refused.message.is_empty()),
    }
}

/// The golden samples, which the supervisor's tests read too.
pub fn seeds() -> Vec<Vec<u8>> {
    let text = include_str!("../../../test/contract/control/requests.json");
    let samples: Vec<serde_json::Value> = serde_json::from_str(text).expect("the samples");
    samples
        .iter()
        .map(|sample| sample.to_string().into_bytes())
        .collect()
}
