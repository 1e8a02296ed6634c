//! What simulations have gone through: what never happened was not tested.

/// What a seed has gone through.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) captures: u64,
    pub(super) epochs_held: u64,
    pub(super) packets_seen: u64,
    pub(super) hot_promotions: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.captures += other.captures;
        self.epochs_held += other.epochs_held;
        self.packets_seen += other.packets_seen;
        self.hot_promotions += other.hot_promotions;
    }
}
