//! Whom a primary without a link calls, and when: one peer at a time. Pure.
//!
//! While a peer has, or may have, a replica that could go on as this guest, nobody else is called: another peer's replica
//! would end the waiting of outputs, and the first one's, promoted, would know nothing of them.

use std::time::Instant;

/// Which peer of the specification is called next.
#[derive(Debug)]
pub(super) struct Calls {
    peers: usize,
    /// The one that was met last, or is called next.
    peer: usize,
    /// Attempts that have failed since the last that did not.
    in_vain: usize,
    /// Nobody is called before.
    not_before: Option<Instant>,
}

impl Calls {
    pub(super) fn new(peers: usize) -> Self {
        Self {
            peers,
            peer: 0,
            in_vain: 0,
            not_before: None,
        }
    }

    /// Whom to call, or who is being called, or who was met.
    pub(super) fn peer(&self) -> usize {
        self.peer
    }

    /// Whether peers are to be left in peace still.
    pub(super) fn must_wait(&self, now: Instant) -> bool {
        self.not_before.is_some_and(|after| now < after)
    }

    /// Whoever was called has answered, and is wanted.
    pub(super) fn met(&mut self) {
        self.in_vain = 0;
        self.not_before = None;
    }

    /// An attempt has failed. Another peer is called next if the guest is `solo`: nobody has a replica of it then.
    pub(super) fn failed(&mut self, solo: bool) {
        self.in_vain = self.in_vain.saturating_add(1);
        if solo {
            self.peer = (self.peer + 1) % self.peers;
        }
    }

    /// No replica can be had for now.
    pub(super) fn rest(&mut self, until: Instant, solo: bool) {
        self.failed(solo);
        // Whoever waits for a replica must know that none is coming.
        self.in_vain = self.peers;
        self.not_before = Some(until);
    }

    /// Whether everybody who may be called was, and nobody came of it.
    pub(super) fn are_in_vain(&self, solo: bool) -> bool {
        self.in_vain >= if solo { self.peers } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_solo_primary_calls_everybody_in_turn_and_stays_with_whom_it_met() {
        let mut calls = Calls::new(3);
        let mut called = Vec::new();
        for _ in 0..5 {
            called.push(calls.peer());
            calls.failed(true);
        }
        assert_eq!(called, [0, 1, 2, 0, 1]);
        calls.met();
        assert_eq!(calls.peer(), 2);
        assert!(!calls.are_in_vain(true));
    }

    #[test]
    fn calls_are_in_vain_when_everybody_was_called_who_may_be() {
        let mut calls = Calls::new(2);
        calls.failed(true);
        assert!(!calls.are_in_vain(true));
        calls.failed(true);
        assert!(calls.are_in_vain(true));
        calls.met();
        calls.failed(false);
        assert!(calls.are_in_vain(false));
    }

    #[test]
    fn a_rest_is_kept_and_counts_as_in_vain() {
        let now = Instant::now();
        let later = now + std::time::Duration::from_secs(30);
        let mut calls = Calls::new(2);
        calls.rest(later, true);
        assert!(calls.must_wait(now) && calls.are_in_vain(true));
        assert_eq!(calls.peer(), 1);
        assert!(!calls.must_wait(later));
    }

    proptest! {
        /// Whatever happens while one may have the replica, nobody else is called.
        #[test]
        fn who_may_have_the_replica_stays_the_one(
            peers in 1_usize..6,
            before in 0_usize..20,
            rests in prop::collection::vec(any::<bool>(), 0..20),
        ) {
            let mut calls = Calls::new(peers);
            (0..before).for_each(|_| calls.failed(true));
            calls.met();
            let holder = calls.peer();
            for rest in rests {
                if rest {
                    calls.rest(Instant::now(), false);
                } else {
                    calls.failed(false);
                }
                prop_assert_eq!(calls.peer(), holder);
            }
        }
    }
}
