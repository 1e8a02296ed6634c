//! Two hosts, what is between them, and what the cluster knows of them.
//!
//! What was seen outside is not counted: of each host it is known whether its copy of the guest, in memory or on its disks, has
//! all of it (`Host::current`). A guest without a replica is taken to send at once, which is the worst that it can do.

/// One of the two nodes.
pub type Node = usize;

pub const NODES: [Node; 2] = [0, 1];

/// More changes of one copy of the CIB alone are not told apart.
const EPOCHS_MAX: u8 = 4;

/// No search gets here, unless the missing guard lets two nodes go round in circles.
pub const GENERATIONS_MAX: u8 = 6;

pub fn other(node: Node) -> Node {
    1 - node
}

/// `sync` of state.json; a guest that powers itself off is not in the model, so there is no `clean`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sync {
    None,
    Protected,
    Solo,
    Outdated,
}

/// state.json
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Disk {
    pub generation: u8,
    pub owner: Node,
    pub sync: Sync,
    pub outdated_through: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    Solo,
    Syncing,
    Protected,
    /// Outputs are held: the replica may be gone, or the first ack of a new one has not come.
    Frozen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Dead, or never started.
    None,
    Empty,
    Receiving {
        generation: u8,
    },
    InSync {
        generation: u8,
    },
    HandedOver {
        generation: u8,
    },
    Parked {
        generation: u8,
    },
    Primary {
        mode: Mode,
        generation: u8,
    },
}

/// Why a primary may go solo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    Said,
    Fenced,
    Stopped,
}

/// How far a supervisor is in what it does in several steps; it is forgotten when it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    Idle,
    /// The disk has the new generation, the engine does not know it.
    SoloWritten {
        generation: u8,
        proof: Proof,
    },
    /// Promote was called, and the evidence allowed it then.
    PromotionAllowed,
    PromotionClaimed {
        generation: u8,
    },
    PromotionWritten {
        generation: u8,
    },
    /// The secondary has the token, the disk here does not say so.
    TokenGiven,
}

/// `kemari-ask` and `kemari-outdated`: a generation, and whether the nonce is that of the engine that runs on the asking node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Word {
    pub generation: u8,
    pub living: bool,
}

/// Last operation of the resource on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Stopped,
    Unpromoted,
    Promoted,
    /// Start, promote or demote was begun and has not answered.
    Pending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Host {
    pub powered: bool,
    /// Corosync runs and has seen all nodes since its start, so that it has quorum: one node alone keeps it in `two_node` mode.
    pub joined: bool,
    pub disk: Disk,
    pub engine: Engine,
    /// What the engine knows of the disk's `outdated_through`.
    pub engine_outdated: u8,
    pub step: Step,
    /// What this node's executor knows; the CIB follows.
    pub operation: Operation,
    pub ask: Option<Word>,
    pub word: Option<Word>,
    /// Its copy of the guest has all that was seen outside.
    pub current: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    pub generation: u8,
    pub owner: Node,
    /// The nonce is that of the engine that runs on the owner.
    pub living: bool,
}

/// A node's copy of the CIB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cib {
    /// Changes of the configuration since both copies were the same.
    pub epoch: u8,
    pub claim: Option<Claim>,
    /// `node_state`: down as expected.
    pub fenced: [bool; 2],
    pub operations: [Operation; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each fails and is mended on its own"
)]
pub struct State {
    pub hosts: [Host; 2],
    pub cib: [Cib; 2],
    /// Of the partition that has both.
    pub dc: Node,
    pub sync_link: bool,
    pub cluster_link: bool,
    /// The two engines are connected.
    pub connected: bool,
    pub fencing_works: bool,
    /// Failures, and things that an administrator does.
    pub events: u8,
}

impl Cib {
    /// Of a copy that is far ahead it is enough to know that it is.
    pub fn change(&mut self) {
        self.epoch = (self.epoch + 1).min(EPOCHS_MAX);
    }
}

impl Engine {
    pub fn is_primary(self) -> bool {
        matches!(self, Self::Primary { .. })
    }

    /// Outputs leave, or would leave with the next ack.
    pub fn releases(self) -> bool {
        matches!(
            self,
            Self::Primary {
                mode: Mode::Solo | Mode::Syncing | Mode::Protected,
                ..
            }
        )
    }

    /// Generation of a copy that can be gone on from.
    pub fn complete(self) -> Option<u8> {
        match self {
            Self::InSync { generation }
            | Self::HandedOver { generation }
            | Self::Parked { generation } => Some(generation),
            _ => None,
        }
    }

    /// Generation of a primary that holds its outputs.
    pub fn frozen(self) -> Option<u8> {
        match self {
            Self::Primary {
                mode: Mode::Frozen,
                generation,
            } => Some(generation),
            _ => None,
        }
    }
}

impl State {
    /// A guest that was just started on node 0, and an empty secondary.
    pub fn first(dc: Node) -> Self {
        let host = Host {
            powered: true,
            joined: true,
            disk: Disk {
                generation: 0,
                owner: 0,
                sync: Sync::None,
                outdated_through: 0,
            },
            engine: Engine::Empty,
            engine_outdated: 0,
            step: Step::Idle,
            operation: Operation::Unpromoted,
            ask: None,
            word: None,
            current: false,
        };
        let primary = Host {
            disk: Disk {
                generation: 1,
                sync: Sync::Solo,
                ..host.disk
            },
            engine: Engine::Primary {
                mode: Mode::Solo,
                generation: 1,
            },
            operation: Operation::Promoted,
            current: true,
            ..host
        };
        let cib = Cib {
            epoch: 0,
            claim: None,
            fenced: [false; 2],
            operations: [Operation::Promoted, Operation::Unpromoted],
        };
        Self {
            hosts: [primary, host],
            cib: [cib; 2],
            dc,
            sync_link: true,
            cluster_link: true,
            connected: false,
            fencing_works: true,
            events: 0,
        }
    }
}
