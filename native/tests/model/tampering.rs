//! What somebody does to the frames, once in a run: the secondary must refuse it.

use super::Protocol;
use super::state::{Action, Frame, GENERATION, PAGES, Snapshot, State};

/// A transaction of this epoch of another life of the guest.
fn foreign(epoch: u8) -> [Frame; 3] {
    let ram = [100; PAGES];
    [
        Frame::Begin {
            generation: GENERATION + 1,
            epoch,
        },
        Frame::Pages {
            page: 0,
            value: ram[0],
        },
        Frame::Commit {
            epoch,
            snapshot: Snapshot { ram, moment: 0 },
        },
    ]
}

impl Protocol {
    pub(super) fn tamperings(&self, state: &State, actions: &mut Vec<Action>) {
        let Some(primary) = &state.primary else {
            return;
        };
        if !self.tampers || state.tampered || primary.link.is_none() {
            return;
        }
        if state.to_secondary.len() > 1 {
            actions.push(Action::SwapFrames);
        }
        if primary.outgoing.is_empty() && !primary.baseline {
            actions.push(Action::SendForeignTransaction);
            if !primary.sent.is_empty() {
                actions.push(Action::RepeatTransaction);
            }
        }
    }

    pub(super) fn tamper(state: &mut State, action: Action) -> Option<()> {
        state.tampered = true;
        let primary = state.primary.as_mut()?;
        match action {
            Action::SwapFrames => state.to_secondary.swap(0, 1),
            Action::RepeatTransaction => {
                let first = primary.sent.first()?.clone();
                primary.outgoing.extend(first);
            }
            Action::SendForeignTransaction => {
                let in_flight = primary.in_flight.as_ref().map(|f| f.epoch);
                let epoch = in_flight.unwrap_or(primary.epoch) + 1;
                primary.outgoing.extend(foreign(epoch));
            }
            _ => return None,
        }
        Some(())
    }
}
