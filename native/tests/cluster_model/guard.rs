//! What keeps the protocol from harm.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// The claim is in the CIB before the other node is asked, and before any proof counts.
    ClaimBeforeAsk,
    /// Nothing is decided without quorum, by the copy of the CIB that a node alone has.
    Quorum,
    /// The CIB is read from the DC.
    EvidenceFromDc,
    /// An operation counts as pending from the moment that it begins.
    PendingIsRecorded,
    /// A frozen primary goes solo with the other's word, or when that one is fenced or stopped.
    ProofBeforeSolo,
    /// The word has to be about the generation that is frozen.
    WordOfThisGeneration,
    /// The word has to answer an ask of this life of the engine.
    WordOfThisLife,
    /// The claim is looked at again between disk and engine.
    SecondLook,
    /// A frozen primary ends when a newer claim of the other's is there.
    ForeignClaimGivesUp,
    /// A primary that is frozen goes on with the replica that it had, or goes solo first: no baseline in a generation for which a
    /// proof may be under way.
    NoBaselineWhileFrozen,
    /// Only a protected primary removes claims.
    ClaimStaysUntilAck,
    /// A running guest has its generation in `kemari-generation`, as a replica has.
    RunningGuestHasGeneration,
    /// The disk says outdated before the word is said.
    DurableBeforeWord,
    /// The engine has dropped the replica when the word is said.
    DropBeforeWord,
    /// The engine drops it, and admits nobody with it any more, before the disk says so.
    DropBeforeDisk,
    /// An engine admits no primary of a generation that its disk calls outdated.
    OutdatedIsNotAcked,
    /// Nor is it promoted from one.
    OutdatedIsNotPromoted,
    /// A replica that is connected does not become outdated.
    OnlyWithoutLink,
    /// A claim is taken over only when its owner is fenced.
    TakeOverOfFencedOnly,
    /// And only by a node that has not said that it is outdated.
    TakeOverIfNeverSaid,
    /// And only if it is the first after the replica's generation.
    TakeOverOfNextOnly,
    /// A claim that stands in everybody's way, of a guest that ended before it began that generation, is removed.
    UnbegunIsRemoved,
    /// A claim of a node that is back and runs nothing is removed only if its disk has never heard of that generation.
    RemoveUnbegunOnly,
    /// The supervisor itself looks whether the other node's guest is fenced, demoted or stopped.
    PromotionNeedsProof,
    /// A node that says of itself that a guest runs there is believed, whatever is recorded of its operations.
    PrimaryIsBelieved,
    /// A newer claim of the other's forbids a promotion.
    ForeignClaimBarsPromotion,
    /// The evidence is gathered again when the own claim is in place.
    EvidenceAfterClaim,
    /// A demote answers only when the disk says outdated.
    DiskBeforeToken,
    /// A rebooted node that is alone waits for the other.
    WaitForAll,
    /// A cold start needs the word of both disks, or the right to boot alone.
    DiskWordBeforeColdStart,
    /// No cold start while the other node has a complete replica.
    ReplicaBeforeColdStart,
    /// The first transaction of a replica waits until the primary's disk has no right to boot alone any more.
    DiskBeforeReplica,
    /// A newer claim of the other's forbids a cold start too.
    ForeignClaimBarsColdStart,
    /// A cold start places its claim as a promotion does.
    ColdStartClaims,
}
