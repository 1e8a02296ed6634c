//! The two engines: what `protocol_model` has in full is three steps here.

use super::Cluster;
use super::guard::Guard;
use super::state::{Engine, Mode, NODES, Node, State, Step, Sync, other};

impl State {
    /// The node whose guest runs; there is never more than one (I3).
    pub fn primary(&self) -> Option<(Node, Mode, u8)> {
        NODES
            .into_iter()
            .find_map(|node| match self.hosts[node].engine {
                Engine::Primary { mode, generation } => Some((node, mode, generation)),
                _ => None,
            })
    }

    pub fn lose_connection(&mut self) {
        if !std::mem::take(&mut self.connected) {
            return;
        }
        for host in &mut self.hosts {
            match &mut host.engine {
                Engine::Receiving { .. } => host.engine = Engine::Empty,
                Engine::Primary { mode, .. } => match mode {
                    Mode::Syncing => *mode = Mode::Solo,
                    Mode::Protected => *mode = Mode::Frozen,
                    Mode::Solo | Mode::Frozen => {}
                },
                _ => {}
            }
        }
    }

    /// A guest that has no replica releases what it sends: nobody else has it.
    pub fn release_alone(&mut self, node: Node, generation: u8) {
        self.hosts[node].engine = Engine::Primary {
            mode: Mode::Solo,
            generation,
        };
        self.hosts[other(node)].current = false;
    }

    /// Whatever bears the nonce of this engine is of an earlier life from now on.
    pub fn end_engine(&mut self, node: Node) {
        self.lose_connection();
        let host = &mut self.hosts[node];
        (host.engine, host.engine_outdated, host.step) = (Engine::None, 0, Step::Idle);
        host.ask.iter_mut().for_each(|ask| ask.living = false);
        let peer = &mut self.hosts[other(node)];
        peer.word.iter_mut().for_each(|word| word.living = false);
        for claim in self.cib.iter_mut().filter_map(|cib| cib.claim.as_mut()) {
            claim.living &= claim.owner != node;
        }
    }
}

/// What comes of a connection.
enum Admission {
    Resume,
    Baseline,
}

impl Cluster {
    fn admission(&self, state: &State) -> Option<Admission> {
        if state.connected || !state.sync_link {
            return None;
        }
        let (node, mode, generation) = state.primary()?;
        let secondary = &state.hosts[other(node)];
        let is_outdated =
            secondary.engine_outdated >= generation && self.keeps(Guard::OutdatedIsNotAcked);
        if is_outdated || secondary.engine.is_primary() {
            return None;
        }
        match (mode, secondary.engine.complete()) {
            (Mode::Frozen, Some(own)) if own == generation => Some(Admission::Resume),
            (_, Some(own)) if own >= generation => None,
            _ if secondary.engine == Engine::None => None,
            (Mode::Frozen, _) if self.keeps(Guard::NoBaselineWhileFrozen) => None,
            _ => Some(Admission::Baseline),
        }
    }

    pub fn can_connect(&self, state: &State) -> bool {
        self.admission(state).is_some()
    }

    pub fn connect(&self, state: &mut State) -> Option<()> {
        let admission = self.admission(state)?;
        let (node, mode, generation) = state.primary()?;
        state.connected = true;
        if matches!(admission, Admission::Baseline) {
            state.hosts[other(node)].engine = Engine::Receiving { generation };
            if mode == Mode::Solo {
                let mode = Mode::Syncing;
                state.hosts[node].engine = Engine::Primary { mode, generation };
            }
        }
        Some(())
    }

    pub fn can_complete(&self, state: &State) -> bool {
        let Some((node, _, generation)) = state.primary().filter(|_| state.connected) else {
            return false;
        };
        let disk = state.hosts[node].disk;
        let is_durable = disk.sync == Sync::Protected && disk.generation >= generation;
        state.hosts[other(node)].engine == Engine::Receiving { generation }
            && (is_durable || !self.keeps(Guard::DiskBeforeReplica))
    }

    /// The first transaction is applied; its ack is on the way, and the primary holds its outputs.
    pub fn complete(state: &mut State) -> Option<()> {
        let (node, _, generation) = state.primary()?;
        let mode = Mode::Frozen;
        state.hosts[node].engine = Engine::Primary { mode, generation };
        let current = state.hosts[node].current;
        let secondary = &mut state.hosts[other(node)];
        (secondary.engine, secondary.current) = (Engine::InSync { generation }, current);
        Some(())
    }

    pub fn can_take_ack(state: &State) -> bool {
        state.connected
            && state.primary().is_some_and(|(node, mode, generation)| {
                mode == Mode::Frozen
                    && state.hosts[other(node)].engine == Engine::InSync { generation }
            })
    }

    pub fn take_ack(state: &mut State) -> Option<()> {
        let (node, _, generation) = state.primary()?;
        let mode = Mode::Protected;
        state.hosts[node].engine = Engine::Primary { mode, generation };
        Some(())
    }
}
