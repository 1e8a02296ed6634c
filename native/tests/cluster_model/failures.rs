//! What fails, what an administrator does, and how failures end.

use super::Cluster;
use super::action::Action;
use super::guard::Guard;
use super::state::{Engine, Mode, NODES, Node, Operation, State, Step, other};

/// Kinds of events that a search may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    SyncLink,
    ClusterLink,
    BothLinks,
    Node,
    Engine,
    Supervisor,
    ClusterStack,
    Fencing,
    StopSecondary,
    PromoteByHand,
    SwitchOver,
}

pub const ALL_EVENTS: &[Event] = &[
    Event::SyncLink,
    Event::ClusterLink,
    Event::BothLinks,
    Event::Node,
    Event::Engine,
    Event::Supervisor,
    Event::ClusterStack,
    Event::Fencing,
    Event::StopSecondary,
    Event::PromoteByHand,
    Event::SwitchOver,
];

impl Cluster {
    pub fn events(&self, state: &State, actions: &mut Vec<Action>) {
        if state.events >= self.events_max {
            return;
        }
        for event in self.events {
            match event {
                Event::SyncLink if state.sync_link => actions.push(Action::CutSyncLink),
                Event::ClusterLink if state.cluster_link => actions.push(Action::CutClusterLink),
                Event::BothLinks if state.sync_link && state.cluster_link => {
                    actions.push(Action::CutBothLinks);
                }
                Event::Fencing if state.fencing_works => actions.push(Action::BreakFencing),
                _ => actions.extend(
                    NODES
                        .into_iter()
                        .filter_map(|node| self.event_of(state, *event, node)),
                ),
            }
        }
    }

    fn event_of(&self, state: &State, event: Event, node: Node) -> Option<Action> {
        let host = &state.hosts[node];
        let is_idle = Self::is_idle(state, node);
        match event {
            Event::Node => host.powered.then_some(Action::CrashNode { node }),
            Event::Engine => (host.engine != Engine::None).then_some(Action::CrashEngine { node }),
            // One that is not in the middle of something loses nothing.
            Event::Supervisor => {
                (host.step != Step::Idle).then_some(Action::CrashSupervisor { node })
            }
            Event::ClusterStack => {
                (state.is_in_cluster(node)).then_some(Action::CrashCluster { node })
            }
            Event::StopSecondary => {
                let is_secondary = host.operation == Operation::Unpromoted
                    && !matches!(host.engine, Engine::None | Engine::Parked { .. });
                (is_secondary && is_idle && state.are_members())
                    .then_some(Action::StopSecondary { node })
            }
            Event::PromoteByHand => {
                let is_secondary = !host.engine.is_primary() && host.engine != Engine::None;
                (is_secondary && is_idle && self.may_be_promoted(state, node))
                    .then_some(Action::PromoteByHand { node })
            }
            Event::SwitchOver => {
                let is_protected = matches!(
                    host.engine,
                    Engine::Primary {
                        mode: Mode::Protected,
                        ..
                    }
                );
                (is_protected && state.are_members() && Self::can_demote(state, node))
                    .then_some(Action::SwitchOver { node })
            }
            _ => None,
        }
    }

    pub fn recoveries(&self, state: &State, actions: &mut Vec<Action>) {
        if !state.sync_link {
            actions.push(Action::HealSyncLink);
        }
        if !state.fencing_works {
            actions.push(Action::RepairFencing);
        }
        let are_joined = NODES.into_iter().all(|node| state.is_in_cluster(node));
        let are_powered = state.hosts.iter().all(|host| host.powered);
        let winners = NODES.into_iter().filter(|&node| Self::may_win(state, node));
        if !state.cluster_link {
            if are_joined {
                actions.extend(winners.map(|winner| Action::HealClusterLink { winner }));
            } else {
                actions.push(Action::HealClusterLink { winner: 0 });
            }
        } else if are_powered && !are_joined {
            actions.extend(winners.map(|winner| Action::Join { winner }));
        }
        for node in NODES {
            let host = &state.hosts[node];
            if !host.powered {
                actions.push(Action::Reboot { node });
            } else if !host.joined && !self.keeps(Guard::WaitForAll) {
                actions.push(Action::JoinAlone { node });
            }
        }
    }

    pub fn heal_cluster_link(state: &mut State, winner: Node) {
        state.cluster_link = true;
        if state.are_members() {
            Self::merge(state, winner);
        }
    }

    pub fn join(state: &mut State, winner: Node) {
        for host in &mut state.hosts {
            host.joined = true;
        }
        Self::merge(state, winner);
    }

    pub fn join_alone(state: &mut State, node: Node) {
        state.hosts[node].joined = true;
        state.cib[node].operations[node] = state.hosts[node].operation;
        state.cib[node].operations[other(node)] = Operation::Pending;
    }

    /// Pacemaker's action finds it dead and has it brought back, or fails.
    pub fn crash_supervisor(state: &mut State, node: Node) {
        let host = &mut state.hosts[node];
        if !matches!(host.step, Step::SoloWritten { .. }) {
            host.operation = Operation::Unpromoted;
        }
        host.step = Step::Idle;
    }
}
