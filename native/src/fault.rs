//! Mistakes that a test can have the engine make, each of which takes one guard away: the simulator must notice every one of
//! them. Outside of tests none can be made, and nothing is left of the questions.

/// A guard that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Outputs leave when their epoch has been sent.
    #[cfg(test)]
    ReleaseWhenSent,
    /// A primary that was solo says that it still is, although the secondary may have the whole of the first checkpoint.
    SoloAlthoughSent,
    /// What waits within a connection that is given up still gets to the peer.
    #[cfg(test)]
    DeliverAtTheEnd,
    /// Pages of a transaction are applied as they come.
    ApplyBeforeCommit,
    /// What the secondary had some epochs or a connection ago is believed of it still, and changes are made of whatever is
    /// there.
    StaleBase,
    /// Pages of a failed checkpoint are not sent again.
    ForgetOwedPages,
    /// A guest that is stopped for good runs on.
    RunOnAlthoughHalted,
    /// Whatever is here is promoted.
    PromoteAnything,
    /// A secondary that once said that it is outdated is believed to be so, whatever it has been given since.
    OldFarewell,
    /// What waits for the primary's word that it was released is not sent at a promotion.
    NoReplay,
    /// The same is not kept in the first place.
    KeepNoOutputs,
    /// What the guest sends while its written pages are looked for is left in its socket.
    NoDrainWhileLooking,
    /// The last checkpoint of a guest is the last, although the hold had no room for all that the guest has sent.
    LastAlthoughOutputsWait,
    /// A transaction is sent of a guest that was not held while its RAM was read.
    SendAlthoughItRanOn,
    /// What came out of QEMU is a whole device state, whether or not QEMU lived to say so.
    CommitUnconfirmed,
    /// A primary whose outputs wait for one replica looks for another.
    CallOthers,
    /// Of pages that were sent in parts, and are not at hand when their ack comes, what was there before is still believed.
    KeepBasesOfParts,
    /// Frames are taken in whatever order they come.
    AnySequence,
    /// Frames of other connections are taken for ones of this.
    AnySession,
    /// A transaction of any epoch is taken for the next one.
    AnyEpoch,
}

#[cfg(test)]
thread_local! {
    /// The one that is made in this thread.
    pub(crate) static MADE: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

/// Whether `fault` is to be made.
#[cfg(test)]
pub(crate) fn makes(fault: Fault) -> bool {
    MADE.get() == Some(fault)
}

/// Never.
#[cfg(not(test))]
pub(crate) const fn makes(_: Fault) -> bool {
    false
}

/// What is rare in a simulation, and less so where `fault` is made: what it takes to notice that its guard is missing.
#[cfg(test)]
pub(crate) fn rarely<T>(usually: T, fault: Fault, provoked: T) -> T {
    if makes(fault) { provoked } else { usually }
}
