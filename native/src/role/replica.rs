//! What a secondary holds beside guest RAM. It is worth something within this life of the engine only.

use std::time::Duration;

use uuid::Uuid;

use super::host_clocks::{Arrival, HostClocks};
use crate::control::State;
use crate::fault::{Fault, makes};
use crate::guest::Ram;
use crate::guest::clock::CapturedAt;
use crate::hold::PacketLog;
use crate::limits::{APPLY_TURN_PAGES, MIRRORED_INPUTS_MAX_BYTES, PAGE_BYTES};
use crate::wire::{
    Committed, CompleteTransaction, Content, DeviceState, Header, PageRuns, PagesError,
    device_state_hash, page_hash,
};

/// How good the replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplicaState {
    /// There is none.
    #[default]
    Empty,
    /// A baseline is arriving: RAM is a mixture.
    Receiving,
    /// Complete up to its epoch.
    InSync,
    /// The same, and the primary has stopped in its favour.
    HandedOver,
}

impl ReplicaState {
    /// The word that status uses.
    pub fn shown(self) -> State {
        match self {
            Self::Empty => State::Empty,
            Self::Receiving => State::Receiving,
            Self::InSync => State::InSync,
            Self::HandedOver => State::HandedOver,
        }
    }
}

/// Everything of the replica but RAM.
#[derive(Debug, Default)]
pub struct Replica {
    /// How good it is.
    pub state: ReplicaState,
    /// Generation of the guest that it is a replica of.
    pub generation: u64,
    /// Last epoch in it.
    pub epoch: u64,
    /// The engine's life that it comes from.
    pub primary_engine_id: Uuid,
    /// When the guest was stopped for it; none before the first.
    pub captured: Option<CapturedAt>,
    /// What is known of the two hosts' clocks.
    pub clocks: HostClocks,
    /// State of CPUs and devices at the end of that epoch.
    pub device_state: Vec<u8>,
    /// Its hash, made when it was applied: nobody waits for it then. `None` as long as there is none.
    pub device_state_hash: Option<u64>,
    /// Outputs of acknowledged epochs that the primary has not yet said it released.
    pub unreleased: PacketLog,
    /// Packets that the primary's guest was given since the last transaction, and before that one: some of those may
    /// have waited outside of the guest when it was stopped. Given again, they repeat, as packets may.
    pub inputs: [PacketLog; 2],
    /// Baseline bytes received.
    pub baseline_bytes: u64,
}

/// Written in place of pages that are zero.
static ZEROS: [u8; 64 * PAGE_BYTES] = [0; 64 * PAGE_BYTES];

impl Replica {
    /// Whether a guest could go on from it.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, ReplicaState::InSync | ReplicaState::HandedOver)
    }

    /// Whether a primary that offers the guest with this frame offers exactly what is here.
    pub fn can_be_handed_over(&self, offer: &Header) -> bool {
        self.state == ReplicaState::InSync
            && offer.generation == self.generation
            && offer.epoch == self.epoch
    }

    /// It is worth nothing from here on.
    pub fn discard(&mut self) {
        *self = Self {
            generation: self.generation,
            ..Self::default()
        };
    }

    /// A baseline begins.
    pub fn begin(&mut self, generation: u64, primary_engine_id: Uuid) {
        *self = Self {
            state: ReplicaState::Receiving,
            generation,
            primary_engine_id,
            ..Self::default()
        };
    }

    /// Notes a packet that the primary's guest was given.
    ///
    /// After a handover no transaction ends the list: then the newest are kept.
    pub fn note_input(&mut self, packet: &[u8]) {
        let is_full = self.inputs[0].bytes() + packet.len() > MIRRORED_INPUTS_MAX_BYTES;
        if is_full && self.state == ReplicaState::HandedOver {
            self.inputs.swap(0, 1);
            self.inputs[0].clear();
        } else if is_full || !self.is_complete() {
            return;
        }
        self.inputs[0].push(packet);
    }

    /// Applies pages of a baseline.
    ///
    /// # Errors
    /// If they are not pages of this guest; RAM is unchanged then.
    pub fn apply_baseline(
        &mut self,
        ram: &mut impl Ram,
        payload: &[u8],
        guest_pages: u64,
    ) -> Result<(), PagesError> {
        let runs = PageRuns::decode(payload, guest_pages)?;
        self.baseline_bytes += runs.pages() * PAGE_BYTES as u64;
        for run in runs {
            let offset = offset_of(run.first_page);
            match run.content {
                Content::Raw(bytes) => ram.write_through(offset, bytes),
                Content::Zero => {
                    let end = offset + run.pages as usize * PAGE_BYTES;
                    for from in (offset..end).step_by(ZEROS.len()) {
                        ram.write_through(from, &ZEROS[..ZEROS.len().min(end - from)]);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether something is here as the primary believes.
    pub fn holds(&self, ram: &impl Ram, committed: Committed) -> bool {
        match committed {
            Committed::Page { page, hash } => {
                let mut contents = [0; PAGE_BYTES];
                ram.copy_out(offset_of(page), &mut contents);
                page_hash(&contents) == hash
            }
            Committed::DeviceState { hash } => self.device_state_hash == Some(hash),
        }
    }

    /// Applies a whole transaction: from here the replica is at its epoch. Calls `meanwhile` again and again.
    pub fn apply(
        &mut self,
        ram: &mut impl Ram,
        transaction: CompleteTransaction<'_>,
        arrival: Arrival,
        mut meanwhile: impl FnMut(),
    ) {
        let mut written = 0;
        for run in transaction.runs() {
            write(ram, run.first_page, run.pages, run.content);
            written += run.pages;
            if written >= APPLY_TURN_PAGES {
                written = 0;
                meanwhile();
            }
        }
        for delta in transaction.deltas() {
            let page = offset_of(delta.page);
            for (offset, bytes) in delta.pieces() {
                ram.copy_in(page + offset, bytes);
            }
        }
        match transaction.device_state() {
            DeviceState::Whole(state) => {
                self.device_state.clear();
                self.device_state.extend_from_slice(state);
            }
            DeviceState::Delta(delta) => delta.apply(&mut self.device_state),
        }
        self.device_state_hash = Some(device_state_hash(&self.device_state));
        let opening = transaction.opening();
        self.captured = Some(CapturedAt {
            at: self.clocks.note(opening.captured_ns, arrival),
            lag: Duration::from_nanos(opening.lag_ns),
        });
        if opening.released_epoch >= self.epoch {
            self.unreleased.clear();
        }
        for packet in transaction.packets() {
            if !makes(Fault::KeepNoOutputs) {
                self.unreleased.push(packet);
            }
        }
        self.inputs.swap(0, 1);
        self.inputs[0].clear();
        self.epoch = transaction.epoch();
        self.state = ReplicaState::InSync;
    }
}

fn offset_of(page: u64) -> usize {
    usize::try_from(page).expect("checked against the guest's RAM") * PAGE_BYTES
}

fn write(ram: &mut impl Ram, first_page: u64, pages: u32, content: Content<'_>) {
    let offset = offset_of(first_page);
    match content {
        Content::Raw(bytes) => ram.copy_in(offset, bytes),
        Content::Zero => ram.zero(offset, pages as usize * PAGE_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(state: ReplicaState) -> Vec<u8> {
        let mut replica = Replica {
            state,
            ..Replica::default()
        };
        for number in 0..200 {
            replica.note_input(&[number; 4096]);
        }
        let [newest, earlier] = &replica.inputs;
        assert!(newest.bytes().max(earlier.bytes()) <= MIRRORED_INPUTS_MAX_BYTES);
        earlier.iter().chain(newest.iter()).map(|p| p[0]).collect()
    }

    #[test]
    fn of_too_many_inputs_an_epoch_keeps_the_first_and_a_handover_the_last() {
        assert!(noted(ReplicaState::Empty).is_empty());
        assert_eq!(noted(ReplicaState::InSync), (0..64).collect::<Vec<_>>());
        assert_eq!(
            noted(ReplicaState::HandedOver),
            (128..200).collect::<Vec<_>>()
        );
    }

    /// RAM that nobody looks at.
    struct NoRam;

    impl Ram for NoRam {
        fn bytes(&self) -> usize {
            0
        }

        fn copy_out(&self, _: usize, _: &mut [u8]) {}

        fn copy_in(&mut self, _: usize, _: &[u8]) {}

        fn zero(&mut self, _: usize, _: usize) {}
    }

    #[test]
    fn a_change_of_another_device_state_than_the_one_here_is_refused() {
        let hash = device_state_hash(b"what is here");
        let other = device_state_hash(b"what was here");
        let of = |device_state_hash| Replica {
            device_state_hash,
            ..Replica::default()
        };
        let holds = |replica: &Replica, hash| {
            let changed = Committed::DeviceState { hash };
            replica.holds(&NoRam, changed)
        };
        assert!(holds(&of(Some(hash)), hash));
        assert!(!holds(&of(Some(hash)), other));
        // A replica that has none has nothing that could be changed.
        assert!(!holds(&of(None), device_state_hash(&[])) && !holds(&of(None), 0));
    }
}
