//! When, by this host's clock, a guest on the other host was stopped for a capture.
//!
//! ```text
//!  primary    stopped ──────► (sent, by its clock of the day)
//!                 └──┄┄ transit ┄┄──┐
//!  secondary                     arrived ────────────────► promoted
//!                 └─────── the guest's clocks are set forward by this
//! ```
//! How long ago a transaction arrived the secondary knows by its own clock. How long it was on its way only the two clocks
//! of the day tell, if they agree: else that counts as nothing, and the guest's clocks lack a few milliseconds. They are
//! never set back.

use std::time::{Duration, Instant, SystemTime};

use crate::limits::{HOST_CLOCKS_AGREE, HOST_CLOCKS_REMEMBERED, TRANSIT_MAX};

/// When a transaction arrived, by both clocks of this host.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// By the one that never goes back.
    pub at: Instant,
    /// By the one that the other host has too.
    pub wall: SystemTime,
}

/// By how much a transaction arrived after the primary's clock says that it was made; negative if before.
type Difference = i128;

/// What the last transactions tell of the two hosts' clocks of the day.
#[derive(Debug, Clone, Default)]
pub struct HostClocks {
    recent: [Option<Difference>; HOST_CLOCKS_REMEMBERED],
    next: usize,
}

impl HostClocks {
    /// Notes a transaction; returns when, by this host's clock, its guest was stopped.
    pub fn note(&mut self, captured_ns: u64, arrival: Arrival) -> Instant {
        let difference = difference(captured_ns, arrival.wall);
        self.recent[self.next] = Some(difference);
        self.next = (self.next + 1) % HOST_CLOCKS_REMEMBERED;
        let transit = if self.agree() { difference } else { 0 };
        let transit = Duration::from_nanos(u64::try_from(transit).unwrap_or(0));
        arrival
            .at
            .checked_sub(transit.min(TRANSIT_MAX))
            .unwrap_or(arrival.at)
    }

    /// Whether they agree: of the transactions that came last, the fastest seems to have taken next to no time. A slow one
    /// may be one that was slow.
    pub fn agree(&self) -> bool {
        let bound = HOST_CLOCKS_AGREE.as_nanos();
        let fastest = self.recent.iter().flatten().min();
        fastest.is_some_and(|fastest| fastest.unsigned_abs() <= bound)
    }
}

fn difference(captured_ns: u64, arrived: SystemTime) -> Difference {
    let since_1970 = match arrived.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => Difference::try_from(after.as_nanos()).unwrap_or(Difference::MAX / 2),
        Err(_) => 0,
    };
    since_1970 - Difference::from(captured_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;
    const ARRIVED_NS: i64 = 1_700_000_000_000_000_000;

    /// For each difference between the clocks in milliseconds: how long before its arrival the capture was, likewise.
    fn before_arrival_ms(differences_ms: &[i64]) -> Vec<u128> {
        let mut clocks = HostClocks::default();
        let at = Instant::now() + Duration::from_secs(100_000);
        let since_1970 = Duration::from_nanos(ARRIVED_NS.unsigned_abs());
        let wall = SystemTime::UNIX_EPOCH + since_1970;
        differences_ms
            .iter()
            .map(|ms| {
                let captured_ns = (ARRIVED_NS - ms * MS).unsigned_abs();
                (at - clocks.note(captured_ns, Arrival { at, wall })).as_millis()
            })
            .collect()
    }

    #[test]
    fn the_time_on_the_way_counts_while_the_clocks_agree() {
        assert_eq!(before_arrival_ms(&[2, 1, 3]), [2, 1, 3]);
        // One that was really slow, among others.
        assert_eq!(before_arrival_ms(&[2, 4000, 1]), [2, 4000, 1]);
        // Within what clocks that are set by the network differ.
        assert_eq!(before_arrival_ms(&[-3, -2]), [0, 0]);
    }

    #[test]
    fn clocks_that_do_not_agree_count_for_nothing() {
        assert_eq!(before_arrival_ms(&[-3_600_000, -3_600_000]), [0, 0]);
        assert_eq!(before_arrival_ms(&[3_600_000, 3_600_000]), [0, 0]);
        // Set while the replica lives: after as many transactions as are remembered.
        let mut set = vec![1; 3];
        set.extend([30_000; HOST_CLOCKS_REMEMBERED]);
        assert_eq!(before_arrival_ms(&set).last(), Some(&0));
    }

    proptest! {
        /// Whatever the other host's clock says: the guest is never set back, nor forward by more than a bound.
        #[test]
        fn a_capture_is_never_after_its_arrival_nor_long_before(captured: Vec<u64>, arrived: u32) {
            let mut clocks = HostClocks::default();
            for captured_ns in captured {
                let at = Instant::now() + Duration::from_secs(100_000);
                let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(arrived));
                let noted = clocks.note(captured_ns, Arrival { at, wall });
                prop_assert!(noted <= at && at - noted <= TRANSIT_MAX);
            }
        }
    }
}
