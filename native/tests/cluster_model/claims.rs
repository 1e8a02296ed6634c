//! The claim in the CIB: what it is to a node, and how it is placed.

use super::Cluster;
use super::guard::Guard;
use super::state::{Cib, Claim, Engine, Node, State};

/// The claim, for a guest of this node and generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claims {
    None,
    Own,
    /// The other's, for a generation after ours.
    Newer,
    Stale,
}

impl Cluster {
    pub fn claims(&self, state: &State, node: Node, generation: u8) -> Claims {
        match self.read(state, node).and_then(|cib| cib.claim) {
            None => Claims::None,
            Some(claim) if Self::is_own(claim, node, generation) => Claims::Own,
            Some(claim) if claim.owner != node && claim.generation > generation => Claims::Newer,
            Some(_) => Claims::Stale,
        }
    }

    /// The one that a guest of this generation goes solo under.
    fn is_own(claim: Claim, node: Node, generation: u8) -> bool {
        claim.owner == node && claim.living && claim.generation == generation + 1
    }

    /// The claim keeps the Promoted role off this node, as Pacemaker's scheduler reads it.
    pub fn is_barred(&self, state: &State, cib: &Cib, node: Node) -> bool {
        let engine = state.hosts[node].engine;
        let generation = engine.complete().or(match engine {
            Engine::Primary { generation, .. } if self.keeps(Guard::RunningGuestHasGeneration) => {
                Some(generation)
            }
            _ => None,
        });
        cib.claim.is_some_and(|claim| {
            claim.owner != node && generation.is_none_or(|own| own < claim.generation)
        })
    }

    /// The claim of a guest that is protected, or of one before it.
    pub fn is_behind(claim: Option<Claim>, node: Node, generation: u8) -> bool {
        claim.is_some_and(|claim| {
            claim.generation <= generation || (claim.owner == node && claim.living)
        })
    }

    /// Whatever was there, which was looked at a moment ago.
    pub fn place_claim(&self, state: &mut State, node: Node, generation: u8) -> Option<()> {
        let dc = self.cib_of(state, node)?;
        state.cib[dc].change();
        state.cib[dc].claim = Some(Claim {
            generation,
            owner: node,
            living: true,
        });
        Some(())
    }
}
