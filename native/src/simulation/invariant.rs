//! What must always hold, and what is said when it did not.

/// What may be violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Invariant {
    /// I1: nothing is seen of an epoch that could still be lost.
    OutputCommit,
    /// I4: a replica is exactly what one capture was.
    AllOrNothing,
    /// What an epoch that a secondary holds has sent leaves, whoever runs the guest then.
    NoOutputLost,
    /// I5: a page that was written is sent.
    NoPageLost,
    /// I7: one guest at a time, and none that has ended.
    OneLife,
    /// Once nothing is broken any more, a replica is complete again and every output has left.
    Progress,
    /// The engine has not failed.
    Soundness,
}

/// What was found.
#[derive(Debug, Clone)]
pub(super) struct Violation {
    pub(super) invariant: Invariant,
    pub(super) message: String,
}
