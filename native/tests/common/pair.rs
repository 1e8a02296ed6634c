//! Two engines with a guest between them.

use serde_json::Value;

use super::client::Traffic;
use super::engine::Engine;

/// A pair that goes on, whatever is done to it.
pub struct Pair {
    /// Runs the guest.
    pub first: Engine,
    /// Has the replica.
    pub second: Engine,
    /// A connection to the guest.
    pub traffic: Traffic,
}

impl Pair {
    /// Starts both, and the guest.
    pub fn start(first: &Value, second: &Value) -> Self {
        let second = Engine::start(second);
        let first = Engine::start(first);
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        let mut traffic = Traffic::start();
        traffic.flows(20);
        Self {
            first,
            second,
            traffic,
        }
    }

    /// The same connection as before carries the guest's epochs.
    pub fn goes_on(&mut self) {
        self.traffic.flows(20);
        assert_eq!(self.first.status()["state"], "protected");
        assert_eq!(self.second.status()["state"], "in-sync");
        for engine in [&self.first, &self.second] {
            assert_eq!(engine.said("was lost"), 0, "a link was lost");
        }
        assert_eq!(self.second.said("the primary is connected"), 1);
    }

    /// Ends it; every answer must have been right.
    pub fn stop(self) {
        self.traffic.finish();
        self.first.stop();
        self.second.stop();
    }
}

/// Lines in the log that say that a caller was refused for this kind of fault.
pub fn refusals(engine: &Engine, kind: &str) -> usize {
    engine
        .lines_with("a caller was refused")
        .iter()
        .filter(|line| line["kind"] == kind)
        .count()
}
