//! The supervisor of a primary: how it goes solo, and what it takes back once it is protected.

use super::Cluster;
use super::action::Action;
use super::claims::Claims;
use super::guard::Guard;
use super::state::{Disk, Engine, Mode, Node, Proof, State, Step, Sync, Word};

impl Cluster {
    pub fn primary_actions(&self, state: &State, node: Node, actions: &mut Vec<Action>) {
        let host = &state.hosts[node];
        match host.step {
            Step::Idle => {}
            Step::SoloWritten { .. } => {
                actions.push(if self.may_enter_solo(state, node) {
                    Action::EnterSolo { node }
                } else {
                    Action::AbandonSolo { node }
                });
                return;
            }
            _ => return,
        }
        let Some(cib) = self.read(state, node) else {
            return;
        };
        let Engine::Primary { mode, generation } = host.engine else {
            return;
        };
        let is_removable = Self::is_behind(cib.claim, node, generation);
        let may_remove = mode == Mode::Protected
            || (mode != Mode::Frozen && !self.keeps(Guard::ClaimStaysUntilAck));
        if may_remove && (is_removable || host.ask.is_some()) {
            actions.push(Action::RemoveClaim { node });
        }
        if mode == Mode::Frozen && !state.connected {
            self.frozen_actions(state, node, generation, actions);
        }
    }

    fn frozen_actions(&self, state: &State, node: Node, generation: u8, actions: &mut Vec<Action>) {
        let claims = self.claims(state, node, generation);
        match claims {
            Claims::Newer if self.keeps(Guard::ForeignClaimGivesUp) => {
                actions.push(Action::GiveUp { node });
                return;
            }
            Claims::None => actions.push(Action::PlaceClaim { node }),
            Claims::Own => {}
            Claims::Newer | Claims::Stale => actions.push(Action::ReplaceClaim { node }),
        }
        if claims == Claims::Own || !self.keeps(Guard::ClaimBeforeAsk) {
            if state.hosts[node].ask
                != Some(Word {
                    generation,
                    living: true,
                })
            {
                actions.push(Action::AskPeer { node });
            }
            if self.proof(state, node, generation).is_some() {
                actions.push(Action::WriteSolo { node });
            }
        }
    }

    pub fn ask_peer(state: &mut State, node: Node) -> Option<()> {
        let generation = state.hosts[node].engine.frozen()?;
        state.hosts[node].ask = Some(Word {
            generation,
            living: true,
        });
        Some(())
    }

    pub fn write_solo(&self, state: &mut State, node: Node) -> Option<()> {
        let frozen = state.hosts[node].engine.frozen()?;
        let proof = self.proof(state, node, frozen)?;
        let host = &mut state.hosts[node];
        let generation = host.disk.generation.max(frozen) + 1;
        host.disk = Disk {
            generation,
            owner: node,
            sync: Sync::Solo,
            ..host.disk
        };
        host.step = Step::SoloWritten { generation, proof };
        Some(())
    }

    fn may_enter_solo(&self, state: &State, node: Node) -> bool {
        let Some(frozen) = state.hosts[node].engine.frozen() else {
            return false;
        };
        let is_ours = self.claims(state, node, frozen) == Claims::Own
            || !self.keeps(Guard::SecondLook)
            || !self.keeps(Guard::ClaimBeforeAsk);
        is_ours && self.cib_of(state, node).is_some() && !state.connected
    }

    pub fn enter_solo(state: &mut State, node: Node) -> Option<()> {
        let Step::SoloWritten { generation, .. } = state.hosts[node].step else {
            return None;
        };
        state.hosts[node].step = Step::Idle;
        state.release_alone(node, generation);
        Some(())
    }

    /// Of what it protects, with the ask; or one that is in everybody's way.
    pub fn remove_claim(&self, state: &mut State, node: Node) -> Option<()> {
        let dc = self.cib_of(state, node)?;
        let claim = state.cib[dc].claim;
        let is_removable = match state.hosts[node].engine {
            Engine::Primary { generation, .. } => Self::is_behind(claim, node, generation),
            _ => true,
        };
        if is_removable {
            state.cib[dc].claim = None;
            state.cib[dc].change();
        }
        state.hosts[node].ask = None;
        Some(())
    }

    /// Whether the solo that is under way has this proof.
    pub fn is_entering_by(state: &State, wanted: Proof) -> bool {
        state
            .hosts
            .iter()
            .any(|host| matches!(host.step, Step::SoloWritten { proof, .. } if proof == wanted))
    }
}
