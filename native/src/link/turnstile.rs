//! How many callers may be introducing themselves, and how many in a second: whatever knocks, the threads and the time that
//! it costs are bounded. Those who call from a peer's address have places of their own, so that strangers who take all of
//! theirs do not keep it out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits::{INTRODUCTIONS_MAX, INTRODUCTIONS_PER_SECOND};

/// A caller's place; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "counted, never read")] Arc<()>);

/// Lets callers in.
#[derive(Debug)]
pub(super) struct Turnstile {
    for_peers: Vec<(IpAddr, Pool)>,
    for_strangers: Pool,
}

#[derive(Debug)]
struct Pool {
    places: Arc<()>,
    /// How many may enter at once, of so many a second.
    credit: usize,
    credited_at: Instant,
}

impl Turnstile {
    pub(super) fn new(peers: impl Iterator<Item = IpAddr>, now: Instant) -> Self {
        let pool = || Pool {
            places: Arc::new(()),
            credit: INTRODUCTIONS_PER_SECOND,
            credited_at: now,
        };
        Self {
            for_peers: peers.map(|peer| (peer.to_canonical(), pool())).collect(),
            for_strangers: pool(),
        }
    }

    /// A place for a caller, if it may have one.
    pub(super) fn enter(&mut self, from: IpAddr, now: Instant) -> Option<Place> {
        let from = from.to_canonical();
        let mut peers = self.for_peers.iter_mut();
        let peer = peers.find(|(address, _)| *address == from);
        peer.map_or(&mut self.for_strangers, |(_, pool)| pool)
            .enter(now)
    }
}

impl Pool {
    fn enter(&mut self, now: Instant) -> Option<Place> {
        if now.saturating_duration_since(self.credited_at) >= Duration::from_secs(1) {
            self.credited_at = now;
            self.credit = INTRODUCTIONS_PER_SECOND;
        }
        if self.credit == 0 || Arc::strong_count(&self.places) > INTRODUCTIONS_MAX {
            return None;
        }
        self.credit -= 1;
        Some(Place(Arc::clone(&self.places)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 2, 2));
    const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 2, 9));

    #[test]
    fn places_are_bounded_and_free_again() {
        let now = Instant::now();
        let mut turnstile = Turnstile::new([PEER].into_iter(), now);
        let mut inside: Vec<_> = (0..INTRODUCTIONS_MAX)
            .map(|_| turnstile.enter(STRANGER, now).expect("a place"))
            .collect();
        assert!(turnstile.enter(STRANGER, now).is_none());
        assert!(turnstile.enter(PEER, now).is_some(), "it has its own");
        inside.pop();
        assert!(turnstile.enter(STRANGER, now).is_some());
    }

    #[test]
    fn so_many_may_enter_in_a_second_and_the_peer_whatever_strangers_do() {
        let start = Instant::now();
        let mut turnstile = Turnstile::new([PEER, OTHER].into_iter(), start);
        for second in 0..10 {
            let now = start + Duration::from_secs(second);
            let entered = (0..1000).filter(|_| turnstile.enter(STRANGER, now).is_some());
            assert_eq!(entered.count(), INTRODUCTIONS_PER_SECOND);
            assert!(turnstile.enter(PEER, now).is_some());
            assert!(turnstile.enter(OTHER, now).is_some());
        }
    }

    #[test]
    fn the_peer_is_known_in_either_notation() {
        let now = Instant::now();
        let mut turnstile = Turnstile::new([PEER].into_iter(), now);
        let IpAddr::V4(peer) = PEER else {
            unreachable!("an IPv4 address")
        };
        while turnstile.enter(STRANGER, now).is_some() {}
        assert!(
            turnstile
                .enter(IpAddr::V6(peer.to_ipv6_mapped()), now)
                .is_some()
        );
    }
}
