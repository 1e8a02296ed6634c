//! What is asked of the allocator from the stop of a guest to its release.

/// The pauses of a guest.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    before: usize,
    /// Calls of the allocator in each of them.
    pub(super) allocations: Vec<usize>,
}

impl Pauses {
    /// It has been stopped.
    pub(super) fn begin(&mut self) {
        self.allocations.reserve(1);
        self.before = asked_for();
    }

    /// It may run on.
    pub(super) fn end(&mut self) {
        self.allocations.push(asked_for() - self.before);
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
