//! What a node can know.

use super::Cluster;
use super::guard::Guard;
use super::state::{Cib, Engine, Node, Operation, Proof, State, Step, Sync, other};

impl State {
    /// Both nodes are in one partition.
    pub fn are_members(&self) -> bool {
        self.cluster_link && self.hosts.iter().all(|host| host.powered && host.joined)
    }

    pub fn is_in_cluster(&self, node: Node) -> bool {
        self.hosts[node].powered && self.hosts[node].joined
    }

    /// Who decides in the partition of this node.
    pub fn dc_of(&self, node: Node) -> Node {
        if self.are_members() { self.dc } else { node }
    }

    pub fn is_supervised(&self, node: Node) -> bool {
        self.hosts[node].powered && self.hosts[node].operation != Operation::Stopped
    }
}

impl Cluster {
    /// Whose copy of the CIB this node reads and writes.
    pub fn cib_of(&self, state: &State, node: Node) -> Option<Node> {
        if state.is_in_cluster(node) {
            Some(state.dc_of(node))
        } else {
            (!self.keeps(Guard::Quorum) && state.hosts[node].powered).then_some(node)
        }
    }

    pub fn read<'a>(&self, state: &'a State, node: Node) -> Option<&'a Cib> {
        let dc = self.cib_of(state, node)?;
        let copy = if self.keeps(Guard::EvidenceFromDc) {
            dc
        } else {
            node
        };
        Some(&state.cib[copy])
    }

    /// The other node runs nothing: fenced, or its last operation says so.
    pub fn proof_of_stop(&self, state: &State, node: Node) -> Option<Proof> {
        let cib = self.read(state, node)?;
        let peer = other(node);
        if cib.fenced[peer] {
            Some(Proof::Fenced)
        } else {
            let is_stopped = state.are_members() && cib.operations[peer] == Operation::Stopped;
            is_stopped.then_some(Proof::Stopped)
        }
    }

    /// Why the primary here, frozen at this generation, may go solo.
    pub fn proof(&self, state: &State, node: Node, generation: u8) -> Option<Proof> {
        if !self.keeps(Guard::ProofBeforeSolo) {
            return Some(Proof::Stopped);
        }
        let word = state.hosts[other(node)].word;
        let is_said = state.are_members()
            && word.is_some_and(|word| {
                let is_this =
                    word.generation == generation || !self.keeps(Guard::WordOfThisGeneration);
                is_this && (word.living || !self.keeps(Guard::WordOfThisLife))
            });
        if is_said {
            Some(Proof::Said)
        } else {
            self.proof_of_stop(state, node)
        }
    }

    /// `decideScore` of an engine without a replica, and `decidePromotion`.
    pub fn may_start_cold(&self, state: &State, node: Node) -> bool {
        let (own, peer) = (&state.hosts[node], &state.hosts[other(node)]);
        let is_refused = self.read(state, node).is_none_or(|cib| {
            cib.claim
                .is_some_and(|claim| claim.owner != node && claim.generation > own.disk.generation)
        });
        if is_refused && self.keeps(Guard::ForeignClaimBarsColdStart) {
            return false;
        }
        let has_replica = state.are_members() && peer.engine.complete().is_some();
        if has_replica && self.keeps(Guard::ReplicaBeforeColdStart) {
            return false;
        }
        if !self.keeps(Guard::DiskWordBeforeColdStart) {
            return true;
        }
        let is_owner = own.disk.owner == node;
        if !state.are_members() {
            return is_owner && own.disk.sync == Sync::Solo;
        }
        let is_newer = match peer.disk.generation.cmp(&own.disk.generation) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => {
                is_owner && own.disk.sync == Sync::Outdated && peer.disk.sync != Sync::Outdated
            }
        };
        let may_boot_alone = !state.is_supervised(other(node))
            && peer.disk.owner == other(node)
            && peer.disk.sync == Sync::Solo;
        !peer.engine.is_primary() && !is_newer && !may_boot_alone
    }

    /// The replica here, or the parked guest, is the newest as far as this node knows.
    fn may_go_on_hot(&self, state: &State, node: Node) -> bool {
        let host = &state.hosts[node];
        let (Some(cib), Some(generation)) = (self.read(state, node), host.engine.complete()) else {
            return false;
        };
        let is_outdated =
            host.disk.outdated_through >= generation && self.keeps(Guard::OutdatedIsNotPromoted);
        let is_claimed = cib
            .claim
            .is_some_and(|claim| claim.owner != node && claim.generation > generation)
            && self.keeps(Guard::ForeignClaimBarsPromotion);
        !is_outdated && !is_claimed
    }

    /// The guard of a promotion, hot or cold.
    pub fn may_be_promoted(&self, state: &State, node: Node) -> bool {
        if state.hosts[node].engine == Engine::Empty {
            return self.may_start_cold(state, node);
        }
        let peer = other(node);
        let is_demoted = self
            .read(state, node)
            .is_some_and(|cib| cib.operations[peer] == Operation::Unpromoted);
        let is_proven = is_demoted
            || self.proof_of_stop(state, node).is_some()
            || !self.keeps(Guard::PromotionNeedsProof);
        let is_running = state.are_members()
            && state.hosts[peer].engine.is_primary()
            && self.keeps(Guard::PrimaryIsBelieved);
        is_proven && !is_running && self.may_go_on_hot(state, node)
    }

    /// A replica that could be promoted some day: claims come and go, and other copies of the CIB may lack them.
    pub fn could_be_promoted(&self, state: &State, node: Node) -> bool {
        let host = &state.hosts[node];
        host.engine.complete().is_some_and(|generation| {
            let is_outdated = host.disk.outdated_through >= generation;
            !(is_outdated && self.keeps(Guard::OutdatedIsNotPromoted))
        })
    }

    pub fn is_idle(state: &State, node: Node) -> bool {
        state.hosts[node].powered && state.hosts[node].step == Step::Idle
    }
}
