//! What a link takes for a byte, from epochs of different sizes and the time to their acks.
//!
//! An ack takes the link's latency, the wake-up of the peer and so on, whatever the epoch's size; what a byte more adds is
//! the slope of the line through time by size. As long as the sizes hardly differ there is no slope to see: then what was
//! believed before (from a baseline, say) goes on being believed.

/// How much of the newest epoch is taken over.
const SHARE: f64 = 1.0 / 64.0;
/// The same for the chunks of a baseline.
const DRAIN_SHARE: f64 = 1.0 / 8.0;
/// Sizes that differ by less than this say little, bytes.
const TELLING_BYTES: f64 = 4.0 * 1024.0;
/// A time beyond this many times what was to be expected counts as that.
const OUTLIER: f64 = 4.0;
/// Epochs after which something is to be expected.
const EPOCHS_TO_EXPECT: u32 = 16;

/// The line through what was measured.
#[derive(Debug, Clone, Copy)]
pub struct LinkRate {
    believed: f64,
    epochs: u32,
    bytes: f64,
    ns: f64,
    variance: f64,
    covariance: f64,
}

impl LinkRate {
    /// A link that is believed to take `ns_per_byte`.
    pub fn believed(ns_per_byte: f64) -> Self {
        Self {
            believed: ns_per_byte,
            epochs: 0,
            bytes: 0.0,
            ns: 0.0,
            variance: 0.0,
            covariance: 0.0,
        }
    }

    /// The ack of an epoch of `bytes` has come `ns` after it was sent.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn acked(&mut self, bytes: u64, ns: u64) {
        self.epochs = self.epochs.saturating_add(1);
        let share = SHARE.max(1.0 / f64::from(self.epochs));
        let more_bytes = bytes as f64 - self.bytes;
        let most = if self.epochs <= EPOCHS_TO_EXPECT {
            f64::INFINITY
        } else {
            (self.ns + (self.ns_per_byte() * more_bytes).max(0.0)) * OUTLIER
        };
        let more_ns = (ns as f64).min(most) - self.ns;
        self.bytes += share * more_bytes;
        self.ns += share * more_ns;
        self.variance = (1.0 - share) * (self.variance + share * more_bytes * more_bytes);
        self.covariance = (1.0 - share) * (self.covariance + share * more_bytes * more_ns);
    }

    /// Nanoseconds for a byte more.
    pub fn ns_per_byte(&self) -> f64 {
        if self.epochs == 0 {
            return self.believed;
        }
        let doubt = TELLING_BYTES * TELLING_BYTES;
        let slope = (self.covariance + doubt * self.believed) / (self.variance + doubt);
        // No byte takes longer than its share of all.
        slope.clamp(0.0, self.ns / self.bytes.max(1.0))
    }
}

/// What a link takes for a byte while there is always more to send: what was sent lately, by the time that took.
#[derive(Debug, Clone, Copy, Default)]
pub struct DrainRate {
    bytes: f64,
    ns: f64,
}

impl DrainRate {
    /// `bytes` were taken in `ns`.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn drained(&mut self, bytes: u64, ns: u64) {
        // What the kernel takes at once, a few MiB, says nothing about the link and is soon outweighed.
        self.bytes = self.bytes * (1.0 - DRAIN_SHARE) + bytes as f64;
        self.ns = self.ns * (1.0 - DRAIN_SHARE) + ns as f64;
    }

    /// Nanoseconds for a byte, if anything was drained.
    pub fn ns_per_byte(&self) -> Option<f64> {
        (self.bytes > 0.0).then(|| self.ns / self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        /// Whatever was believed before, and whatever the latency and its trembling.
        #[test]
        fn the_rate_of_a_link_is_found_behind_its_latency(
            believed in 0.0..100.0f64,
            rate in 1u32..100,
            latency in 0u32..2_000_000,
            epochs in vec((1u32..400_000, 0u32..20_000), 300..400),
        ) {
            let mut link = LinkRate::believed(believed);
            for (bytes, noise) in epochs {
                link.acked(bytes.into(), u64::from(latency + noise) + u64::from(bytes) * u64::from(rate));
            }
            let (found, rate) = (link.ns_per_byte(), f64::from(rate));
            prop_assert!((found - rate).abs() < 0.15 * rate + 0.5, "{found} for {rate}");
        }

        #[test]
        fn epochs_of_one_size_leave_the_belief_but_for_what_is_impossible(
            believed in 0.0..1000.0f64,
            bytes in 1u32..1_000_000,
            ns in 0u32..100_000_000,
        ) {
            let mut link = LinkRate::believed(believed);
            for _ in 0..100 {
                link.acked(bytes.into(), ns.into());
            }
            let expected = believed.min(f64::from(ns) / f64::from(bytes));
            prop_assert!((link.ns_per_byte() - expected).abs() < 1e-6 * (1.0 + expected));
        }
    }

    #[test]
    fn one_stall_does_not_make_a_fast_link_slow() {
        let mut link = LinkRate::believed(1.0);
        let mut largest: f64 = 0.0;
        for epoch in 0..2000u64 {
            let bytes = 20_000 + epoch % 7 * 12_000;
            let stall = if epoch % 200 == 190 { 80_000_000 } else { 0 };
            link.acked(bytes, 100_000 + bytes + stall);
            largest = largest.max(link.ns_per_byte());
        }
        assert!(largest < 3.0, "{largest}");
    }

    #[test]
    fn a_drain_is_as_fast_as_its_last_chunks() {
        let mut drain = DrainRate::default();
        assert_eq!(drain.ns_per_byte(), None);
        for _ in 0..4 {
            drain.drained(1 << 20, 200_000);
        }
        assert!(drain.ns_per_byte() < Some(0.2));
        for _ in 0..40 {
            drain.drained(1 << 20, 80_000_000);
        }
        assert!(drain.ns_per_byte() > Some(75.0));
    }

    #[test]
    fn a_link_that_becomes_slow_is_noticed() {
        let mut link = LinkRate::believed(0.5);
        let epoch = |number: u64, rate: u64| {
            let bytes = 10_000 + number % 11 * 9_000;
            (bytes, 200_000 + bytes * rate)
        };
        for number in 0..500 {
            let (bytes, ns) = epoch(number, 1);
            link.acked(bytes, ns);
        }
        assert!(link.ns_per_byte() < 2.0);
        for number in 0..500 {
            let (bytes, ns) = epoch(number, 80);
            link.acked(bytes, ns);
        }
        assert!(link.ns_per_byte() > 60.0);
    }
}
