//! The transitions, by the names that they have in the code.

mod properties;
mod state;
mod tampering;

use std::collections::VecDeque;

use stateright::{Model, Property};

use self::properties::properties;
use self::state::{
    Action, Frame, GENERATION, InFlight, Mode, PAGES, Primary, ReplicaState, Secondary, Snapshot,
    State,
};

/// Things that the guest does.
const MOMENTS_MAX: u8 = 3;
/// Checkpoints that are tried.
const CHECKPOINTS_MAX: u8 = 2;
/// Connections that are made.
const CONNECTIONS_MAX: u8 = 2;

/// What keeps the protocol from harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// `take_ack` releases, and nothing else.
    ReleaseOnAck,
    /// `fail_in_flight` asks whether the commit has left.
    CommitMayBeThere,
    /// `Replica::apply` is called for a complete transaction only.
    ApplyOnCommit,
    /// `FrameReader::next` takes the frame with the next number only.
    NextFrame,
    /// `Assembly::feed` takes the epoch that comes next only.
    NextEpoch,
    /// `Assembly::feed` takes the generation of the baseline only.
    OwnGeneration,
    /// `fail_in_flight` owes what was captured.
    OweAgain,
    /// `begin_baseline` owes every page.
    OweAllAtBaseline,
}

/// The model; `missing` is the guard that it does without.
pub struct Protocol {
    pub missing: Option<Guard>,
    /// Once in its life somebody swaps two frames, or sends a transaction that was sent before, or one of another
    /// generation. There is one connection then, so that all of it can be searched.
    pub tampers: bool,
}

impl Primary {
    fn send(&mut self, frame: Frame) {
        self.outgoing.push_back(frame);
    }

    fn capture_and_send(&mut self, fallback: bool, records: bool) {
        let epoch = self.epoch + 1;
        std::mem::swap(&mut self.captured, &mut self.owed);
        self.owed = [false; PAGES];
        for page in 0..PAGES {
            self.captured[page] |= std::mem::take(&mut self.dirty[page]);
        }
        self.sealed = std::mem::take(&mut self.open);
        let mut frames = vec![Frame::Begin {
            generation: GENERATION,
            epoch,
        }];
        for page in 0..PAGES {
            if self.captured[page] {
                let value = self.ram[page];
                frames.push(Frame::Pages { page, value });
            }
        }
        let snapshot = Snapshot {
            ram: self.ram,
            moment: self.moment,
        };
        frames.push(Frame::Commit { epoch, snapshot });
        self.outgoing.extend(&frames);
        if records {
            self.sent.push(frames);
        }
        self.in_flight = Some(InFlight {
            epoch,
            fallback,
            commit_written: false,
        });
    }

    fn is_ready_for_checkpoint(&self) -> bool {
        self.mode == Mode::Guarded
            && self.in_flight.is_none()
            && !self.baseline
            && self.link.is_some()
            && self.outgoing.is_empty()
    }
}

fn release(seen: &mut u8, packets: &mut Vec<u8>) {
    for moment in packets.drain(..) {
        *seen = (*seen).max(moment);
    }
}

impl Protocol {
    fn keeps(&self, guard: Guard) -> bool {
        self.missing != Some(guard)
    }

    fn gain_link(&self, state: &mut State) {
        state.connections += 1;
        state.to_secondary.clear();
        state.to_primary.clear();
        let number = state.connections;
        let (Some(primary), secondary) = (&mut state.primary, &mut state.secondary) else {
            return;
        };
        // A new connection takes the place of one that the secondary believes in still.
        Self::lose_link_at_secondary(secondary);
        secondary.link = Some(number);
        primary.link = Some(number);
        primary.outgoing.clear();
        (primary.sequence, secondary.next_sequence) = (0, 0);
        let is_same = primary.mode == Mode::Guarded
            && primary.replica_holder
            && secondary.state == ReplicaState::InSync
            && (secondary.epoch == primary.epoch || secondary.epoch == primary.epoch + 1);
        if is_same {
            primary.epoch = secondary.epoch;
            secondary.next_epoch = Some(secondary.epoch + 1);
        } else {
            primary.owed = [self.keeps(Guard::OweAllAtBaseline); PAGES];
            primary.dirty = [false; PAGES];
            primary.replica_holder = true;
            primary.baseline = true;
            let epoch = primary.epoch + 1;
            primary.send(Frame::SyncBegin { epoch });
        }
    }

    fn advance_baseline(&self, primary: &mut Primary) {
        if let Some(page) = (0..PAGES).find(|&page| primary.owed[page]) {
            primary.owed[page] = false;
            let value = primary.ram[page];
            primary.send(Frame::SyncPages { page, value });
        } else {
            primary.baseline = false;
            let fallback = primary.mode == Mode::Solo;
            primary.mode = Mode::Guarded;
            primary.capture_and_send(fallback, self.tampers);
        }
    }

    fn fail_in_flight(&self, primary: &mut Primary, seen: &mut u8) {
        let Some(in_flight) = primary.in_flight.take() else {
            return;
        };
        if self.keeps(Guard::OweAgain) {
            for page in 0..PAGES {
                primary.owed[page] |= primary.captured[page];
            }
        }
        primary.captured = [false; PAGES];
        let mut sealed = std::mem::take(&mut primary.sealed);
        sealed.append(&mut primary.open);
        primary.open = sealed;
        let may_be_there = in_flight.commit_written && self.keeps(Guard::CommitMayBeThere);
        if in_flight.fallback && !may_be_there {
            primary.mode = Mode::Solo;
            release(seen, &mut primary.open);
        }
    }

    fn lose_link_at_primary(&self, state: &mut State) {
        let Some(primary) = &mut state.primary else {
            return;
        };
        if primary.link.take().is_none() {
            return;
        }
        self.fail_in_flight(primary, &mut state.seen);
        primary.outgoing.clear();
        if std::mem::take(&mut primary.baseline) {
            primary.replica_holder = false;
        }
        state.to_primary.clear();
    }

    fn lose_link_at_secondary(secondary: &mut Secondary) {
        secondary.link = None;
        secondary.staged = None;
        secondary.next_epoch = None;
        if secondary.state == ReplicaState::Receiving {
            secondary.state = ReplicaState::Empty;
        }
    }

    /// One frame at the secondary; false if it is refused, which ends the connection.
    fn take_frame(
        &self,
        secondary: &mut Secondary,
        (number, frame): (u8, Frame),
        acks: &mut VecDeque<u8>,
    ) -> bool {
        if number != secondary.next_sequence && self.keeps(Guard::NextFrame) {
            return false;
        }
        // Where nobody tampers the numbers say nothing.
        secondary.next_sequence += u8::from(self.tampers);
        match frame {
            Frame::SyncBegin { epoch } => {
                secondary.state = ReplicaState::Receiving;
                secondary.staged = None;
                secondary.next_epoch = Some(epoch);
            }
            Frame::SyncPages { page, value } => secondary.ram[page] = value,
            Frame::Begin { generation, epoch } => {
                let is_next = secondary.next_epoch == Some(epoch) || !self.keeps(Guard::NextEpoch);
                let is_ours = generation == GENERATION || !self.keeps(Guard::OwnGeneration);
                if !is_next || !is_ours || secondary.next_epoch.is_none() {
                    return false;
                }
                secondary.staged = Some(Vec::new());
            }
            Frame::Pages { page, value } => match &mut secondary.staged {
                Some(staged) => {
                    staged.push((page, value));
                    if !self.keeps(Guard::ApplyOnCommit) {
                        secondary.ram[page] = value;
                    }
                }
                None => return false,
            },
            Frame::Commit { epoch, snapshot } => {
                let Some(staged) = secondary.staged.take() else {
                    return false;
                };
                for (page, value) in staged {
                    secondary.ram[page] = value;
                }
                secondary.state = ReplicaState::InSync;
                (secondary.epoch, secondary.snapshot) = (epoch, snapshot);
                secondary.next_epoch = Some(epoch + 1);
                acks.push_back(epoch);
            }
        }
        true
    }

    fn take_ack(primary: &mut Primary, epoch: u8, seen: &mut u8) {
        if primary.in_flight.as_ref().is_some_and(|f| f.epoch == epoch) {
            primary.in_flight = None;
            primary.epoch = epoch;
            primary.captured = [false; PAGES];
            release(seen, &mut primary.sealed);
        }
    }

    fn flush_link(&self, primary: &mut Primary, wire: &mut VecDeque<(u8, Frame)>, seen: &mut u8) {
        let Some(frame) = primary.outgoing.pop_front() else {
            return;
        };
        if matches!(frame, Frame::Commit { .. }) {
            if let Some(in_flight) = &mut primary.in_flight {
                in_flight.commit_written = true;
            }
            if !self.keeps(Guard::ReleaseOnAck) {
                release(seen, &mut primary.sealed);
            }
        }
        wire.push_back((primary.sequence, frame));
        primary.sequence += u8::from(self.tampers);
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::solo()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.promoted.is_some() {
            return;
        }
        if let Some(primary) = &state.primary {
            actions.push(Action::PrimaryDies);
            if primary.moment < MOMENTS_MAX {
                actions.extend((0..PAGES).map(|page| Action::GuestWrites { page }));
                actions.push(Action::GuestSends);
            }
            let connections_max = if self.tampers { 1 } else { CONNECTIONS_MAX };
            if primary.link.is_none() && state.connections < connections_max {
                actions.push(Action::GainLink);
            }
            if primary.link.is_some() {
                actions.push(Action::LoseLinkAtPrimary);
            }
            if primary.baseline && primary.outgoing.is_empty() {
                actions.push(Action::AdvanceBaseline);
            }
            if primary.is_ready_for_checkpoint() && state.checkpoints < CHECKPOINTS_MAX {
                actions.push(Action::Checkpoint);
            }
            if primary.link.is_some() && !primary.outgoing.is_empty() {
                actions.push(Action::FlushLink);
            }
            if primary.link.is_some() && !state.to_primary.is_empty() {
                actions.push(Action::TakeAck);
            }
            self.tamperings(state, actions);
        } else if state.secondary.state == ReplicaState::InSync {
            actions.push(Action::PromoteHot);
        }
        if state.secondary.link.is_some() {
            actions.push(Action::LoseLinkAtSecondary);
            if !state.to_secondary.is_empty() {
                actions.push(Action::TakeFrame);
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::GuestWrites { page } => {
                let primary = state.primary.as_mut()?;
                primary.moment += 1;
                primary.ram[page] = primary.moment;
                primary.dirty[page] = true;
            }
            Action::GuestSends => {
                let primary = state.primary.as_mut()?;
                primary.moment += 1;
                let moment = primary.moment;
                match primary.mode {
                    Mode::Solo => state.seen = state.seen.max(moment),
                    Mode::Guarded => primary.open.push(moment),
                }
            }
            Action::GainLink => self.gain_link(&mut state),
            Action::AdvanceBaseline => self.advance_baseline(state.primary.as_mut()?),
            Action::Checkpoint => {
                state.checkpoints += 1;
                let primary = state.primary.as_mut()?;
                primary.capture_and_send(false, self.tampers);
            }
            Action::FlushLink => {
                let primary = state.primary.as_mut()?;
                self.flush_link(primary, &mut state.to_secondary, &mut state.seen);
            }
            Action::TakeFrame => {
                let frame = state.to_secondary.pop_front()?;
                let secondary = &mut state.secondary;
                if !self.take_frame(secondary, frame, &mut state.to_primary) {
                    Self::lose_link_at_secondary(secondary);
                    state.to_secondary.clear();
                }
            }
            Action::TakeAck => {
                let epoch = state.to_primary.pop_front()?;
                Self::take_ack(state.primary.as_mut()?, epoch, &mut state.seen);
            }
            Action::LoseLinkAtPrimary => self.lose_link_at_primary(&mut state),
            Action::LoseLinkAtSecondary => {
                Self::lose_link_at_secondary(&mut state.secondary);
                state.to_secondary.clear();
            }
            // What it has written still arrives.
            Action::PrimaryDies => state.primary = None,
            Action::SwapFrames | Action::RepeatTransaction | Action::SendForeignTransaction => {
                Self::tamper(&mut state, action)?;
            }
            Action::PromoteHot => state.promoted = Some(state.secondary.snapshot.moment),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties()
    }
}
