//! Choices that can be repeated: the seed is printed, and `KEMARI_TEST_SEED` sets it.

use std::time::{SystemTime, UNIX_EPOCH};

/// `SplitMix64`.
pub struct Random(u64);

impl Random {
    /// A new seed, or the one that was asked for.
    pub fn new() -> Self {
        let seed = std::env::var("KEMARI_TEST_SEED").map_or_else(
            |_| {
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |now| u64::from(now.subsec_nanos()) ^ now.as_secs())
            },
            |text| text.parse().expect("KEMARI_TEST_SEED is a number"),
        );
        println!("KEMARI_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).expect("below a usize")
    }
}
