//! Before a replica counts, its device state is tried: could QEMU here go on with it?
//!
//! ```text
//!  SyncBegin        TrialState*, Trial           TrialResult: passed       first transaction
//!  Preparing ─────► (the same) ────► Loading ──────────────────► Passed ──► accepted
//!                                      └─ failed: the baseline is worth nothing, and the primary goes
//! ```

use super::super::{Engine, Ports};
use super::Secondary;
use super::connection::Connection;
use crate::guest::Trial;
use crate::link::LinkError;
use crate::report;
use crate::wire::{ControlKind, FrameKind, TrialResult};

/// How far the trial of the baseline that is arriving is.
#[derive(Debug)]
pub(super) enum TrialStage<T> {
    /// No baseline is arriving.
    Absent,
    /// The machine that it will be tried on is being started, if that is possible; the state is arriving.
    Preparing {
        scratch: Result<T, String>,
        device_state: Vec<u8>,
    },
    /// It is being tried. RAM must not change.
    Loading { scratch: T, epoch: u64 },
    /// This host can go on with the guest.
    Passed,
}

impl<T> TrialStage<T> {
    /// Refuses what may not come now: pages while a state is tried, and a transaction before one has been, unless the replica
    /// is complete.
    pub(super) fn check_turn(&self, found: FrameKind, is_complete: bool) -> Result<(), LinkError> {
        let state = match (self, found) {
            (Self::Loading { .. }, _) => "the guest's state is being tried here",
            (Self::Passed, _) | (_, FrameKind::SyncPages) => return Ok(()),
            _ if is_complete => return Ok(()),
            _ => "the guest's state has not been tried here",
        };
        Err(LinkError::Turn { found, state })
    }

    /// Takes a piece of the state, of `most` bytes in all.
    pub(super) fn take_state(&mut self, piece: &[u8], most: usize) -> Result<(), LinkError> {
        match self {
            Self::Preparing { device_state, .. } if device_state.len() + piece.len() <= most => {
                device_state.extend_from_slice(piece);
                Ok(())
            }
            _ => Err(LinkError::Turn {
                found: FrameKind::TrialState,
                state: "none, or no more, of it can be taken",
            }),
        }
    }
}

impl<P: Ports> Secondary<P> {
    /// A baseline begins: the scratch machine starts while it arrives.
    pub(super) fn prepare_trial(&mut self, engine: &Engine<P>) {
        let scratch = engine
            .ports
            .begin_trial(&engine.spec, &self.guest)
            .map_err(|error| report::chain(&error));
        self.trial = TrialStage::Preparing {
            scratch,
            device_state: Vec::new(),
        };
    }

    /// The state is here, and RAM is as it was when it was saved.
    pub(super) fn begin_trial(&mut self, engine: &Engine<P>, epoch: u64) -> Result<(), LinkError> {
        match std::mem::replace(&mut self.trial, TrialStage::Absent) {
            TrialStage::Preparing {
                scratch: Ok(mut scratch),
                device_state,
            } => {
                scratch.load(device_state);
                self.trial = TrialStage::Loading { scratch, epoch };
                Ok(())
            }
            TrialStage::Preparing {
                scratch: Err(why), ..
            } => self.end_trial(engine, epoch, Some(why)),
            other => {
                self.trial = other;
                Err(LinkError::Turn {
                    found: FrameKind::Trial,
                    state: "there is no state to try",
                })
            }
        }
    }

    /// Tells the verdict once there is one.
    pub(super) fn advance_trial(&mut self, engine: &Engine<P>) {
        let TrialStage::Loading { scratch, epoch } = &mut self.trial else {
            return;
        };
        let epoch = *epoch;
        if let Some(verdict) = scratch.verdict()
            && let Err(error) = self.end_trial(engine, epoch, verdict.err())
        {
            self.lose_link(engine, &error);
        }
    }

    fn end_trial(
        &mut self,
        engine: &Engine<P>,
        epoch: u64,
        failure: Option<String>,
    ) -> Result<(), LinkError> {
        self.trial = TrialStage::Absent;
        let generation = self.replica.generation;
        match &failure {
            None => {
                tracing::info!(generation, epoch, "the guest's state can be loaded here");
                self.trial = TrialStage::Passed;
            }
            Some(why) => {
                self.discard_replica();
                engine.complain(format!(
                    "{} could not go on with the guest: its QEMU cannot load the state: {why}",
                    engine.spec.node
                ));
            }
        }
        let refused = failure.is_some();
        if let Some(Connection { link, told, .. }) = &mut self.link {
            let payload = (TrialResult { failure }.to_payload()).expect("it is shortened to fit");
            // The primary goes now, and what it says last must not hide why.
            *told = refused;
            link.encoder()
                .control(ControlKind::TrialResult, generation, epoch, &payload);
            link.flush(&[])?;
        }
        self.show(engine);
        Ok(())
    }

    /// The replica is worth nothing, and what was tried of it neither.
    pub(super) fn discard_replica(&mut self) {
        self.replica.discard();
        self.trial = TrialStage::Absent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Stage = TrialStage<()>;

    fn preparing() -> Stage {
        Stage::Preparing {
            scratch: Ok(()),
            device_state: Vec::new(),
        }
    }

    #[test]
    fn no_page_comes_during_a_trial_and_no_transaction_before_it() {
        let loading = Stage::Loading {
            scratch: (),
            epoch: 1,
        };
        for (stage, is_complete, pages, transactions) in [
            (Stage::Absent, false, true, false),
            (Stage::Absent, true, true, true),
            (preparing(), false, true, false),
            (loading, false, false, false),
            (Stage::Passed, false, true, true),
            (Stage::Passed, true, true, true),
        ] {
            for (kind, may) in [
                (FrameKind::SyncPages, pages),
                (FrameKind::Begin, transactions),
            ] {
                let verdict = stage.check_turn(kind, is_complete);
                assert_eq!(verdict.is_ok(), may, "{kind:?} in {stage:?}");
            }
        }
    }

    #[test]
    fn a_state_to_try_is_bounded_and_comes_only_with_a_baseline() {
        let mut stage = preparing();
        for piece in [&[1; 60][..], &[2; 40]] {
            stage.take_state(piece, 100).expect("it fits");
        }
        assert!(stage.take_state(&[3], 100).is_err());
        assert!(
            matches!(&stage, Stage::Preparing { device_state, .. } if device_state.len() == 100)
        );
        for mut stage in [Stage::Absent, Stage::Passed] {
            assert!(stage.take_state(&[1], 100).is_err());
        }
    }
}
