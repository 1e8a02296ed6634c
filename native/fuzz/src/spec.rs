//! The engine's specification.

use std::path::Path;

use kemari_engine::spec::Spec;

/// A specification that is accepted can be used.
pub fn run(data: &[u8]) {
    if let Ok(spec) = Spec::parse(data, Path::new("spec.json")) {
        let _ = (spec.guest_addresses(), spec.silence(), spec.epoch_bounds());
        for peer in &spec.peers {
            let _ = peer.socket_address();
        }
    }
}

/// The golden sample, which the supervisor's tests read too.
pub fn seeds() -> Vec<Vec<u8>> {
    vec![include_bytes!("../../../test/contract/spec/engine.json").to_vec()]
}
