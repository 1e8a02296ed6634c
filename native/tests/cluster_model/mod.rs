//! The transitions, by the names that they have in the code.

mod action;
mod claims;
mod durable;
mod evidence;
mod failures;
mod guard;
mod primary;
mod promotion;
mod properties;
mod replication;
mod scheduler;
mod secondary;
mod service;
mod state;

use stateright::{Model, Property};

pub use self::action::Action;
pub use self::failures::{ALL_EVENTS, Event};
pub use self::guard::Guard;
pub use self::properties::{
    BOUNDED, NOT_BARRED, ONE_LIFE, OUTPUT_COMMIT, PROMOTE_NEEDS_PROOF, PROTECTED, SAFETY,
    SOLO_NEEDS_PROOF,
};
pub use self::service::Graph;
use self::state::{GENERATIONS_MAX, NODES, State, Step};

/// The model; `missing` are the guards that it does without.
#[derive(Debug, Clone, Copy)]
pub struct Cluster {
    pub missing: &'static [Guard],
    pub events: &'static [Event],
    pub events_max: u8,
}

impl Cluster {
    fn keeps(&self, guard: Guard) -> bool {
        !self.missing.contains(&guard)
    }

    /// Everything but new failures: what a fair run takes in the end.
    pub fn steps(&self, state: &State, actions: &mut Vec<Action>) {
        if self.can_connect(state) {
            actions.push(Action::Connect);
        }
        if self.can_complete(state) {
            actions.push(Action::Complete);
        }
        if Self::can_take_ack(state) {
            actions.push(Action::TakeAck);
        }
        if !Self::is_propagated(state) {
            actions.push(Action::PropagateCib);
        }
        for node in NODES {
            if !state.hosts[node].powered {
                continue;
            }
            self.primary_actions(state, node, actions);
            self.secondary_actions(state, node, actions);
            if state.is_supervised(node)
                && Self::is_idle(state, node)
                && Self::durable_after(state, node) != state.hosts[node].disk
            {
                actions.push(Action::SaveAfter { node });
            }
            self.promotion_actions(state, node, actions);
            self.scheduler_actions(state, node, actions);
        }
        self.recoveries(state, actions);
    }

    fn take_step(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Connect => self.connect(state)?,
            Action::Complete => Self::complete(state)?,
            Action::TakeAck => Self::take_ack(state)?,
            Action::PlaceClaim { node } if state.hosts[node].step == Step::PromotionAllowed => {
                self.claim_promotion(state, node)?;
            }
            Action::PlaceClaim { node } | Action::ReplaceClaim { node } => {
                let generation = state.hosts[node].engine.frozen()? + 1;
                self.place_claim(state, node, generation)?;
            }
            Action::AskPeer { node } => Self::ask_peer(state, node)?,
            Action::WriteSolo { node } => self.write_solo(state, node)?,
            Action::EnterSolo { node } => Self::enter_solo(state, node)?,
            Action::AbandonSolo { node } => state.hosts[node].step = Step::Idle,
            Action::GiveUp { node } => state.end_engine(node),
            Action::RemoveClaim { node } => self.remove_claim(state, node)?,
            Action::WriteOutdated { node } => Self::write_outdated(state, node)?,
            Action::Outdate { node } => Self::outdate(state, node)?,
            Action::SayOutdated { node } => Self::say_outdated(state, node),
            Action::TakeOverClaim { node } => self.take_over_claim(state, node)?,
            Action::SaveAfter { node } => Self::save_after(state, node),
            Action::AllowPromotion { node } => self.allow_promotion(state, node),
            Action::WritePromotion { node } => Self::write_promotion(state, node)?,
            Action::Promote { node } => Self::promote(state, node)?,
            Action::RefusePromotion { node } => Self::refuse_promotion(state, node),
            Action::Demote { node } => self.demote(state, node)?,
            Action::WriteDemotion { node } => Self::write_demotion(state, node),
            Action::Start { node } => self.start(state, node),
            Action::Stop { node } => Self::stop(state, node),
            Action::RecordOperation { node } => Self::record_operation(state, node),
            Action::Fence { target } | Action::ConfirmFencing { target } => {
                Self::fence(state, target);
            }
            Action::PropagateCib => Self::propagate(state),
            Action::HealSyncLink => state.sync_link = true,
            Action::HealClusterLink { winner } => Self::heal_cluster_link(state, winner),
            Action::Reboot { node } => state.hosts[node].powered = true,
            Action::Join { winner } => Self::join(state, winner),
            Action::JoinAlone { node } => Self::join_alone(state, node),
            Action::RepairFencing => state.fencing_works = true,
            event => {
                state.events += 1;
                self.take_event(state, event)?;
            }
        }
        Some(())
    }

    fn take_event(&self, state: &mut State, event: Action) -> Option<()> {
        match event {
            Action::CutSyncLink => {
                state.sync_link = false;
                state.lose_connection();
            }
            Action::CutClusterLink => state.cluster_link = false,
            Action::CutBothLinks => {
                (state.sync_link, state.cluster_link) = (false, false);
                state.lose_connection();
            }
            Action::CrashNode { node } => Self::crash_node(state, node),
            Action::CrashEngine { node } => state.end_engine(node),
            Action::CrashSupervisor { node } => Self::crash_supervisor(state, node),
            Action::CrashCluster { node } => Self::leave(state, node),
            Action::BreakFencing => state.fencing_works = false,
            Action::StopSecondary { node } => Self::stop(state, node),
            Action::PromoteByHand { node } => state.hosts[node].step = Step::PromotionAllowed,
            Action::SwitchOver { node } => self.demote(state, node)?,
            _ => return None,
        }
        Some(())
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        NODES.into_iter().map(State::first).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.steps(state, actions);
        self.events(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        let was_together = state.are_members();
        self.take_step(&mut state, action)?;
        if was_together && !state.are_members() {
            // Each is its own DC.
            state.dc = 0;
        }
        if state.cib[0] == state.cib[1] || Self::is_propagated(&state) {
            state.cib.iter_mut().for_each(|cib| cib.epoch = 0);
        }
        Some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state
            .hosts
            .iter()
            .all(|host| host.disk.generation <= GENERATIONS_MAX)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::properties()
    }
}
