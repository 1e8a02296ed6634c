//! Pacemaker, as far as it matters: it starts what is stopped, stops what is dead, fences what is lost, records what was done.

use super::Cluster;
use super::action::Action;
use super::guard::Guard;
use super::state::{Engine, NODES, Node, Operation, State, Step, Sync, other};

impl Cluster {
    pub fn scheduler_actions(&self, state: &State, node: Node, actions: &mut Vec<Action>) {
        if !state.is_in_cluster(node) {
            return;
        }
        let host = &state.hosts[node];
        let cib = &state.cib[state.dc_of(node)];
        match host.operation {
            Operation::Stopped if cib.operations[node] == Operation::Stopped => {
                actions.push(Action::Start { node });
            }
            Operation::Stopped => {}
            // What was pending failed with it.
            _ if host.engine == Engine::None => actions.push(Action::Stop { node }),
            _ => {}
        }
        if host.operation != Operation::Pending && host.operation != cib.operations[node] {
            actions.push(Action::RecordOperation { node });
        }
        if self.is_barred(state, cib, node) && Self::can_demote(state, node) {
            actions.push(Action::Demote { node });
        }
        let target = other(node);
        if !state.are_members() && !cib.fenced[target] {
            if state.fencing_works {
                actions.push(Action::Fence { target });
            } else if !state.hosts[target].powered {
                actions.push(Action::ConfirmFencing { target });
            }
        }
    }

    /// The DC hears of it before it is begun.
    pub fn begin_operation(&self, state: &mut State, node: Node) {
        state.hosts[node].operation = Operation::Pending;
        if state.is_in_cluster(node) && self.keeps(Guard::PendingIsRecorded) {
            let dc = state.dc_of(node);
            state.cib[dc].operations[node] = Operation::Pending;
        }
    }

    pub fn start(&self, state: &mut State, node: Node) {
        self.begin_operation(state, node);
        let host = &mut state.hosts[node];
        host.engine = Engine::Empty;
        host.engine_outdated = host.disk.outdated_through;
        host.operation = Operation::Unpromoted;
    }

    /// `durableAtStop`, then the end; an engine that is alive says farewell, which the record of the stop stands for here.
    pub fn stop(state: &mut State, node: Node) {
        let host = &mut state.hosts[node];
        let is_replica = match host.engine {
            Engine::InSync { .. } | Engine::HandedOver { .. } => true,
            Engine::Receiving { .. } => host.disk.sync != Sync::None,
            Engine::None => host.disk.owner != node && host.disk.sync == Sync::Protected,
            _ => false,
        };
        if is_replica {
            host.disk.sync = Sync::Outdated;
        }
        (host.operation, host.ask) = (Operation::Stopped, None);
        state.end_engine(node);
    }

    pub fn record_operation(state: &mut State, node: Node) {
        let dc = state.dc_of(node);
        state.cib[dc].operations[node] = state.hosts[node].operation;
    }

    pub fn fence(state: &mut State, target: Node) {
        if state.hosts[target].powered {
            Self::crash_node(state, target);
        }
        let cib = &mut state.cib[other(target)];
        cib.fenced[target] = true;
        cib.operations[target] = Operation::Stopped;
    }

    pub fn is_propagated(state: &State) -> bool {
        !state.are_members() || state.cib[0] == state.cib[1]
    }

    pub fn propagate(state: &mut State) {
        state.cib[state.dc].epoch = 0;
        state.cib = [state.cib[state.dc]; 2];
    }

    /// Both are in one partition again: the newer configuration wins, and what each node runs is asked anew.
    pub fn merge(state: &mut State, winner: Node) {
        state.dc = winner;
        let cib = &mut state.cib[winner];
        (cib.fenced, cib.epoch) = ([false; 2], 0);
        for node in NODES {
            cib.operations[node] = state.hosts[node].operation;
        }
        state.cib = [*cib; 2];
    }

    pub fn may_win(state: &State, winner: Node) -> bool {
        state.cib[winner].epoch >= state.cib[other(winner)].epoch
    }

    pub fn crash_node(state: &mut State, node: Node) {
        state.end_engine(node);
        let host = &mut state.hosts[node];
        (host.powered, host.operation, host.step) = (false, Operation::Stopped, Step::Idle);
        Self::leave(state, node);
    }

    /// What a node that leaves the cluster loses: its attributes, and what it knew of the others.
    pub fn leave(state: &mut State, node: Node) {
        let host = &mut state.hosts[node];
        (host.joined, host.ask, host.word) = (false, None, None);
        let cib = &mut state.cib[node];
        cib.fenced = [false; 2];
        cib.operations = [Operation::Pending; 2];
    }
}
