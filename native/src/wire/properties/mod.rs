//! Properties of the whole path: encoder, outgoing, wire, reader, assembly. The seed of a run is printed when it fails and can
//! be given again in `KEMARI_TEST_SEED`.

mod epochs;
mod spoiled;
mod streams;
mod transactions;
mod whole;

use std::time::{SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// How often a property is tried, and the seed from which it is.
fn config(cases: u32) -> ProptestConfig {
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    let seed = std::env::var("KEMARI_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(now);
    println!("KEMARI_TEST_SEED={seed}");
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
