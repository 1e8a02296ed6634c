//! Promote and demote, in the steps between which a supervisor or a node can die.

use super::Cluster;
use super::action::Action;
use super::claims::Claims;
use super::guard::Guard;
use super::state::{Cib, Disk, Engine, Mode, Node, Operation, State, Step, Sync, other};

impl Cluster {
    /// Pacemaker's scheduler would promote this node.
    fn is_to_be_promoted(&self, state: &State, cib: &Cib, node: Node) -> bool {
        let peer = other(node);
        let is_peer_down = if state.are_members() {
            matches!(
                cib.operations[peer],
                Operation::Stopped | Operation::Unpromoted
            )
        } else {
            cib.fenced[peer]
        };
        let has_score =
            self.could_be_promoted(state, node) || state.hosts[node].engine == Engine::Empty;
        cib.operations[node] == Operation::Unpromoted
            && has_score
            && is_peer_down
            && !self.is_barred(state, cib, node)
    }

    pub fn promotion_actions(&self, state: &State, node: Node, actions: &mut Vec<Action>) {
        let host = &state.hosts[node];
        match host.step {
            Step::Idle => {
                let is_allowed = state.is_in_cluster(node)
                    && host.operation == Operation::Unpromoted
                    && self.is_to_be_promoted(state, &state.cib[state.dc_of(node)], node)
                    && self.may_be_promoted(state, node);
                if is_allowed {
                    actions.push(Action::AllowPromotion { node });
                }
            }
            Step::PromotionAllowed => match self.promotion_claim(state, node) {
                Claims::Newer if self.keeps(Guard::ForeignClaimBarsPromotion) => {
                    actions.push(Action::RefusePromotion { node });
                }
                _ if self.cib_of(state, node).is_none() => {}
                _ => actions.push(Action::PlaceClaim { node }),
            },
            Step::PromotionClaimed { .. } => {
                let is_proven = !self.keeps(Guard::EvidenceAfterClaim)
                    || (self.has_claimed(state, node) && self.may_be_promoted(state, node));
                actions.push(if is_proven {
                    Action::WritePromotion { node }
                } else {
                    Action::RefusePromotion { node }
                });
            }
            Step::PromotionWritten { .. } => {
                let can_run = host.engine == Engine::Empty || host.engine.complete().is_some();
                actions.push(if can_run {
                    Action::Promote { node }
                } else {
                    Action::RefusePromotion { node }
                });
            }
            Step::TokenGiven => actions.push(Action::WriteDemotion { node }),
            Step::SoloWritten { .. } => {}
        }
    }

    fn promotion_claim(&self, state: &State, node: Node) -> Claims {
        let host = &state.hosts[node];
        self.claims(
            state,
            node,
            host.engine.complete().unwrap_or(host.disk.generation),
        )
    }

    fn has_claimed(&self, state: &State, node: Node) -> bool {
        let claim = self.read(state, node).and_then(|cib| cib.claim);
        claim.is_some_and(|claim| claim.owner == node && claim.living)
            || !self.keeps(Guard::ColdStartClaims)
    }

    pub fn allow_promotion(&self, state: &mut State, node: Node) {
        state.hosts[node].step = Step::PromotionAllowed;
        self.begin_operation(state, node);
    }

    /// Above every generation that was ever seen here.
    pub fn claim_promotion(&self, state: &mut State, node: Node) -> Option<()> {
        let host = &state.hosts[node];
        let generation = host
            .disk
            .generation
            .max(host.engine.complete().unwrap_or(0))
            + 1;
        if host.engine != Engine::Empty || self.keeps(Guard::ColdStartClaims) {
            self.place_claim(state, node, generation)?;
        }
        state.hosts[node].step = Step::PromotionClaimed { generation };
        Some(())
    }

    pub fn write_promotion(state: &mut State, node: Node) -> Option<()> {
        let host = &mut state.hosts[node];
        let Step::PromotionClaimed { generation } = host.step else {
            return None;
        };
        host.disk = Disk {
            generation,
            owner: node,
            sync: Sync::Solo,
            ..host.disk
        };
        host.step = Step::PromotionWritten { generation };
        Some(())
    }

    pub fn promote(state: &mut State, node: Node) -> Option<()> {
        let Step::PromotionWritten { generation } = state.hosts[node].step else {
            return None;
        };
        state.lose_connection();
        state.release_alone(node, generation);
        let host = &mut state.hosts[node];
        (host.step, host.operation) = (Step::Idle, Operation::Promoted);
        Some(())
    }

    /// Whatever of it was done stays.
    pub fn refuse_promotion(state: &mut State, node: Node) {
        let host = &mut state.hosts[node];
        (host.step, host.operation) = (Step::Idle, Operation::Unpromoted);
    }

    /// A demote that can succeed: with a replica that is in sync, or of a guest that runs alone.
    pub fn can_demote(state: &State, node: Node) -> bool {
        let host = &state.hosts[node];
        let is_able = matches!(
            host.engine,
            Engine::Primary {
                mode: Mode::Protected | Mode::Solo,
                ..
            }
        );
        let is_promoted = state.is_in_cluster(node)
            && state.cib[state.dc_of(node)].operations[node] == Operation::Promoted;
        is_able && is_promoted && host.step == Step::Idle
    }

    pub fn demote(&self, state: &mut State, node: Node) -> Option<()> {
        let Engine::Primary { mode, generation } = state.hosts[node].engine else {
            return None;
        };
        self.begin_operation(state, node);
        let host = &mut state.hosts[node];
        if mode == Mode::Solo {
            host.engine = Engine::Parked { generation };
            host.disk.sync = Sync::Solo;
            host.operation = Operation::Unpromoted;
        } else {
            host.engine = Engine::Empty;
            host.step = Step::TokenGiven;
            if !self.keeps(Guard::DiskBeforeToken) {
                host.operation = Operation::Unpromoted;
            }
            state.hosts[other(node)].engine = Engine::HandedOver { generation };
            state.connected = false;
        }
        Some(())
    }

    pub fn write_demotion(state: &mut State, node: Node) {
        let host = &mut state.hosts[node];
        (host.disk.sync, host.step) = (Sync::Outdated, Step::Idle);
        host.operation = Operation::Unpromoted;
    }
}
