//! What is asked of the allocator from the stop of a guest to its release.

/// The pauses of a guest.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    before: usize,
    /// Pages of the one that goes on.
    pub(super) pages: usize,
    /// Pages of each of them, and calls of the allocator in it.
    pub(super) all: Vec<(usize, usize)>,
}

impl Pauses {
    /// It has been stopped.
    pub(super) fn begin(&mut self) {
        self.all.reserve(1);
        self.before = asked_for();
    }

    /// It may run on.
    pub(super) fn end(&mut self) {
        let asked = asked_for() - self.before;
        self.all.push((self.pages, asked));
    }
}

#[cfg(test)]
#[path = "../../../tests/common/allocations.rs"]
mod allocations;
#[cfg(test)]
use allocations::asked_for;

/// Where nothing is tested nothing is counted.
#[cfg(not(test))]
const fn asked_for() -> usize {
    0
}
