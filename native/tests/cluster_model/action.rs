//! What can happen, by the names that it has in the code and in Pacemaker.

use super::state::Node;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    // The engines.
    Connect,
    Complete,
    TakeAck,
    // The supervisor of a primary that is frozen, and after that.
    PlaceClaim { node: Node },
    ReplaceClaim { node: Node },
    AskPeer { node: Node },
    WriteSolo { node: Node },
    EnterSolo { node: Node },
    AbandonSolo { node: Node },
    GiveUp { node: Node },
    RemoveClaim { node: Node },
    // The supervisor of a secondary.
    WriteOutdated { node: Node },
    Outdate { node: Node },
    SayOutdated { node: Node },
    TakeOverClaim { node: Node },
    // Any supervisor: the disk follows the engine.
    SaveAfter { node: Node },
    // Pacemaker, and the supervisor that it calls.
    AllowPromotion { node: Node },
    WritePromotion { node: Node },
    Promote { node: Node },
    RefusePromotion { node: Node },
    Demote { node: Node },
    WriteDemotion { node: Node },
    Start { node: Node },
    Stop { node: Node },
    RecordOperation { node: Node },
    Fence { target: Node },
    ConfirmFencing { target: Node },
    PropagateCib,
    // Failures end.
    HealSyncLink,
    HealClusterLink { winner: Node },
    Reboot { node: Node },
    Join { winner: Node },
    JoinAlone { node: Node },
    RepairFencing,
    // Failures, and what an administrator does: `events_max` of them.
    CutSyncLink,
    CutClusterLink,
    CutBothLinks,
    CrashNode { node: Node },
    CrashEngine { node: Node },
    CrashSupervisor { node: Node },
    CrashCluster { node: Node },
    BreakFencing,
    StopSecondary { node: Node },
    PromoteByHand { node: Node },
    SwitchOver { node: Node },
}
