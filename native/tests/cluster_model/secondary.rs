//! The supervisor of a secondary: how it says that it is outdated, and what it does about claims under which nothing was released.

use super::Cluster;
use super::action::Action;
use super::guard::Guard;
use super::state::{Engine, Node, Operation, State, Sync, Word, other};

impl Cluster {
    pub fn secondary_actions(&self, state: &State, node: Node, actions: &mut Vec<Action>) {
        let host = &state.hosts[node];
        if !state.is_supervised(node) || !Self::is_idle(state, node) || host.engine.is_primary() {
            return;
        }
        if let Some(ask) = Self::asked(state, node) {
            self.answers(state, node, ask.generation, actions);
        }
        if self.keeps(Guard::UnbegunIsRemoved) && self.is_unbegun(state, node) {
            actions.push(Action::RemoveClaim { node });
        }
        if self.may_take_over(state, node) {
            actions.push(Action::TakeOverClaim { node });
        }
    }

    fn answers(&self, state: &State, node: Node, generation: u8, actions: &mut Vec<Action>) {
        let host = &state.hosts[node];
        let is_in_use = state.connected && host.engine.complete().is_some();
        let may_begin = !is_in_use || !self.keeps(Guard::OnlyWithoutLink);
        let is_dropped = host.engine == Engine::None || host.engine_outdated >= generation;
        let is_durable = host.disk.outdated_through >= generation;
        let may_drop = if self.keeps(Guard::DropBeforeDisk) {
            may_begin
        } else {
            is_durable
        };
        if !is_dropped && may_drop {
            actions.push(Action::Outdate { node });
        }
        let may_write =
            is_dropped || !self.keeps(Guard::DropBeforeDisk) || !self.keeps(Guard::DropBeforeWord);
        if !is_durable && may_begin && may_write {
            actions.push(Action::WriteOutdated { node });
        }
        let may_say = (is_durable || !self.keeps(Guard::DurableBeforeWord))
            && (is_dropped || !self.keeps(Guard::DropBeforeWord));
        if may_say
            && host
                .word
                .is_none_or(|word| word.generation != generation || !word.living)
        {
            actions.push(Action::SayOutdated { node });
        }
    }

    /// What the other node asks, if its attributes are to be seen.
    fn asked(state: &State, node: Node) -> Option<Word> {
        state.hosts[other(node)].ask.filter(|_| state.are_members())
    }

    pub fn write_outdated(state: &mut State, node: Node) -> Option<()> {
        let ask = Self::asked(state, node)?;
        let disk = &mut state.hosts[node].disk;
        (disk.outdated_through, disk.sync) = (ask.generation, Sync::Outdated);
        Some(())
    }

    /// The engine drops what it has of this generation or an older one.
    pub fn outdate(state: &mut State, node: Node) -> Option<()> {
        let ask = Self::asked(state, node)?;
        let host = &mut state.hosts[node];
        host.engine_outdated = ask.generation;
        let generation = match host.engine {
            Engine::Receiving { generation } => Some(generation),
            engine => engine.complete(),
        };
        if generation.is_some_and(|generation| generation <= host.engine_outdated) {
            host.engine = Engine::Empty;
            state.lose_connection();
        }
        Some(())
    }

    pub fn may_take_over(&self, state: &State, node: Node) -> bool {
        let host = &state.hosts[node];
        let (Some(cib), Some(generation)) = (self.read(state, node), host.engine.complete()) else {
            return false;
        };
        let Some(claim) = cib.claim.filter(|claim| claim.owner != node) else {
            return false;
        };
        let is_next = claim.generation == generation + 1
            || (claim.generation > generation && !self.keeps(Guard::TakeOverOfNextOnly));
        is_next
            && !state.connected
            && (host.disk.outdated_through < generation || !self.keeps(Guard::TakeOverIfNeverSaid))
            && (cib.fenced[other(node)] || !self.keeps(Guard::TakeOverOfFencedOnly))
    }

    /// A claim that is in everybody's way: its owner is here, and its guest ended before it could begin that generation.
    fn is_unbegun(&self, state: &State, node: Node) -> bool {
        let Some((cib, claim)) = self
            .read(state, node)
            .and_then(|cib| Some((cib, cib.claim?)))
        else {
            return false;
        };
        let owner = &state.hosts[claim.owner];
        let is_down = matches!(
            cib.operations[claim.owner],
            Operation::Stopped | Operation::Unpromoted
        );
        state.are_members()
            && is_down
            && !owner.engine.is_primary()
            && (owner.disk.generation < claim.generation || !self.keeps(Guard::RemoveUnbegunOnly))
    }

    pub fn say_outdated(state: &mut State, node: Node) {
        state.hosts[node].word = Self::asked(state, node);
    }

    pub fn take_over_claim(&self, state: &mut State, node: Node) -> Option<()> {
        let generation = self.read(state, node)?.claim?.generation;
        self.place_claim(state, node, generation)
    }
}
