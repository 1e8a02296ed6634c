//! Both engines, what is between them, and what the world has seen.

use std::collections::VecDeque;

/// Generation of the guest.
pub const GENERATION: u8 = 1;
/// Pages of the guest.
pub const PAGES: usize = 2;

pub type Ram = [u8; PAGES];
pub type Pages = [bool; PAGES];

/// A guest as it was captured: what a replica must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Snapshot {
    pub ram: Ram,
    pub moment: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Frame {
    SyncBegin { epoch: u8 },
    SyncPages { page: usize, value: u8 },
    Begin { generation: u8, epoch: u8 },
    Pages { page: usize, value: u8 },
    Commit { epoch: u8, snapshot: Snapshot },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    Solo,
    Guarded,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InFlight {
    pub epoch: u8,
    pub fallback: bool,
    pub commit_written: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Primary {
    pub ram: Ram,
    pub moment: u8,
    pub mode: Mode,
    pub epoch: u8,
    pub dirty: Pages,
    pub owed: Pages,
    pub captured: Pages,
    /// Moments at which held outputs were sent.
    pub open: Vec<u8>,
    pub sealed: Vec<u8>,
    pub baseline: bool,
    pub in_flight: Option<InFlight>,
    /// The connection that it holds.
    pub link: Option<u8>,
    /// A secondary of this life has begun a baseline of ours.
    pub replica_holder: bool,
    pub outgoing: VecDeque<Frame>,
    /// Number of the next frame of this connection.
    pub sequence: u8,
    /// Transactions that were sent, for somebody to repeat.
    pub sent: Vec<Vec<Frame>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplicaState {
    Empty,
    Receiving,
    InSync,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Secondary {
    pub state: ReplicaState,
    pub ram: Ram,
    pub epoch: u8,
    pub snapshot: Snapshot,
    /// What `Assembly` has of the transaction that is open.
    pub staged: Option<Vec<(usize, u8)>>,
    pub next_epoch: Option<u8>,
    pub next_sequence: u8,
    pub link: Option<u8>,
}

/// Both engines, what is between them, and what the world has seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// `None`: it is dead.
    pub primary: Option<Primary>,
    pub secondary: Secondary,
    /// Frames by their numbers.
    pub to_secondary: VecDeque<(u8, Frame)>,
    /// Acks on their way.
    pub to_primary: VecDeque<u8>,
    pub connections: u8,
    pub checkpoints: u8,
    pub seen: u8,
    pub promoted: Option<u8>,
    /// Something was done to the frames.
    pub tampered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    GuestWrites { page: usize },
    GuestSends,
    GainLink,
    AdvanceBaseline,
    Checkpoint,
    FlushLink,
    TakeFrame,
    TakeAck,
    LoseLinkAtPrimary,
    LoseLinkAtSecondary,
    PrimaryDies,
    PromoteHot,
    SwapFrames,
    RepeatTransaction,
    SendForeignTransaction,
}

impl State {
    /// A guest that was just started, and a host without a replica.
    pub fn solo() -> Self {
        Self {
            primary: Some(Primary {
                ram: [0; PAGES],
                moment: 0,
                mode: Mode::Solo,
                epoch: 0,
                dirty: [true; PAGES],
                owed: [false; PAGES],
                captured: [false; PAGES],
                open: Vec::new(),
                sealed: Vec::new(),
                baseline: false,
                in_flight: None,
                link: None,
                replica_holder: false,
                outgoing: VecDeque::new(),
                sequence: 0,
                sent: Vec::new(),
            }),
            secondary: Secondary {
                state: ReplicaState::Empty,
                // What an earlier guest has left there.
                ram: [u8::MAX; PAGES],
                epoch: 0,
                snapshot: Snapshot::default(),
                staged: None,
                next_epoch: None,
                next_sequence: 0,
                link: None,
            },
            to_secondary: VecDeque::new(),
            to_primary: VecDeque::new(),
            connections: 0,
            checkpoints: 0,
            seen: 0,
            promoted: None,
            tampered: false,
        }
    }
}
